package diagnose

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/incident"
	"github.com/streamkeeper-io/streamkeeper/diagnose/infer"
	"github.com/streamkeeper-io/streamkeeper/rules"
)

// Tick is one pass of the diagnosis over one cluster. It keeps no state of its own: what must be
// remembered is in Memory. It is safe for concurrent use on different clusters.
type Tick struct {
	Catalog *rules.Catalog
	Signals Signals
	World   World
	Events  rules.EventLog
	Ledger  Ledger                                     // may be nil
	Sources func(cluster string) []streamkeeper.Source // may be nil
	Config  Config
}

// DefaultSLOLag is the lag beyond which a service level is breached, unless Config says otherwise.
const DefaultSLOLag = time.Minute

// Config are the tick's settings. The zero value of a field means its default.
type Config struct {
	Interval  time.Duration // between two ticks, and of the scrapes; default 5 s
	Lag       time.Duration // how far back a tick looks, so that what it asks for has arrived; default one interval
	SizeEvery time.Duration // how often capacity is computed; default 30 s
	SLOLag    time.Duration // lag beyond it breaches the service level and is critical; default DefaultSLOLag
	Shadow    time.Duration // how long what stood when watching began is not told; 0: not at all
	Scopes    []Scope       // what is said of some groups and topics; the first that names an entity counts
	Sizing    SizingConfig
	URL       string // base address of the web UI, for links to incidents; "" makes none
}

func (c Config) withDefaults() Config {
	if c.Interval <= 0 {
		c.Interval = 5 * time.Second
	}
	if c.Lag <= 0 {
		c.Lag = c.Interval
	}
	if c.SLOLag <= 0 {
		c.SLOLag = DefaultSLOLag
	}
	if c.SizeEvery <= 0 {
		c.SizeEvery = 30 * time.Second
	}
	return c
}

// Run makes one pass: it reads what the symptoms need, then what their suspects need, weighs the causes
// and advances the stories. It returns the report, the incidents that changed, and the memory for the
// next pass; when it fails the old memory stays valid.
func (t *Tick) Run(ctx context.Context, cluster string, now time.Time, mem Memory) (streamkeeper.Report, []streamkeeper.Incident, Memory, error) {
	p := t.begin(cluster, now, mem)
	if err := p.readFacts(ctx); err != nil {
		return streamkeeper.Report{}, nil, mem, fmt.Errorf("reading facts of %s: %w", cluster, err)
	}
	answers, err := t.Signals.Read(ctx, p.scope.Now, t.Catalog.SymptomQueries(p.scope))
	if err != nil {
		return streamkeeper.Report{}, nil, mem, fmt.Errorf("reading signals of %s: %w", cluster, err)
	}
	p.seeSymptoms(t.Catalog.Symptoms(p.scope, p.inputs(answers)))
	p.shadow()
	suspects := p.suspects()

	answers, err = t.Signals.Read(ctx, p.scope.Now, t.Catalog.EvidenceQueries(p.scope, suspects))
	if err != nil {
		return streamkeeper.Report{}, nil, mem, fmt.Errorf("reading evidence of %s: %w", cluster, err)
	}
	p.see(t.Catalog.Evidence(p.scope, suspects, p.inputs(answers)))

	if err := p.readLedger(ctx); err != nil {
		return streamkeeper.Report{}, nil, mem, fmt.Errorf("reading the ledger of %s: %w", cluster, err)
	}
	m := p.model(suspects)
	decision := infer.Decode(m.Model, infer.Options{})
	p.findings(m, decision)
	p.next.Stories, p.told = incident.Step(mem.Stories, p.stories(), incident.Options{})
	p.advise()
	if err := p.size(ctx); err != nil {
		return streamkeeper.Report{}, nil, mem, fmt.Errorf("sizing %s: %w", cluster, err)
	}
	return p.report(decision), p.told.Changed, p.next, nil
}

// pass is one tick while it is made.
type pass struct {
	*Tick
	cluster  string
	now      time.Time
	scope    rules.Scope
	mem      Memory // of the tick before
	next     Memory
	blind    bool
	observed []streamkeeper.Observation
	by       map[rules.NodeOn]*streamkeeper.Observation
	quiet    *rules.Quiet // of a fleet, the symptoms on entities on which nothing is present: neither in observed nor in by
	entries  []Entry
	said     []Entry                // of the entries, the feedback that counts now
	listed   []streamkeeper.Symptom // by symptoms
	judged   map[string]*judged     // by finding id
	told     incident.Output
	changed  []streamkeeper.Change
	scopes   map[streamkeeper.Entity]Scope         // by entity, as they were looked up
	watched  map[streamkeeper.Entity]time.Duration // for how long the collectors have watched a group, and the cluster
}

func (t *Tick) begin(cluster string, now time.Time, mem Memory) *pass {
	tick := *t
	tick.Config = t.Config.withDefaults()
	p := &pass{
		Tick: &tick, cluster: cluster, now: now, mem: mem,
		scope:  rules.Scope{Cluster: cluster, Now: now.Add(-tick.Config.Lag), Interval: tick.Config.Interval},
		by:     map[rules.NodeOn]*streamkeeper.Observation{},
		judged: map[string]*judged{},
	}
	p.next = mem.forward(now, tick.Config.Interval)
	p.blind = p.next.blind(now)
	return p
}

func (p *pass) inputs(answers streamkeeper.Answers) rules.Inputs {
	return rules.Inputs{Answers: answers, Events: p.Events, World: p.World}
}

// unignored leaves out what scopes say to ignore. Symptoms only: what is ignored may still be evidence.
func (p *pass) unignored(observations []streamkeeper.Observation) []streamkeeper.Observation {
	if len(p.Config.Scopes) == 0 {
		return observations
	}
	return slices.DeleteFunc(observations, func(o streamkeeper.Observation) bool { return p.ignored(o.Entity) })
}

// suspects are the entities on which a cause is worth examining.
func (p *pass) suspects() []rules.Suspect {
	all := p.Catalog.Suspects(p.scope, p.observed, p.quiet, p.World)
	if len(p.Config.Scopes) == 0 {
		return all
	}
	return slices.DeleteFunc(all, func(s rules.Suspect) bool { return p.ignored(s.Entity) })
}

// seeSymptoms takes in what symptoms are.
func (p *pass) seeSymptoms(observations []streamkeeper.Observation, quiet *rules.Quiet) {
	if len(p.Config.Scopes) > 0 {
		quiet.Drop(p.ignored)
	}
	p.quiet = quiet
	p.see(p.unignored(observations))
	p.next.keep(p.mem, quiet)
}

// at is what was seen of a node on an entity; nil when nothing was.
func (p *pass) at(on rules.NodeOn) *streamkeeper.Observation {
	if o := p.by[on]; o != nil {
		return o
	}
	if o, ok := p.quiet.At(on); ok {
		return &o
	}
	return nil
}

// all goes through everything that was seen; what is quiet has no text and no numbers.
func (p *pass) all() iter.Seq[streamkeeper.Observation] {
	return func(yield func(streamkeeper.Observation) bool) {
		for i := range p.observed {
			if !yield(p.observed[i]) {
				return
			}
		}
		p.quiet.All()(yield)
	}
}

// see takes observations in and dates those that are present: by the rule's own onset, else by the first
// tick that saw them.
func (p *pass) see(observations []streamkeeper.Observation) {
	if len(p.by) == 0 {
		p.by = make(map[rules.NodeOn]*streamkeeper.Observation, len(observations))
	}
	for i := range observations {
		o := &observations[i]
		p.next.date(o, p.mem, p.scope.Now)
		p.by[rules.NodeOn{Node: o.Node, Entity: o.Entity}] = o
	}
	p.observed = append(p.observed, observations...)
}

package drill

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// The size of a soak.
const (
	quietGroups  = 20
	quietWarm    = 60 * time.Second // healthy time before the first episode
	quietSettle  = 75 * time.Second // and after the last: what it set off may be told late
	quietPace    = 30 * time.Second // from one episode to the next, on average; they overlap
	quietBetween = 4                // at most so many at once
)

// QuietOptions of a soak.
type QuietOptions struct {
	Seed     uint64
	Episodes int
	Pace     time.Duration // from one episode to the next; 0: half a minute
	Say      func(format string, args ...any)
	CPU      func() (busy, all float64, ok bool)
}

// Episode is one benign thing that happened.
type Episode struct {
	Kind     string    `json:"kind"`
	Group    string    `json:"group,omitempty"` // empty: the whole cluster
	At       time.Time `json:"at"`
	Seconds  float64   `json:"seconds"`
	Problem  string    `json:"problem,omitempty"`   // the episode itself went wrong
	BehindBy float64   `json:"behind_seconds_most"` // the most its group was behind while it lasted
}

// Warning is a finding that woke somebody for nothing.
type Warning struct {
	At            time.Time `json:"at"`
	Until         time.Time `json:"until"` // the last report that had it
	Entity        string    `json:"entity"`
	Cause         string    `json:"cause"`
	Verdict       string    `json:"verdict"`
	Confidence    float64   `json:"confidence"` // the most it reached
	Severity      string    `json:"severity"`
	Title         string    `json:"title"`
	Explains      []string  `json:"explains"`
	Evidence      []string  `json:"evidence"`
	During        []string  `json:"during"`         // the episodes of the last two minutes
	BehindSeconds float64   `json:"behind_seconds"` // how far the group really was behind then
}

// QuietResult is what a soak found. Run holds the same as the truth of a recording.
type QuietResult struct {
	Episodes  []Episode `json:"episodes"`
	Warnings  []Warning `json:"warnings"` // none are wanted
	Groups    int       `json:"groups"`
	Minutes   float64   `json:"minutes"`
	Ticks     int       `json:"ticks"`
	LateTicks int       `json:"late_ticks"`
	CPUShare  *float64  `json:"cpu_share"`
	Recording string    `json:"recording,omitempty"`
	Run       Result    `json:"-"`
}

// Quiet runs many healthy groups on one target and lets benign things happen to them, some at a time. Nothing that
// it does is a fault: every warning is a false alarm.
func Quiet(ctx context.Context, lab Lab, o QuietOptions) (QuietResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	q := &quiet{
		lab: lab, o: o, random: rand.New(rand.NewPCG(o.Seed, 0x50a6)), open: map[string]*Warning{},
		out: QuietResult{Episodes: []Episode{}, Warnings: []Warning{}},
	}
	if q.o.Pace == 0 {
		q.o.Pace = quietPace
	}
	o.Say("starting a broker and a diagnoser in processes of their own")
	site, err := lab.Open(ctx, Setup{})
	if err != nil {
		return q.out, err
	}
	q.site = site
	q.out.Run = Result{ID: "quiet", Seed: o.Seed, Target: site.Target, Benign: true, Top: []Named{}, Wrong: []Named{}}
	defer q.wait()
	defer cancel()
	if err := q.raise(ctx); err != nil {
		return q.out, err
	}
	began := time.Now()
	cpu := startCPU(o.CPU)
	q.out.Run.Injected = Injected{Entity: streamkeeper.Entity{Kind: streamkeeper.KindCluster, Name: site.Cluster, Cluster: site.Cluster}.Key(), At: began.UTC()}
	watched, stop := context.WithCancel(ctx)
	defer stop()
	watching := make(chan error, 1)
	go func() { watching <- q.watch(watched) }()
	err = q.play(ctx)
	stop()
	if blind := <-watching; blind != nil {
		return q.out, blind
	}
	if err != nil {
		return q.out, err
	}
	q.finish(ctx, began, cpu.share())
	return q.out, nil
}

// quiet is a soak while it runs.
type quiet struct {
	lab    Lab
	site   *Site
	o      QuietOptions
	random *rand.Rand // of the goroutine that plays
	source *source
	stages []*Stage
	wg     sync.WaitGroup

	mu   sync.Mutex
	busy map[*Stage]bool
	out  QuietResult
	open map[string]*Warning // by cause and entity, while reports have it
}

// wait waits for everything that goes on in the background; its context has ended.
func (q *quiet) wait() {
	q.wg.Wait()
	for _, s := range q.stages {
		s.wg.Wait()
		s.watching.Wait()
	}
}

// raise starts every group. They start a few at a time: a start is work for the machine.
func (q *quiet) raise(ctx context.Context) error {
	var err error
	if q.source, err = startSource(ctx, q.lab, q.site, "shop"); err != nil {
		return err
	}
	q.busy = map[*Stage]bool{}
	for i := range quietGroups {
		s := q.stage(fmt.Sprintf("team-%02d", i+1), q.layout())
		q.stages = append(q.stages, s)
		if err := s.start(ctx); err != nil {
			return err
		}
		if i%4 == 3 {
			for _, s := range q.stages[i-3:] {
				if err := s.healthy(ctx); err != nil {
					return fmt.Errorf("group %s: %w", s.Group, err)
				}
			}
			q.o.Say("%d of %d groups run", i+1, quietGroups)
		}
	}
	return nil
}

func (q *quiet) stage(name string, l Layout) *Stage {
	return &Stage{
		Lab: q.lab, Site: q.site, Layout: l, Random: rand.New(rand.NewPCG(q.random.Uint64(), 1)),
		Topic: name, Group: name, Say: q.o.Say, source: q.source,
	}
}

// layout is a light workload: a few records a second at a fraction of what its members can do.
func (q *quiet) layout() Layout {
	members := 1 + q.random.IntN(3)
	l := Layout{
		Members: members, Partitions: int32(members * (1 + q.random.IntN(3))),
		Rate: 3 + 7*q.random.Float64(), RecordMillis: 2 + 20*q.random.Float64(), ValueSize: 100 + q.random.IntN(900),
		Session: 10 + float64(q.random.IntN(20)), Poll: 300,
	}
	l.Static = q.random.IntN(6) == 0
	return l
}

// play lets the episodes happen, some at once, and waits until the last has settled.
func (q *quiet) play(ctx context.Context) error {
	if !wait(ctx, quietWarm) {
		return ctx.Err()
	}
	slots := make(chan struct{}, quietBetween)
	for i, kind := range q.plan() {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		s, ok := q.take(kind)
		for ; !ok; s, ok = q.take(kind) { // an episode that runs will free its group
			if !wait(ctx, time.Second) {
				return ctx.Err()
			}
		}
		q.wg.Go(func() {
			defer func() { <-slots }()
			q.run(ctx, i, kind, s)
		})
		if !wait(ctx, time.Duration((0.5+q.random.Float64())*float64(q.o.Pace))) {
			return ctx.Err()
		}
	}
	q.wg.Wait()
	if !wait(ctx, quietSettle) {
		return ctx.Err()
	}
	return nil
}

// plan is which episodes happen, in which order: every kind in turn, shuffled.
func (q *quiet) plan() []episodeKind {
	kinds := episodeKinds()
	var out []episodeKind
	for len(out) < q.o.Episodes {
		q.random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		out = append(out, kinds[:min(len(kinds), q.o.Episodes-len(out))]...)
	}
	return out
}

// take picks a group to which nothing happens now, nil for an episode of the whole cluster; false when all that fit
// are busy.
func (q *quiet) take(kind episodeKind) (*Stage, bool) {
	if kind.cluster {
		return nil, true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	free := slices.DeleteFunc(slices.Clone(q.stages), func(s *Stage) bool {
		return q.busy[s] || s.Layout.Members < kind.members || s.Layout.Static && kind.dynamic
	})
	if len(free) == 0 {
		return nil, false
	}
	s := free[q.random.IntN(len(free))]
	q.busy[s] = true
	return s, true
}

// run is one episode.
func (q *quiet) run(ctx context.Context, n int, kind episodeKind, s *Stage) {
	e := Episode{Kind: kind.name, At: time.Now().UTC()}
	if s != nil {
		e.Group = s.Group
	}
	q.mu.Lock()
	at := len(q.out.Episodes)
	q.out.Episodes = append(q.out.Episodes, e)
	q.mu.Unlock()
	q.o.Say("episode %d: %s %s", n+1, kind.name, e.Group)
	done := make(chan error, 1)
	go func() { done <- kind.play(ctx, q, s) }()
	for most, every := 0.0, time.NewTicker(time.Second); ; {
		select {
		case err := <-done:
			every.Stop()
			if s != nil {
				wait(ctx, kind.rest)
			}
			q.mu.Lock()
			defer q.mu.Unlock()
			e.Seconds, e.BehindBy = time.Since(e.At).Seconds(), most
			if err != nil && ctx.Err() == nil {
				e.Problem = err.Error()
			}
			q.out.Episodes[at] = e
			delete(q.busy, s)
			return
		case <-every.C:
			if s != nil {
				_, behind, _ := s.progress()
				most = max(most, behind.Seconds())
			}
		}
	}
}

// watch reads the diagnoser every second.
func (q *quiet) watch(ctx context.Context) error {
	var blindSince time.Time
	for wait(ctx, time.Second) {
		report, err := fetch(ctx, q.site)
		switch {
		case ctx.Err() != nil:
		case err == nil:
			blindSince = time.Time{}
			q.judge(report)
		case blindSince.IsZero():
			blindSince = time.Now()
		case time.Since(blindSince) > 30*time.Second:
			return fmt.Errorf("the diagnoser does not answer: %w", err)
		}
	}
	return nil
}

// judge notes the warnings of a report that was not judged yet.
func (q *quiet) judge(report streamkeeper.Report) {
	q.mu.Lock()
	defer q.mu.Unlock()
	before := q.out.Run.Ticks
	q.out.Run.Judge(report)
	if q.out.Run.Ticks == before {
		return
	}
	now := map[string]*Warning{}
	for _, f := range report.Findings {
		if !wakes(f) {
			continue
		}
		key := f.Cause + " " + f.Entity.Key()
		w := q.open[key]
		if w == nil {
			w = q.warning(report, f)
			q.o.Say("WARNING %s on %s (%s %.2f) during %v", w.Cause, w.Entity, w.Verdict, w.Confidence, w.During)
		}
		w.Until, w.Confidence = report.GeneratedAt, max(w.Confidence, f.Confidence)
		now[key] = w
	}
	for key, w := range q.open {
		if now[key] == nil {
			q.out.Warnings = append(q.out.Warnings, *w)
		}
	}
	q.open = now
}

func (q *quiet) warning(report streamkeeper.Report, f streamkeeper.Finding) *Warning {
	w := &Warning{
		At: report.GeneratedAt, Entity: f.Entity.Key(), Cause: f.Cause, Verdict: string(f.Verdict), Confidence: f.Confidence,
		Severity: string(f.Severity), Title: f.Title, Explains: f.Explains, Evidence: []string{}, During: []string{},
	}
	for _, e := range f.Evidence {
		w.Evidence = append(w.Evidence, string(e.Bearing)+" "+e.ID+": "+e.Text)
	}
	for _, e := range q.out.Episodes {
		if ended := e.Seconds > 0 && report.GeneratedAt.Sub(e.At).Seconds() > e.Seconds+120; !ended {
			w.During = append(w.During, e.Kind+" "+e.Group)
		}
	}
	for _, s := range q.stages {
		if s.Group == f.Entity.Name {
			_, behind, _ := s.progress()
			w.BehindSeconds = behind.Seconds()
		}
	}
	return w
}

// finish sums up and saves the recording.
func (q *quiet) finish(ctx context.Context, began time.Time, cpu *float64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, w := range q.open {
		q.out.Warnings = append(q.out.Warnings, *w)
	}
	slices.SortFunc(q.out.Warnings, func(a, b Warning) int { return a.At.Compare(b.At) })
	q.out.Groups, q.out.Minutes = len(q.stages), time.Since(began).Minutes()
	q.out.CPUShare, q.out.Run.CPUShare = cpu, cpu
	q.out.Ticks, q.out.LateTicks = q.out.Run.Ticks, q.out.Run.LateTicks
	path, err := q.lab.Record(ctx, began.Add(-10*time.Second), &q.out.Run)
	if err != nil {
		q.o.Say("no recording: %v", err)
		return
	}
	q.out.Recording, q.out.Run.Recording = path, path
}

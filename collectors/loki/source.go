package loki

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

const (
	sourceName  = "loki"
	againWindow = 10 * time.Minute // in which an agent may send a line again
	maxAgain    = 50_000
	factMemory  = 24 * time.Hour
	maxFacts    = 2000
)

// ringKinds are told by a Streamkeeper broker itself, better. What it cannot know is why a client left whose library has no
// word for that in the protocol (librdkafka); such a line is told as leave_explained, beside the leave that the ring tells.
var ringKinds = []string{
	"member_joined", "member_left", "member_expired", "member_fenced", "rebalance_started", "rebalance_completed",
	"subscription_changed", "commit_rejected", "shutdown_requested", "broker_started", "transaction_timed_out",
}

const leaveExplained = "leave_explained"

// explains reports whether a line says of itself why a client leaves.
func (h hit) explains() bool { return h.p.Teller == tellerClient && h.p.Kind == "member_left" }

// SourceOptions configure a Source.
type SourceOptions struct {
	Cluster string
	// Ring says that the cluster's brokers tell of members and rebalances themselves.
	Ring bool
}

// Source is one cluster's share of what is pushed, as a [collectors.Collector]: what came since the last round is named
// and handed over. Lines that came with a push before the round began are part of it.
type Source struct {
	o SourceOptions
	r *Receiver

	mu      sync.Mutex
	hits    []hit
	brokers map[string]*brokerLog
	heardAt time.Time
	groups  map[string]bool // of the newest inventory

	// Of Collect alone; rounds do not overlap.
	members   *index
	again     map[uint64]time.Time
	seed      maphash.Seed
	recent    []*told
	facts     map[string]groupFacts
	store     storeCalls
	published collectors.Staleness
}

// groupFacts are what lines have proved of a group.
type groupFacts struct {
	held map[string]bool
	at   time.Time
}

// Source adds a cluster. Call it before the receiver serves.
func (r *Receiver) Source(o SourceOptions) *Source {
	s := &Source{
		o: o, r: r, brokers: map[string]*brokerLog{}, members: newIndex(),
		again: map[uint64]time.Time{}, seed: maphash.MakeSeed(), facts: map[string]groupFacts{},
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sources[o.Cluster] = s
	return s
}

// Name is loki.
func (s *Source) Name() string { return sourceName }

// Kind is loki.
func (s *Source) Kind() string { return "loki" }

// Heard reports whether any log of this cluster has come.
func (s *Source) Heard() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.heardAt.IsZero()
}

// add queues hits for the next round; what is too much is dropped and counted.
func (s *Source) add(hits []hit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heardAt = s.r.now()
	room := max(0, s.r.limits.Hits-len(s.hits))
	if lost := len(hits) - room; lost > 0 {
		s.r.counts.dropped.Add(int64(lost))
		clear(s.brokers) // what was dropped must not be claimed not to have happened
		hits = hits[:room]
	}
	s.hits = append(s.hits, hits...)
}

// knows reports whether the cluster has a group of this name.
func (s *Source) knows(group string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.groups[group]
}

// Collect does one round.
func (s *Source) Collect(ctx context.Context, now time.Time, sink collectors.Sink) error {
	inv := s.r.world.Inventory(s.o.Cluster)
	s.members.learn(inv, now)
	s.mu.Lock()
	hits := s.hits
	s.hits, s.groups = nil, s.members.groups
	mark := s.watermark(inv)
	s.mu.Unlock()
	if !s.Heard() {
		return nil
	}
	events := s.name(hits, now)
	if len(events) > 0 || !mark.Through.IsZero() {
		if err := sink.Events(ctx, events, mark); err != nil {
			return err
		}
	}
	return sink.Samples(ctx, s.published.Mark(now, append(s.factSamples(now), s.store.samples(s.o.Cluster, now)...)))
}

// name turns hits into events: in order of time, each line once, each fact once.
func (s *Source) name(hits []hit, now time.Time) []streamkeeper.Event {
	slices.SortStableFunc(hits, func(a, b hit) int { return a.at.Compare(b.at) })
	var out []streamkeeper.Event
	for _, t := range s.recent {
		t.e = nil
	}
	kept := make([]*told, 0, len(hits))
	for _, h := range hits {
		if s.o.Ring && slices.Contains(ringKinds, h.p.Kind) && !h.explains() || s.sent(h, now) {
			continue
		}
		e, who, ok := h.event(s.o.Cluster, sourceName, s.members)
		if !ok {
			s.r.counts.unclaimed.Add(1)
			continue
		}
		if s.o.Ring && h.explains() {
			e.Kind = leaveExplained
		}
		s.prove(who.group, h.facts, now)
		if e.Kind == storeCallFailed && !s.store.take(e, now) {
			continue
		}
		if t := s.known(e, h.p.ID, who); t != nil {
			continue
		}
		t := &told{kind: e.Kind, who: who, at: e.At, by: map[string]bool{h.p.ID: true}, e: &e}
		s.recent = append(s.recent, t)
		kept = append(kept, t)
	}
	for _, t := range kept {
		out = append(out, *t.e)
	}
	s.forget(now)
	return out
}

// sent reports whether this very line came before: agents send again what they are not sure has arrived.
func (s *Source) sent(h hit, now time.Time) bool {
	var m maphash.Hash
	m.SetSeed(s.seed)
	m.WriteString(h.at.Format(time.RFC3339Nano))
	m.WriteString(h.line)
	m.WriteString(h.stream)
	id := m.Sum64()
	if _, ok := s.again[id]; ok {
		return true
	}
	if len(s.again) < maxAgain {
		s.again[id] = now
	}
	return false
}

// known finds the event that another line has told already, and adds what this one knows besides.
func (s *Source) known(e streamkeeper.Event, pattern string, who person) *told {
	if e.Kind != "member_left" && e.Kind != "member_expired" && e.Kind != "member_fenced" && e.Kind != "eviction_noticed" {
		return nil
	}
	for _, t := range s.recent {
		if !t.same(e.Kind, pattern, who, e.At) {
			continue
		}
		t.by[pattern] = true
		t.who = fill(t.who, who)
		if t.e != nil {
			for k, v := range e.Attrs {
				if _, ok := t.e.Attrs[k]; !ok {
					t.e.Attrs[k] = v
				}
			}
			if key := t.who.key(); key != "" {
				t.e.Attrs["member"] = key
			}
		}
		return t
	}
	return nil
}

// prove keeps what a line proves of its group.
func (s *Source) prove(group string, facts map[string]bool, now time.Time) {
	if group == "" || len(facts) == 0 {
		return
	}
	f, ok := s.facts[group]
	if !ok && len(s.facts) >= maxFacts {
		return
	}
	if f.held == nil {
		f.held = map[string]bool{}
	}
	f.at = now
	for name, held := range facts {
		f.held[name] = held
	}
	s.facts[group] = f
}

func (s *Source) factSamples(now time.Time) []streamkeeper.Sample {
	var out []streamkeeper.Sample
	for group, f := range s.facts {
		if now.Sub(f.at) > factMemory {
			delete(s.facts, group)
			continue
		}
		for name, held := range f.held {
			v := 0.0
			if held {
				v = 1
			}
			out = append(out, streamkeeper.Sample{
				Metric: "streamkeeper_group_fact", At: now, Value: v,
				Labels: map[string]string{"cluster": s.o.Cluster, "group": group, "fact": name, "source": sourceName},
			})
		}
	}
	return out
}

// forget drops what is too old to come again.
func (s *Source) forget(now time.Time) {
	for id, at := range s.again {
		if now.Sub(at) > againWindow {
			delete(s.again, id)
		}
	}
	s.recent = slices.DeleteFunc(s.recent, func(t *told) bool { return now.Sub(t.at) > 2*time.Minute })
	if extra := len(s.recent) - s.r.limits.Hits; extra > 0 {
		s.recent = slices.Delete(s.recent, 0, extra)
	}
}

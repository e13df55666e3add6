package deploys

import (
	"context"
	"regexp"
	"strings"
	"sync"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// sourceName is known to the event log.
const sourceName = "deploys"

// memberMemory is for how long a workload's members are remembered: a rollout takes them away.
const memberMemory = 15 * time.Minute

// patience is for how long a mark waits while no group of the cluster is known yet, as in the first seconds after a start.
const patience = time.Minute

// Source is one cluster's share of the deploys, as a [collectors.Collector].
type Source struct {
	cluster string
	r       *Receiver

	mu      sync.Mutex
	waiting []waiting
	heard   bool

	names map[string]nameOf // of Collect alone: what groups' members are called
}

type waiting struct {
	Mark
	surely bool      // it is about this cluster; otherwise only if a group of it fits
	until  time.Time // it waits no longer for groups to be known; zero before its first round
}

// nameOf is the group of a member's name, and when it was last seen.
type nameOf struct {
	group string
	at    time.Time
}

// Source adds a cluster. Call it before the receiver serves.
func (r *Receiver) Source(cluster string) *Source {
	s := &Source{cluster: cluster, r: r, names: map[string]nameOf{}}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sources[cluster] = s
	return s
}

// Name is deploys.
func (s *Source) Name() string { return sourceName }

// Kind is deploys.
func (s *Source) Kind() string { return "deploys" }

// Heard reports whether anybody has told of a deploy.
func (s *Source) Heard() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard
}

// queue keeps a mark for the next round; false when too many wait.
func (s *Source) queue(m Mark, surely bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = true
	if len(s.waiting) >= maxWaiting {
		return false
	}
	s.waiting = append(s.waiting, waiting{Mark: m, surely: surely})
	return true
}

// Collect does one round.
func (s *Source) Collect(ctx context.Context, now time.Time, sink collectors.Sink) error {
	inv := s.r.world.Inventory(s.cluster)
	s.learn(inv, now)
	var events []streamkeeper.Event
	for _, m := range s.due(inv, now) {
		groups := s.groupsOf(m.Mark, inv)
		for _, g := range groups {
			events = append(events, m.event(streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: g, Cluster: s.cluster}))
		}
		if len(groups) == 0 && m.surely {
			events = append(events, m.event(streamkeeper.Entity{Kind: streamkeeper.KindCluster, Name: s.cluster, Cluster: s.cluster}))
		}
	}
	if len(events) == 0 {
		return nil
	}
	return sink.Events(ctx, events, streamkeeper.Watermark{Source: sourceName, Cluster: s.cluster})
}

// due takes the marks whose groups can be told: all, once a group is known, else those that have waited long enough.
func (s *Source) due(inv streamkeeper.Inventory, now time.Time) []waiting {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.waiting
	s.waiting = nil
	if len(inv.Groups) > 0 {
		return all
	}
	var due []waiting
	for _, m := range all {
		if m.until.IsZero() {
			m.until = now.Add(patience)
		}
		if m.Group != "" || m.App == "" || !now.Before(m.until) {
			due = append(due, m)
		} else {
			s.waiting = append(s.waiting, m)
		}
	}
	return due
}

// learn remembers what members are called: by client id and instance id.
func (s *Source) learn(inv streamkeeper.Inventory, now time.Time) {
	for _, g := range inv.Groups {
		for _, m := range g.Members {
			for _, name := range []string{m.ClientID, m.InstanceID} {
				_, known := s.names[name]
				if name != "" && (known || len(s.names) < maxMemory) {
					s.names[name] = nameOf{g.Name, now}
				}
			}
		}
	}
	for name, n := range s.names {
		if now.Sub(n.at) > memberMemory {
			delete(s.names, name)
		}
	}
}

// groupsOf are the groups that a workload reads with: the one the mark names; else one of the workload's name; else those
// of members called like its pods (orders-7f9c6d5b8-x2x9z, orders-2) or like itself.
func (s *Source) groupsOf(m Mark, inv streamkeeper.Inventory) []string {
	if m.Group != "" {
		return []string{m.Group}
	}
	if m.App == "" {
		return nil
	}
	var out []string
	pod := regexp.MustCompile(`(?i)^` + regexp.QuoteMeta(m.App) + `(?:-[a-z0-9]{6,10}-[a-z0-9]{5}|-\d+)?$`)
	mine := map[string]bool{}
	for name, n := range s.names {
		if pod.MatchString(name) {
			mine[n.group] = true
		}
	}
	for _, g := range inv.Groups {
		if strings.EqualFold(g.Name, m.App) || mine[g.Name] {
			out = append(out, g.Name)
		}
	}
	return out
}

// event is the mark about an entity.
func (m Mark) event(e streamkeeper.Entity) streamkeeper.Event {
	attrs := map[string]any{"tool": m.Tool}
	for name, v := range map[string]string{"app": m.App, "namespace": m.Namespace, "version": m.Version, "phase": m.Phase} {
		if v != "" {
			attrs[name] = v
		}
	}
	if e.Kind == streamkeeper.KindGroup {
		attrs["group"] = e.Name
	}
	kind, text := "deploy", m.Text
	if m.size != "" {
		kind = "scaled"
		attrs["to"] = m.size
		delete(attrs, "phase")
	}
	if text == "" {
		text = strings.TrimSpace(first(m.App, m.Group) + " " + m.Version + " " + m.Phase)
	}
	return streamkeeper.Event{At: m.At.UTC(), Kind: kind, Entity: e, Source: sourceName, Text: bounded(text), Attrs: attrs}
}

// bounded keeps a text short enough to be shown.
func bounded(s string) string {
	if len(s) > 500 {
		return strings.ToValidUTF8(s[:500], "") + "…"
	}
	return s
}

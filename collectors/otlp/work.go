package otlp

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// What a peer usually takes is known from a few minutes of calls; what it takes now from half a minute.
const (
	bucketTime   = 15 * time.Second
	nowBuckets   = 2
	apartBuckets = 6   // between now and what is usual, so that a slowdown does not become its own normal
	mostBuckets  = 120 // half an hour
	leastUsual   = 4   // buckets with calls, to know what is usual
	leastCalls   = 5   // in the time that is now
	slowTimes    = 2.0 // what is told as slower than usual,
	slowShare    = 0.2 // if it is this share of the processing time
	calmTimes    = 1.5 // what is told as over
	tellAgain    = time.Minute
	workIdle     = time.Hour
)

// done is what was done, as counters.
type done struct {
	seconds, count, failed float64
	last                   time.Time
}

// work is what a group did with its records, and whom it waited for.
type work struct {
	done
	peers   map[string]*peer
	begun   time.Time // of the bucket that is being filled
	seconds []float64 // of processing, by bucket, the newest last
	base    float64   // seconds when the bucket began
}

// peer is somebody that a group calls.
type peer struct {
	done
	base    done
	buckets []bucket // the newest last, as long as the group's
	slow    bool
	told    time.Time
}

type bucket struct{ seconds, calls float64 }

// processed counts one span's records; false when there is no room for another group.
func (s *Source) processed(group, client string, seconds, records float64, failed bool, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.works[group]
	if w == nil {
		if len(s.works) >= s.r.limits.Groups {
			return false
		}
		w = &work{peers: map[string]*peer{}, begun: now}
		s.works[group] = w
	}
	w.add(seconds, records, failed, now)
	if client != "" && (s.doing[client] != nil || len(s.doing) < s.r.limits.Clients) {
		if s.doing[client] == nil {
			s.doing[client] = &done{}
		}
		s.doing[client].add(seconds, records, failed, now)
	}
	s.heard = now
	return true
}

func (d *done) add(seconds, count float64, failed bool, now time.Time) {
	d.seconds += seconds
	d.count += count
	d.last = now
	if failed {
		d.failed += count
	}
}

// called counts a call that was made while a group processed a record.
func (s *Source) called(group string, c call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.works[group]
	if w == nil {
		return // forgotten meanwhile
	}
	name := c.peer
	if w.peers[name] == nil && len(w.peers) >= s.r.limits.Peers {
		name = otherPeers
	}
	p := w.peers[name]
	if p == nil {
		p = &peer{buckets: make([]bucket, len(w.seconds))}
		w.peers[name] = p
	}
	p.add(c.seconds, 1, c.failed, c.came)
}

// workSamples are the counters of groups, clients and peers.
func (s *Source) workSamples(now time.Time) []streamkeeper.Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []streamkeeper.Sample
	put := func(prefix string, d *done, what string, labels ...string) {
		out = append(out, s.sample(prefix+"_seconds_total", now, d.seconds, labels...), s.sample(prefix+what, now, d.count, labels...),
			s.sample(prefix+"_failed_total", now, d.failed, labels...))
	}
	for group, w := range s.works {
		if now.Sub(w.last) > workIdle {
			delete(s.works, group)
			continue
		}
		put("group_processing", &w.done, "_records_total", "group", group)
		for name, p := range w.peers {
			if name != otherPeers && now.Sub(p.last) > workIdle {
				delete(w.peers, name)
				continue
			}
			put("group_dependency", &p.done, "_calls_total", "group", group, "dependency", name)
		}
	}
	for client, d := range s.doing {
		if now.Sub(d.last) > workIdle {
			delete(s.doing, client)
			continue
		}
		put("client_processing", d, "_records_total", "client", client)
	}
	return out
}

// changes tells of peers that have become slow, or are as fast as before. It closes the buckets that are full.
func (s *Source) changes(now time.Time) []streamkeeper.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []streamkeeper.Event
	for group, w := range s.works {
		if now.Sub(w.begun) < bucketTime {
			continue
		}
		w.close(now)
		for name, p := range w.peers {
			if name == otherPeers {
				continue // not one that could be named
			}
			if e, ok := s.change(group, name, w, p, now); ok {
				out = append(out, e)
			}
		}
	}
	slices.SortFunc(out, func(a, b streamkeeper.Event) int {
		return cmp.Or(streamkeeper.CompareEntities(a.Entity, b.Entity), cmp.Compare(a.String("dependency"), b.String("dependency")))
	})
	return out
}

func (w *work) close(now time.Time) {
	w.seconds = limited(append(w.seconds, w.done.seconds-w.base))
	w.base, w.begun = w.done.seconds, now
	for _, p := range w.peers {
		p.buckets = limited(append(p.buckets, bucket{p.seconds - p.base.seconds, p.count - p.base.count}))
		p.base = p.done
	}
}

func limited[T any](list []T) []T {
	if extra := len(list) - mostBuckets; extra > 0 {
		return slices.Delete(list, 0, extra)
	}
	return list
}

// change judges a peer against what it usually takes.
func (s *Source) change(group, name string, w *work, p *peer, now time.Time) (streamkeeper.Event, bool) {
	recent := sum(p.buckets[max(0, len(p.buckets)-nowBuckets):])
	usual, known := p.usual()
	if !known || recent.calls < leastCalls {
		return streamkeeper.Event{}, false
	}
	mean := recent.seconds / recent.calls
	processing := 0.0
	for _, v := range w.seconds[max(0, len(w.seconds)-nowBuckets):] {
		processing += v
	}
	share := 0.0
	if processing > 0 {
		share = min(1, recent.seconds/processing)
	}
	slow := mean >= slowTimes*usual && mean-usual >= .001 && share >= slowShare
	e := streamkeeper.Event{
		At: now.UTC(), Kind: "dependency_slowed", Source: sourceName,
		Entity: streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: group, Cluster: s.cluster},
		Attrs:  map[string]any{"group": group, "dependency": name, "seconds": mean, "usual_seconds": usual, "share": share, "calls": recent.calls},
	}
	switch {
	case slow && (!p.slow || now.Sub(p.told) >= tellAgain):
		p.slow, p.told = true, now
		e.Text = fmt.Sprintf("group %s: %s takes %s a call instead of %s", group, name, short(mean), short(usual))
		return e, true
	case p.slow && mean < calmTimes*usual:
		p.slow = false
		e.Kind, e.Text = "dependency_recovered", fmt.Sprintf("group %s: %s takes %s a call again", group, name, short(mean))
		return e, true
	}
	return e, false
}

func short(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second)).Round(100 * time.Microsecond)
}

func sum(list []bucket) (b bucket) {
	for _, x := range list {
		b.seconds += x.seconds
		b.calls += x.calls
	}
	return b
}

// usual is the median of what a call took, well before now. It keeps half an hour, so that a slowdown of less is not usual.
func (p *peer) usual() (float64, bool) {
	var means []float64
	for _, b := range p.buckets[:max(0, len(p.buckets)-apartBuckets)] {
		if b.calls > 0 {
			means = append(means, b.seconds/b.calls)
		}
	}
	if len(means) < leastUsual {
		return 0, false
	}
	slices.Sort(means)
	return means[(len(means)-1)/3], true // the healthy third: minutes of a slowdown do not make it usual
}

package otlp

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

const (
	maxUp      = 16 // spans between a call and the record's processing
	callWait   = time.Minute
	longest    = time.Hour // a span beyond is no record's
	otherPeers = "other"
)

// spanKey names a span. A zero span is none.
type spanKey struct {
	trace pcommon.TraceID
	span  pcommon.SpanID
}

// link is a span on the way from a call up to the processing of a record.
type link struct {
	up   spanKey
	call bool // a call itself: what is below it is part of it
	of   *owner
}

// owner is who processed a record.
type owner struct {
	source *Source
	group  string
}

// call is a span that waited for somebody else.
type call struct {
	up      spanKey
	peer    string
	seconds float64
	failed  bool
	came    time.Time
}

// spans finds out whose calls are whose. Spans of one trace come in any order, mostly the inner ones first. Guarded by the
// receiver's mutex.
type spans struct {
	limits Limits
	links  map[spanKey]link
	order  []spanKey // of links, a ring
	next   int
	calls  []call
}

func newSpans(l Limits) *spans { return &spans{limits: l, links: map[spanKey]link{}} }

func (s *spans) add(key spanKey, l link) {
	if _, again := s.links[key]; again {
		s.links[key] = l
		return
	}
	if len(s.order) < s.limits.Spans {
		s.order = append(s.order, key)
	} else {
		delete(s.links, s.order[s.next])
		s.order[s.next] = key
		s.next = (s.next + 1) % len(s.order)
	}
	s.links[key] = l
}

// up follows a call to the processing it is part of. known is false while a span on the way has not come.
func (s *spans) up(from spanKey) (of *owner, known bool) {
	for range maxUp {
		if from.span.IsEmpty() {
			return nil, true
		}
		l, ok := s.links[from]
		switch {
		case !ok:
			return nil, false
		case l.of != nil:
			return l.of, true
		case l.call:
			return nil, true
		}
		from = l.up
	}
	return nil, true
}

// settle gives calls to those they were made for, as far as that is known by now.
func (r *Receiver) settle(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	keep := r.spans.calls[:0]
	for _, c := range r.spans.calls {
		of, known := r.spans.up(c.up)
		switch {
		case of != nil:
			of.source.called(of.group, c)
		case !known && now.Sub(c.came) < callWait:
			keep = append(keep, c)
		}
	}
	clear(r.spans.calls[len(keep):])
	r.spans.calls = keep
}

// takeTraces keeps what processed records, and the calls that may have been made for it.
func (r *Receiver) takeTraces(td ptrace.Traces, wanted string, out *outcome) {
	now := r.o.Now()
	for _, rs := range td.ResourceSpans().All() {
		resource := rs.Resource().Attributes()
		for _, ss := range rs.ScopeSpans().All() {
			for _, sp := range ss.Spans().All() {
				r.counts.items[tracesSignal].Add(1)
				r.takeSpan(sp, texts{[]pcommon.Map{sp.Attributes(), resource}, &r.limits}, wanted, now, out)
			}
		}
	}
}

func (r *Receiver) takeSpan(sp ptrace.Span, t texts, wanted string, now time.Time, out *outcome) {
	start, end := sp.StartTimestamp().AsTime(), sp.EndTimestamp().AsTime()
	took := end.Sub(start)
	if r.ageless(end, now, tracesSignal, out) {
		return
	}
	if took < 0 || took > longest || sp.TraceID().IsEmpty() || sp.SpanID().IsEmpty() {
		out.reject(r, refusedBody, 1, "a span without an id, or that ends before it begins")
		return
	}
	key := spanKey{sp.TraceID(), sp.SpanID()}
	l := link{up: spanKey{sp.TraceID(), sp.ParentSpanID()}}
	failed := sp.Status().Code() == ptrace.StatusCodeError
	switch {
	case processes(sp, t):
		group, client := t.get(groupKeys...), t.get(clientKeys...)
		s := r.sourceOf(t, wanted, group)
		if s != nil {
			group = s.members.groupOf(group, client)
		}
		if s == nil || group == "" {
			r.counts.unclaimed[tracesSignal].Add(1)
			break
		}
		if !s.processed(group, client, took.Seconds(), recordsOf(sp), failed, now) {
			out.reject(r, refusedRoom, 1, fmt.Sprintf("more than %d groups", r.limits.Groups))
			return
		}
		r.counts.kept[tracesSignal].Add(1)
		l.of = &owner{s, group}
	case sp.Kind() == ptrace.SpanKindClient || sp.Kind() == ptrace.SpanKindProducer:
		l.call = true
		r.wait(call{up: l.up, peer: peerOf(t), seconds: took.Seconds(), failed: failed, came: now})
	}
	r.mu.Lock()
	r.spans.add(key, l)
	r.mu.Unlock()
}

// wait keeps a call until it is known whose it is; the oldest makes room.
func (r *Receiver) wait(c call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.spans.calls) >= r.limits.Calls {
		r.spans.calls = append(r.spans.calls[:0], r.spans.calls[len(r.spans.calls)/2:]...) // halving keeps this cheap
	}
	r.spans.calls = append(r.spans.calls, c)
}

// processes reports whether a span is the processing of Kafka records, in the newer and older conventions.
func processes(sp ptrace.Span, t texts) bool {
	if t.get("messaging.system") != "kafka" {
		return false
	}
	for _, k := range []string{"messaging.operation.type", "messaging.operation.name", "messaging.operation"} {
		if v := t.get(k); v != "" {
			return v == "process"
		}
	}
	return sp.Kind() == ptrace.SpanKindConsumer && strings.HasSuffix(sp.Name(), " process")
}

// recordsOf is how many records a span is about.
func recordsOf(sp ptrace.Span) float64 {
	if v, ok := sp.Attributes().Get("messaging.batch.message_count"); ok && v.Type() == pcommon.ValueTypeInt && v.Int() > 1 && v.Int() < 1e6 {
		return float64(v.Int())
	}
	return 1
}

// peerOf names who was called: what it is and where.
func peerOf(t texts) string {
	where := t.get("peer.service", "server.address", "net.peer.name", "net.sock.peer.name", "http.host")
	if where == "" {
		if u, err := url.Parse(t.get("url.full", "http.url")); err == nil {
			where = u.Hostname()
		}
	}
	what := t.get("db.system.name", "db.system", "messaging.system", "rpc.service", "rpc.system")
	if name := t.get("db.namespace", "db.name", "messaging.destination.name"); name != "" {
		what = strings.TrimSpace(what + " " + name)
	}
	switch {
	case what == "" && where == "":
		return otherPeers
	case what == "":
		return where
	case where == "":
		return what
	}
	return what + " at " + where
}

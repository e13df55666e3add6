package loki

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// Who tells a line.
const (
	tellerBroker = "broker"
	tellerClient = "client"
)

// World is what is known of a cluster's members and brokers, to name whom a line is about. It must be safe for
// concurrent use.
type World interface {
	Inventory(cluster string) streamkeeper.Inventory
}

// Options configure a Receiver.
type Options struct {
	Patterns []Pattern // nil means BuiltIn
	Limits   Limits    // zero means DefaultLimits
	World    World
	Now      func() time.Time
}

// Receiver takes pushed logs for all clusters. It is an http.Handler (push.go), safe for concurrent use.
type Receiver struct {
	scanner *scanner
	limits  Limits
	world   World
	now     func() time.Time
	bodies  *collectors.Bodies

	mu      sync.Mutex
	streams map[string]*stream
	sources map[string]*Source
	swept   time.Time

	counts counts
}

// counts are what the receiver tells of itself.
type counts struct {
	lines, bytes, relevant, unclaimed, dropped atomic.Int64
	refused                                    [reasons]atomic.Int64
}

// stream is one label set. Its fields are guarded by the receiver's mutex; labels and source never change.
type stream struct {
	key    string // the labels as they came
	labels map[string]string
	source *Source // nil: no label says which of several clusters
	broker string  // node id, once a label or a line has told
	logs   bool    // it carries a broker's main log: its silence tells something
	seen   time.Time
}

// hit is a relevant line that waits for its cluster's next round.
type hit struct {
	at     time.Time
	stream string
	p      *Pattern
	attrs  map[string]any
	facts  map[string]bool
	labels map[string]string
	more   map[string]string // structured metadata
	broker string
	line   string
}

// NewReceiver makes a receiver without clusters; add them with Source.
func NewReceiver(o Options) (*Receiver, error) {
	if o.Patterns == nil {
		var err error
		if o.Patterns, err = BuiltIn(); err != nil {
			return nil, err
		}
	}
	if o.Limits == (Limits{}) {
		o.Limits = DefaultLimits()
	}
	s, err := newScanner(o.Patterns)
	if err != nil {
		return nil, err
	}
	r := &Receiver{
		scanner: s, limits: o.Limits, world: o.World, now: o.Now, bodies: collectors.NewBodies(o.Limits.Pushes, o.Limits.PushWait),
		streams: map[string]*stream{}, sources: map[string]*Source{},
	}
	return r, nil
}

// find gives the stream of a label set, known or new, and a tally for it. The words of a refusal are Loki's.
func (r *Receiver) find(labels []byte, wanted string) (*stream, tally, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.streams[string(labels)]; s != nil {
		s.seen = r.now()
		return s, tally{broker: s.broker, logs: s.logs}, nil
	}
	if len(r.streams) >= r.limits.Streams {
		r.sweep()
	}
	if len(r.streams) >= r.limits.Streams {
		return nil, tally{}, refuse(http.StatusTooManyRequests, refusedStreams, "Maximum active stream limit exceeded when trying to create stream %s, "+
			"reduce the number of active streams (reduce labels or reduce label values), or contact your Loki administrator to see if the limit can be increased",
			short(string(labels)))
	}
	named, err := parseLabels(string(labels), r.limits)
	if err != nil {
		return nil, tally{}, refuse(http.StatusBadRequest, refusedLabels, "%w", err)
	}
	s := &stream{key: string(labels), labels: named, source: r.sourceOf(named, wanted), broker: brokerOf(named), seen: r.now()}
	r.streams[s.key] = s
	return s, tally{broker: s.broker}, nil
}

// sweep forgets streams that are idle. The caller holds mu.
func (r *Receiver) sweep() {
	now := r.now()
	if now.Sub(r.swept) < time.Minute {
		return
	}
	r.swept = now
	maps.DeleteFunc(r.streams, func(_ string, s *stream) bool { return now.Sub(s.seen) > r.limits.StreamIdle })
}

// sourceOf is the cluster that the sender's address or the labels name, or the only one there is.
func (r *Receiver) sourceOf(labels map[string]string, wanted string) *Source {
	if s := r.sources[wanted]; s != nil {
		return s
	}
	for _, name := range collectors.ClusterLabels {
		if s := r.sources[labels[name]]; s != nil {
			return s
		}
	}
	if len(r.sources) == 1 {
		for _, s := range r.sources {
			return s
		}
	}
	return nil
}

// proofs are the words of which a broker's main log has one now and then, whatever happens: with them its silence about
// groups tells something. A controller's log or an authorizer's has none of them.
var proofs = [][]byte{[]byte("[GroupCoordinator"), []byte("[GroupMetadataManager"), []byte("[LocalLog"), []byte("[UnifiedLog"), []byte("[ReplicaManager"), []byte("[Partition ")}

var info = []byte("INFO")

// tally is what one push did to one stream. broker and logs are the stream's when the push began: other pushes may tell
// them meanwhile.
type tally struct {
	broker string
	logs   bool
	hits   []hit
	newest time.Time
	proof  bool
	bytes  int
	lines  int
}

// look takes one line into account.
func (t *tally) look(r *Receiver, s *stream, e entry) {
	t.lines++
	t.bytes += len(e.line)
	if e.at.After(t.newest) {
		t.newest = e.at
	}
	if t.broker != "" && !t.logs && !t.proof && bytes.Contains(e.line, info) {
		t.proof = slices.ContainsFunc(proofs, func(p []byte) bool { return bytes.Contains(e.line, p) })
	}
	if !r.scanner.relevant(e.line) {
		return
	}
	p, attrs, facts := r.scanner.read(e.line)
	if p == nil {
		return
	}
	h := hit{at: e.at.UTC(), stream: s.key, p: p, attrs: attrs, facts: facts, labels: s.labels, more: e.labelsOf(r.limits), broker: t.broker, line: message(e.line)}
	if p.Teller == tellerBroker {
		if id := brokerIn(h.line); id != "" {
			h.broker = id
		}
		t.proof = t.proof || bytes.Contains(e.line, proofs[0])
	}
	t.hits = append(t.hits, h)
}

// settle hands a stream's tally over.
func (r *Receiver) settle(s *stream, t *tally) {
	r.counts.lines.Add(int64(t.lines))
	r.counts.bytes.Add(int64(t.bytes))
	r.counts.relevant.Add(int64(len(t.hits)))
	r.mu.Lock()
	if s.broker == "" {
		for i := range t.hits {
			if b := t.hits[i].broker; b != "" && t.hits[i].p.Teller == tellerBroker {
				s.broker = b
				break
			}
		}
	}
	s.logs = s.logs || t.proof && s.broker != ""
	broker, logs, now := s.broker, s.logs, r.now()
	r.mu.Unlock()
	if s.source == nil {
		r.place(t.hits)
		return
	}
	if logs {
		s.source.heard(broker, t.newest, now)
	}
	s.source.add(t.hits)
}

// place finds the cluster of lines whose labels name none: the only one that knows the group.
func (r *Receiver) place(hits []hit) {
	for _, h := range hits {
		group := groupOf(h)
		var owner *Source
		owners := 0
		for _, s := range r.all() {
			if group != "" && s.knows(group) {
				owner = s
				owners++
			}
		}
		if owners != 1 {
			r.counts.unclaimed.Add(1)
			continue
		}
		owner.add([]hit{h})
	}
}

func (r *Receiver) all() []*Source {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*Source, 0, len(r.sources))
	for _, name := range slices.Sorted(maps.Keys(r.sources)) {
		out = append(out, r.sources[name])
	}
	return out
}

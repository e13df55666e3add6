package otlp

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"google.golang.org/grpc/codes"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// World is what is known of a cluster's groups and members, to name whom a client or span belongs to. It must be safe for
// concurrent use.
type World interface {
	Inventory(cluster string) streamkeeper.Inventory
}

// Line is a log record as text, with the names that its sender gave.
type Line struct {
	At   time.Time
	Text []byte
	More map[string]string // of the record itself
}

// Lines reads log lines of one stream, named by labels; wanted is the cluster the sender named, or "". rejected are those
// beyond a limit, for the reason of the error; an error with none rejected is about all of them.
type Lines func(wanted string, labels map[string]string, lines []Line) (rejected int, err error)

// Limits bound what a request may ask of us, and what is kept.
type Limits struct {
	BodyBytes    int // of a body as it comes; 413 above
	DecodedBytes int // of a body decompressed; 413 above
	Attributes   int // of one resource, point, span or record that are looked at
	TextBytes    int // of a name that is kept; a longer one is nobody's
	Requests     int // read at the same time; the next wait a little, then 429
	Wait         time.Duration
	MaxAge       time.Duration // of a point or span; rejected beyond
	MaxAhead     time.Duration
	Clients      int // of a cluster; new ones beyond are rejected
	Groups       int // of a cluster that have spans; spans of new ones beyond are rejected
	Peers        int // of a group; others are counted as one
	Spans        int // remembered to find a call's way up; the oldest make room
	Calls        int // waiting for the span above them; the oldest make room
}

// DefaultLimits are the limits in use.
func DefaultLimits() Limits {
	return Limits{
		BodyBytes: 4 << 20, DecodedBytes: 8 << 20, Attributes: 128, TextBytes: 255,
		Requests: 2, Wait: 5 * time.Second, MaxAge: 15 * time.Minute, MaxAhead: 10 * time.Minute,
		Clients: 2000, Groups: 1000, Peers: 20, Spans: 50_000, Calls: 20_000,
	}
}

// Options configure a Receiver.
type Options struct {
	World  World
	Lines  Lines  // nil: logs are not taken
	Limits Limits // zero means DefaultLimits
	Now    func() time.Time
}

// Receiver takes what is sent, for all clusters. It is safe for concurrent use.
type Receiver struct {
	o      Options
	limits Limits
	bodies *collectors.Bodies

	mu      sync.Mutex
	sources map[string]*Source
	spans   *spans
	batch   uint64 // counts requests, to tell a client's points of one from the next's

	counts counts
}

// counts are what the receiver tells of itself.
type counts struct {
	items, kept, unclaimed [signals]atomic.Int64
	refused                [reasons]atomic.Int64
}

// NewReceiver makes a receiver without clusters; add them with Source.
func NewReceiver(o Options) *Receiver {
	if o.Limits == (Limits{}) {
		o.Limits = DefaultLimits()
	}
	r := &Receiver{o: o, limits: o.Limits, bodies: collectors.NewBodies(o.Limits.Requests, o.Limits.Wait), sources: map[string]*Source{}}
	r.spans = newSpans(o.Limits)
	return r
}

// signal is a kind of telemetry.
type signal int

const (
	metricsSignal signal = iota
	tracesSignal
	logsSignal
	signals
)

var signalNames = [signals]string{"metrics", "traces", "logs"}

// refusal is why a request, or a part of it, was not taken.
type refusal int

const (
	refusedBody refusal = iota
	refusedSize
	refusedKind
	refusedBusy
	refusedAge
	refusedRoom
	refusedLine
	reasons
)

var reasonNames = [reasons]string{"malformed", "too_large", "content_type", "busy", "age", "room", "line"}

// refused is an answer other than success, for both transports.
type refused struct {
	status int
	code   codes.Code
	reason refusal
	err    error
}

func (e *refused) Error() string { return e.err.Error() }
func (e *refused) Unwrap() error { return e.err }

func malformed(err error) error {
	return &refused{http.StatusBadRequest, codes.InvalidArgument, refusedBody, err}
}

func tooLarge(err error) error {
	return &refused{http.StatusRequestEntityTooLarge, codes.ResourceExhausted, refusedSize, err}
}

// outcome is what of a request was not taken.
type outcome struct {
	rejected int64
	why      string // the first reason
}

func (o *outcome) reject(r *Receiver, reason refusal, n int, why string) {
	o.rejected += int64(n)
	r.counts.refused[reason].Add(int64(n))
	if o.why == "" {
		o.why = why
	}
}

// The attributes that name things, the more telling first; in the conventions' newer and older spellings.
var (
	clusterKeys = []string{"kafka_cluster", "kafka.cluster", "messaging.kafka.cluster", "strimzi.io/cluster", "cluster", "cluster_name", "cluster.name"}
	groupKeys   = []string{"messaging.consumer.group.name", "messaging.kafka.consumer.group", "messaging.consumer_group", "group_id", "group-id", "group.id", "consumer_group", "kafka.consumer.group"}
	clientKeys  = []string{"messaging.client.id", "messaging.client_id", "messaging.kafka.client_id", "client_id", "client-id", "client.id"}
)

// texts looks up attributes, of which no more than the limit are seen.
type texts struct {
	of     []pcommon.Map // the nearest first
	limits *Limits
}

// get is the first of some keys that is a text within the limit, or a number.
func (t texts) get(keys ...string) string {
	for _, m := range t.of {
		if m.Len() > t.limits.Attributes {
			continue
		}
		for _, k := range keys {
			if v, ok := m.Get(k); ok && v.Type() <= pcommon.ValueTypeBool {
				if s := v.AsString(); s != "" && len(s) <= t.limits.TextBytes {
					return strings.ToValidUTF8(s, "?")
				}
			}
		}
	}
	return ""
}

// sourceOf is the cluster that the sender or the attributes name, or the only one there is, or the only one that has the
// group; nil when none is.
func (r *Receiver) sourceOf(t texts, wanted, group string) *Source {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sources[wanted]; s != nil {
		return s
	}
	for _, k := range clusterKeys {
		if s := r.sources[t.get(k)]; s != nil {
			return s
		}
	}
	if len(r.sources) == 1 || group != "" {
		return r.only(group)
	}
	return nil
}

func (r *Receiver) only(group string) (found *Source) {
	for _, name := range slices.Sorted(maps.Keys(r.sources)) {
		s := r.sources[name]
		if len(r.sources) > 1 && !s.members.has(group) {
			continue
		}
		if found != nil {
			return nil
		}
		found = s
	}
	return found
}

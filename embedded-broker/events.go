package broker

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

const ringSize = 8192

// ring holds the newest events. Sequence numbers start at the Unix time in microseconds, so that those of a later run are
// larger: a reader's position survives a restart, and so do JSON readers with 53 bits.
type ring struct {
	now    func() time.Time
	source string
	boot   string // differs for every process

	mu     sync.Mutex
	from   time.Time // everything since then is told; zero = everything there ever was
	first  uint64    // sequence number of the first event of this run
	next   uint64
	events [ringSize]streamkeeper.Event
	grown  chan struct{} // closed when an event comes
}

func newRing(now func() time.Time, node string, from time.Time) *ring {
	at := now()
	seq := uint64(max(at.UnixMicro(), 1))
	return &ring{
		now: now, source: "broker-" + node, boot: strconv.FormatInt(at.UnixNano(), 36),
		from: from, first: seq, next: seq, grown: make(chan struct{}),
	}
}

// Emit adds an event to the ring. It fills in the sequence number, the source, and the time when there is none; it never
// blocks.
func (t *Telemetry) Emit(ev streamkeeper.Event) { t.ring.add(ev) }

func (r *ring) add(ev streamkeeper.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ev.At.IsZero() {
		ev.At = r.now()
	}
	ev.At = ev.At.UTC()
	ev.Seq, ev.Source = r.next, r.source
	r.events[r.next%ringSize] = ev
	r.next++
	close(r.grown)
	r.grown = make(chan struct{})
}

func (r *ring) told() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next - r.first
}

// page is what a reader gets at once.
type page struct {
	Events    []streamkeeper.Event   `json:"events"`
	Watermark streamkeeper.Watermark `json:"watermark"`
	Boot      string                 `json:"boot"` // differs for every process that answers
	Next      uint64                 `json:"next"` // pass it as after
	Lost      uint64                 `json:"lost"` // events of this run after the reader's position that the ring no longer holds
}

// read gives up to limit events after a position, and what is closed when there are more.
func (r *ring) read(after uint64, limit int) (page, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now().UTC()
	p := page{
		Events: []streamkeeper.Event{}, Boot: r.boot, Next: min(after, r.next-1),
		Watermark: streamkeeper.Watermark{Source: r.source, From: r.from.UTC(), Through: now, Heartbeat: now},
	}
	oldest := r.first
	if r.next-r.first > ringSize {
		oldest = r.next - ringSize
		p.Watermark.From = r.events[oldest%ringSize].At
	}
	seq := max(after+1, oldest)
	p.Lost = oldest - max(min(after+1, oldest), r.first)
	for ; seq < r.next && len(p.Events) < limit; seq++ {
		p.Events = append(p.Events, r.events[seq%ringSize])
		p.Next = seq
	}
	if seq < r.next {
		// More are waiting: everything is told only up to the last one of this page.
		p.Watermark.Through = p.Events[len(p.Events)-1].At
	}
	return p, r.grown
}

// A stop is remembered in a file, because nobody may read the ring between the request and the end of the process.
const shutdownFile = "shutdown_requested.json"

func shutdownEvent(at time.Time) streamkeeper.Event {
	return streamkeeper.Event{At: at, Kind: "shutdown_requested", Text: "the broker was asked to stop"}
}

// shutdownRequested tells that the broker was asked to stop, now and after the next start.
func (t *Telemetry) shutdownRequested() {
	at := t.o.Now().UTC()
	ev := shutdownEvent(at)
	ev.Entity = t.entity()
	t.Emit(ev)
	if t.o.Dir == "" {
		return
	}
	if b, err := json.Marshal(map[string]time.Time{"at": at}); err == nil {
		// Without it the next start only knows less; stopping goes on.
		_ = os.WriteFile(filepath.Join(t.o.Dir, shutdownFile), b, 0o644)
	}
}

const seenFile = "broker_seen"

// coveredFrom is since when the ring misses nothing: for ever in a new data directory, where nothing can have happened
// before; since the stop when the last run ended in order; since now after a crash.
func coveredFrom(dir string, now, stopped time.Time) time.Time {
	if !stopped.IsZero() {
		return stopped
	}
	if dir == "" {
		return time.Time{}
	}
	name := filepath.Join(dir, seenFile)
	if _, err := os.Stat(name); err == nil {
		return now
	}
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		return now // unknown from the next start on: claim less
	}
	return time.Time{}
}

// readShutdown takes the remembered stop, if the last run left one.
func readShutdown(dir string) (at time.Time, ok bool) {
	if dir == "" {
		return at, false
	}
	name := filepath.Join(dir, shutdownFile)
	b, err := os.ReadFile(name)
	if err != nil {
		return at, false
	}
	if err := os.Remove(name); err != nil {
		return at, false // it would be told again and again
	}
	var v struct{ At time.Time }
	if json.Unmarshal(b, &v) != nil || v.At.IsZero() {
		return at, false
	}
	return v.At, true
}

package events

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/test/alloctest"
)

// fakeRing answers like a broker's ring, as docs/telemetry.md describes it.
type fakeRing struct {
	mu     sync.Mutex
	events []streamkeeper.Event
	first  uint64 // the oldest number kept
	mark   streamkeeper.Watermark
	boot   string
	status int
	body   string
}

func (f *fakeRing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.status != 0 {
		w.WriteHeader(f.status)
		return
	}
	if f.body != "" {
		w.Write([]byte(f.body))
		return
	}
	after, _ := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64)
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	p := page{Events: []streamkeeper.Event{}, Watermark: f.mark, Next: min(after, f.last()), Boot: f.boot}
	if f.first > after+1 {
		p.Lost = f.first - after - 1
	}
	for _, e := range f.events {
		if e.Seq > after && len(p.Events) < limit {
			p.Events = append(p.Events, e)
			p.Next = e.Seq
		}
	}
	json.NewEncoder(w).Encode(p)
}

func (f *fakeRing) last() uint64 {
	if len(f.events) == 0 {
		return 0
	}
	return f.events[len(f.events)-1].Seq
}

func (f *fakeRing) set(from, through int, events ...streamkeeper.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events, f.mark, f.first = events, watermark("whatever the broker calls itself", from, through), 0
	if len(events) > 0 {
		f.first = events[0].Seq
	}
}

type logSink struct{ log *Log }

func (s logSink) Samples(context.Context, []streamkeeper.Sample) error    { return nil }
func (s logSink) Inventory(context.Context, streamkeeper.Inventory) error { return nil }
func (s logSink) Events(_ context.Context, ev []streamkeeper.Event, w streamkeeper.Watermark) error {
	s.log.Add(ev, w)
	return nil
}

func ringUnderTest(t *testing.T) (*fakeRing, *Ring, *Log) {
	t.Helper()
	fake := &fakeRing{}
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	return fake, NewRing(RingOptions{Cluster: "c", URL: server.URL + "/api/v1/broker/events?x=1"}), NewLog(Options{})
}

func collect(t *testing.T, r *Ring, l *Log) {
	t.Helper()
	if err := r.Collect(t.Context(), time.Time{}, logSink{l}); err != nil {
		t.Fatal(err)
	}
}

func TestRingReadsOn(t *testing.T) {
	fake, r, l := ringUnderTest(t)
	left := streamkeeper.Event{Seq: 1, At: at(10), Kind: "member_left", Attrs: map[string]any{"reason": "x", "heartbeat_age_s": 1.5, "admin": false}}
	fake.set(0, 20, left)
	collect(t, r, l)
	fake.set(5, 30, left, event(2, 25, "member_joined"))
	collect(t, r, l)
	collect(t, r, l)
	got := l.Events("c", nil, at(0), at(30))
	if len(got) != 2 {
		t.Fatalf("%d events, want each once: %v", len(got), got)
	}
	if d := cmp.Diff(left.Attrs, got[0].Attrs); d != "" {
		t.Errorf("attributes did not survive: %s", d)
	}
	want := streamkeeper.Watermark{Source: "broker", Cluster: "c", From: at(0), Through: at(30), Heartbeat: at(30)}
	if d := cmp.Diff([]streamkeeper.Watermark{want}, l.Watermarks("c")); d != "" {
		t.Errorf("what was covered once stays covered: %s", d)
	}
}

func TestRingThatOverran(t *testing.T) {
	fake, r, l := ringUnderTest(t)
	fake.set(0, 20, event(1, 10, "a"))
	collect(t, r, l)
	fake.set(50, 60, event(7, 55, "a"))
	collect(t, r, l)
	if w := l.Watermarks("c")[0]; !w.From.Equal(at(50)) {
		t.Errorf("From is %v: five lost events are claimed not to have happened", w.From)
	}
	fake.set(55, 70, event(7, 55, "a"))
	collect(t, r, l)
	if w := l.Watermarks("c")[0]; !w.From.Equal(at(50)) {
		t.Errorf("From is %v: it moves only when something is lost", w.From)
	}
}

func TestRingOfARestartedBroker(t *testing.T) {
	fake, r, l := ringUnderTest(t)
	fake.boot = "first"
	fake.set(0, 20, event(1, 10, "a"), event(2, 11, "b"))
	collect(t, r, l)
	fake.boot = "second"
	shutdown := event(1, 19, "shutdown_requested")
	// A new process numbers from 1 again, and from = zero: it remembers nothing from before.
	fake.set(0, 50, shutdown)
	fake.mark.From = time.Time{}
	fake.mu.Lock()
	fake.events = []streamkeeper.Event{shutdown}
	fake.mu.Unlock()
	collect(t, r, l)
	if got := l.Events("c", []string{"shutdown_requested"}, at(0), at(60)); len(got) != 1 {
		t.Fatalf("%v: its number 1 is not the old process's number 1", got)
	}
	if w := l.Watermarks("c")[0]; !w.From.Equal(at(50)) {
		t.Errorf("From = %v: what the old process had still to tell is unknown", w.From)
	}

	// Once more: the new process has passed our cursor already, and says when it started.
	fake.set(0, 90, event(1, 60, "broker_started"), event(2, 61, "a"), event(3, 62, "a"))
	fake.mark.From = time.Time{}
	fake.boot = "third"
	collect(t, r, l)
	if w := l.Watermarks("c")[0]; !w.From.Equal(at(60)) {
		t.Errorf("From = %v, want the start of the process", w.From)
	}
	if got := l.Events("c", nil, at(0), at(100)); len(got) != 6 {
		t.Errorf("%d events, want 6", len(got))
	}
}

func TestRingPages(t *testing.T) {
	fake, r, l := ringUnderTest(t)
	var many []streamkeeper.Event
	for i := range 2*pageSize + 5 {
		many = append(many, event(uint64(i+1), i, "a"))
	}
	fake.set(0, 9000, many...)
	collect(t, r, l)
	if got := l.Events("c", nil, at(-1), at(9000)); len(got) != len(many) {
		t.Errorf("%d events of %d", len(got), len(many))
	}
	if w := l.Watermarks("c")[0]; !w.Through.Equal(at(9000)) {
		t.Errorf("Through = %v, want the last page's", w.Through)
	}
}

func TestRingErrors(t *testing.T) {
	fake, r, l := ringUnderTest(t)
	for _, test := range []struct {
		status int
		body   string
		want   string
	}{
		{503, "", "503"},
		{0, "<html>", "invalid"},
		{0, "{}", "no watermark"},
		{0, strings.Repeat(" ", maxPage+2), "over"},
	} {
		fake.mu.Lock()
		fake.status, fake.body = test.status, test.body
		fake.mu.Unlock()
		if err := r.Collect(t.Context(), time.Time{}, logSink{l}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+.60v: %v", test, err)
		}
	}
	if l.Covered("c", []string{"member_left"}, at(0), at(10)) {
		t.Error("a source that never answered covers something")
	}
}

func FuzzDecodePage(f *testing.F) {
	f.Add([]byte(`{"events":[{"seq":1,"at":"2026-03-04T10:00:00Z","kind":"member_left","attrs":{"a":1,"b":[1]}}],"watermark":{"through":"2026-03-04T10:00:00Z"},"next":1}`))
	f.Add([]byte(`{"watermark":{"through":""}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var p page
		var err error
		alloctest.Bound(t, len(body), 512, func() { p, err = decodePage(body) }) // an event with its map for a few bytes
		if err == nil && p.Watermark.Through.IsZero() {
			t.Error("a page that promises nothing was accepted")
		}
	})
}

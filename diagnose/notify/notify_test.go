package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func incident(id string, state streamkeeper.IncidentState, update int) streamkeeper.Incident {
	i := streamkeeper.Incident{
		Schema: streamkeeper.IncidentSchema, ID: id, State: state, Cluster: "c", OpenedAt: noon,
		UpdatedAt: noon.Add(time.Duration(update) * time.Minute), Headline: "orders is late", Severity: streamkeeper.SeverityWarning,
		Root: streamkeeper.Finding{
			Cause: "slow", Title: "Processing has slowed", Confidence: .97,
			Entity: streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: "orders", Cluster: "c"},
		},
		Advice: []streamkeeper.Advice{{Do: "max.poll.records = 96"}},
	}
	if state == streamkeeper.IncidentResolved {
		i.ResolvedAt = &i.UpdatedAt
	}
	return i
}

// receiver is a sender that answers as it is told, and remembers.
type receiver struct {
	mu    sync.Mutex
	fail  []error // answers to come; then nil
	block bool    // never answers before the deadline
	got   []string
	at    []time.Duration
	began time.Time
	every time.Duration
}

func (r *receiver) Name() string { return "receiver" }

func (r *receiver) Every() time.Duration { return r.every }

func (r *receiver) Send(ctx context.Context, i streamkeeper.Incident) error {
	r.mu.Lock()
	r.at = append(r.at, time.Since(r.began))
	block := r.block
	var err error
	if len(r.fail) > 0 {
		err, r.fail = r.fail[0], r.fail[1:]
	}
	if err == nil && !block {
		r.got = append(r.got, i.ID+" "+string(i.State))
	}
	r.mu.Unlock()
	if block {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (r *receiver) SendRollup(ctx context.Context, u streamkeeper.Rollup) error {
	return r.Send(ctx, streamkeeper.Incident{ID: u.ID, State: "rollup"})
}

func (r *receiver) sent() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func (r *receiver) tries() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.at)
}

// start runs a notifier in a synctest bubble; stop ends it and waits.
func start(t *testing.T, opt Options, senders ...Sender) (n *Notifier, stop func()) {
	t.Helper()
	opt.Jitter = func() float64 { return .5 }
	n, err := New(opt, senders...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = n.Run(ctx)
	}()
	return n, func() { cancel(); <-done }
}

func publish(t *testing.T, n *Notifier, list ...streamkeeper.Incident) {
	t.Helper()
	if err := n.Publish(t.Context(), streamkeeper.Report{}, list); err != nil {
		t.Fatal(err)
	}
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestEachStateIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{began: time.Now()}
		n, stop := start(t, Options{}, r)
		for k, state := range []streamkeeper.IncidentState{streamkeeper.IncidentOpen, streamkeeper.IncidentUpdated, streamkeeper.IncidentResolved} {
			publish(t, n, incident("A", state, k))
			synctest.Wait()
		}
		stop()
		same(t, "told", r.sent(), []string{"A open", "A updated", "A resolved"})
	})
}

// Failures are tried again after 1, 2, 4 s … (here three quarters of that, by the jitter).
func TestRetriesWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("connection refused")
		r := &receiver{began: time.Now(), fail: []error{down, down, down}}
		n, stop := start(t, Options{}, r)
		publish(t, n, incident("A", streamkeeper.IncidentOpen, 0))
		time.Sleep(time.Minute)
		stop()
		same(t, "told", r.sent(), []string{"A open"})
		want := []time.Duration{0, 750 * time.Millisecond, 2250 * time.Millisecond, 5250 * time.Millisecond}
		if !slices.Equal(r.at, want) {
			t.Errorf("tries at %v, want %v", r.at, want)
		}
	})
}

func TestRefusalsAreNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{began: time.Now(), fail: []error{fmt.Errorf("status 400: %w", ErrPermanent)}}
		n, stop := start(t, Options{}, r)
		publish(t, n, incident("A", streamkeeper.IncidentOpen, 0), incident("B", streamkeeper.IncidentOpen, 0))
		time.Sleep(time.Minute)
		stop()
		same(t, "told", r.sent(), []string{"B open"})
	})
}

// While a receiver is down an incident waits once, with its newest content; it is still an opening.
func TestNewerUpdateReplacesWaitingOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{began: time.Now(), fail: []error{errors.New("down")}}
		n, stop := start(t, Options{First: time.Minute}, r)
		publish(t, n, incident("A", streamkeeper.IncidentOpen, 0))
		synctest.Wait()
		publish(t, n, incident("A", streamkeeper.IncidentUpdated, 1))
		time.Sleep(2 * time.Minute)
		stop()
		same(t, "told", r.sent(), []string{"A open"})
	})
}

func TestQueueIsBoundedAndKeepsResolutions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{began: time.Now(), block: true}
		n, stop := start(t, Options{Queue: 3, Deadline: time.Second, First: time.Hour}, r)
		publish(t, n, incident("A", streamkeeper.IncidentResolved, 0))
		synctest.Wait()
		for _, id := range []string{"B", "C", "D", "E"} {
			publish(t, n, incident(id, streamkeeper.IncidentOpen, 0))
		}
		box := n.boxes[0]
		box.mu.Lock()
		var waiting []string
		for _, l := range box.queue {
			waiting = append(waiting, l.incident.ID)
		}
		dropped := box.dropped
		box.mu.Unlock()
		same(t, "waiting", waiting, []string{"A", "D", "E"})
		if dropped != 2 {
			t.Errorf("dropped %d, want 2", dropped)
		}
		stop()
	})
}

// A receiver that never answers costs its own deadline and nobody else's time.
// A roll-up is told once, is not re-sent, and no update pushes it out of a full queue.
func TestRollups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{began: time.Now(), every: time.Minute, fail: []error{errors.New("away")}}
		n, stop := start(t, Options{Queue: 2}, r)
		if err := n.Rollup(t.Context(), streamkeeper.Rollup{ID: "R"}); err != nil {
			t.Fatal(err)
		}
		publish(t, n, incident("A", streamkeeper.IncidentOpen, 0), incident("B", streamkeeper.IncidentOpen, 0))
		time.Sleep(10 * time.Minute)
		stop()
		told := 0
		for _, what := range r.sent() {
			if what == "R rollup" {
				told++
			}
		}
		if told != 1 {
			t.Errorf("told %q, want the roll-up once", r.sent())
		}
	})
}

func TestHangingReceiverDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs, works := &receiver{began: time.Now(), block: true}, &receiver{began: time.Now()}
		n, stop := start(t, Options{Deadline: 10 * time.Second}, hangs, works)
		publish(t, n, incident("A", streamkeeper.IncidentOpen, 0))
		synctest.Wait()
		same(t, "told", works.sent(), []string{"A open"})
		stop()
		if d := time.Since(works.began); d > 20*time.Second {
			t.Errorf("stopping took %s", d)
		}
	})
}

func TestOpenIncidentsAreResent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{began: time.Now(), every: time.Minute}
		n, stop := start(t, Options{}, r)
		publish(t, n, incident("A", streamkeeper.IncidentOpen, 0))
		time.Sleep(150 * time.Second)
		publish(t, n, incident("A", streamkeeper.IncidentResolved, 3))
		time.Sleep(5 * time.Minute)
		stop()
		same(t, "told", r.sent(), []string{"A open", "A open", "A open", "A resolved"})
	})
}

// What waits when the process ends is tried once more.
func TestFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{began: time.Now(), fail: []error{errors.New("down")}}
		n, stop := start(t, Options{First: time.Hour, Longest: time.Hour}, r)
		publish(t, n, incident("A", streamkeeper.IncidentResolved, 0))
		synctest.Wait()
		stop()
		same(t, "told", r.sent(), []string{"A resolved"})
	})
}

func TestGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{began: time.Now(), block: true}
		n, stop := start(t, Options{Deadline: time.Second, GiveUp: 10 * time.Minute}, r)
		publish(t, n, incident("A", streamkeeper.IncidentOpen, 0))
		time.Sleep(15 * time.Minute)
		tries := r.tries()
		time.Sleep(time.Hour)
		if more := r.tries() - tries; tries == 0 || more != 0 {
			t.Errorf("%d tries, %d more after giving up", tries, more)
		}
		stop()
	})
}

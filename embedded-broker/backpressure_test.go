package broker

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/engine"
)

// TestPatience: what a client sent ahead is answered before the first of it runs into its time-out.
func TestPatience(t *testing.T) {
	for _, timeout := range []time.Duration{0, -1, 300 * time.Millisecond, 10 * time.Second, 30 * time.Second, time.Minute} {
		var total time.Duration
		for ahead := range 5 {
			total += patience(timeout, ahead)
		}
		if timeout > 3*time.Second && total > timeout || patience(timeout, 100) > time.Second || patience(timeout, 0) > max(timeout, 0)/3 {
			t.Errorf("%s: five requests wait %s, later ones %s", timeout, total, patience(timeout, 100))
		}
	}
}

// full returns a broker whose local log is at its hard limit, with the gate in front of its store and two topics: slow
// throttles, fast fails fast.
func full(t *testing.T) (*harness, *gate) {
	g := &gate{}
	h := startOn(t, func(o *engine.Options) {
		small(o)
		g.Objects = o.Store
		o.Store = g
	})
	g.shut.Store(true)
	h.create("slow", 1, nil)
	h.create("fast", 1, map[string]string{engine.BackpressureConfig: engine.FailFast})
	for range 500 {
		r := produceWithin(h, "slow", 0)
		if code := r.Topics[0].Partitions[0].ErrorCode; code == codeNotEnoughReplicas {
			return h, g
		} else if code != 0 {
			t.Fatalf("refused with %s", codeName(code))
		}
	}
	t.Fatal("the log never filled")
	return nil, nil
}

func produceWithin(h *harness, topic string, timeout time.Duration) *kmsg.ProduceResponse {
	req := produceOne(topic, 0, oneBatch(make([]byte, 20_000)))
	req.TimeoutMillis = int32(timeout.Milliseconds())
	return ask[*kmsg.ProduceResponse](h, req, 9)
}

func (h *harness) refusesFast(t *testing.T) {
	t.Helper()
	// With this time-out a request that waits would run into the test's.
	r := produceWithin(h, "fast", time.Hour)
	if p := r.Topics[0].Partitions[0]; p.ErrorCode != codeNotEnoughReplicas || r.ThrottleMillis != 0 || !strings.Contains(*p.ErrorMessage, "fail_fast") {
		t.Errorf("%s, told to wait %d ms", codeName(p.ErrorCode), r.ThrottleMillis)
	}
}

// TestBackpressure: at the limit a producer waits for room as long as its time-out allows, and a topic that fails fast
// refuses at once.
func TestBackpressure(t *testing.T) {
	t.Parallel()
	h, g := full(t)
	h.refusesFast(t)
	began := time.Now()
	r := produceWithin(h, "slow", 300*time.Millisecond)
	if waited := time.Since(began); r.Topics[0].Partitions[0].ErrorCode != codeNotEnoughReplicas || waited < 100*time.Millisecond || r.ThrottleMillis == 0 {
		t.Errorf("%s after %s, then to wait %d ms", codeName(r.Topics[0].Partitions[0].ErrorCode), waited, r.ThrottleMillis)
	}
	answer := make(chan int16, 1)
	go func() { answer <- produceWithin(h, "slow", 50*time.Second).Topics[0].Partitions[0].ErrorCode }()
	wait(t, "the request to wait", func() bool { return h.waiting.used.Load() > 0 })
	h.refusesFast(t)
	g.shut.Store(false)
	if code := <-answer; code != 0 {
		t.Errorf("after the outage: %s", codeName(code))
	}
	wait(t, "the log to empty", func() bool { return h.engine.Stats().Pressure == engine.PressureNormal })
	if code := produceWithin(h, "fast", 0).Topics[0].Partitions[0].ErrorCode; code != 0 {
		t.Errorf("with room: %s", codeName(code))
	}
	text := scrape(t, h.telemetry)
	for _, outcome := range []string{fullWaited, fullRefused, fullFailedFast} {
		if grep(text, `streamkeeper_broker_backpressure_batches_total{broker="0",outcome="`+outcome+`"} 0`) != "" {
			t.Errorf("no %s batch was counted", outcome)
		}
	}
	if h.waiting.used.Load() != 0 {
		t.Error("memory of requests that waited was not given back")
	}
}

// TestBackpressure_Close: a request that waits does not hold up the end.
func TestBackpressure_Close(t *testing.T) {
	t.Parallel()
	h, _ := full(t)
	req := produceOne("slow", 0, oneBatch(make([]byte, 100)))
	req.TimeoutMillis = int32(time.Hour.Milliseconds())
	w := h.dial()
	w.send(req, 9)
	wait(t, "the request to wait", func() bool { return h.waiting.used.Load() > 0 })
	began := time.Now()
	if err := h.Close(t.Context()); err != nil || time.Since(began) > 10*time.Second {
		t.Errorf("closed after %s: %v", time.Since(began), err)
	}
}

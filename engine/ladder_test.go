package engine_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/tiertest"
)

// TestLadder_FailFast: where clients are slowed down a topic that fails fast refuses, and Relief ends with the refusing.
func TestLadder_FailFast(t *testing.T) {
	objects := tiertest.NewStore()
	back := make(chan struct{})
	objects.Inject = func(tiertest.Call) tiertest.Fault {
		select {
		case <-back:
			return tiertest.Fault{}
		default:
			return tiertest.Fault{Err: tiertest.ErrInternal}
		}
	}
	o := options(vfs.NewMem(), objects)
	o.Tier.OffloadAfter, o.Tier.LocalBytes, o.Tier.HardLocalBytes = time.Millisecond, 256<<10, 2<<20
	e, slow := single(t, o, nil)
	defer closeEngine(t, e)
	ctx := context.Background()
	if _, err := e.CreateTopic(ctx, "fast", 1, map[string]string{engine.BackpressureConfig: engine.FailFast}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.CreateTopic(ctx, "wrong", 1, map[string]string{engine.BackpressureConfig: "panic"}); !errors.Is(err, engine.ErrInvalidConfig) {
		t.Errorf("an unknown value: %v", err)
	}
	fast := partition(t, e, "fast", 0)
	add := func(p *engine.Partition) error { return produce(t, p, records(batch.NoProducer, 1, 0, 20)).Err }
	fill := func(until engine.Pressure) {
		t.Helper()
		for n := 0; e.Stats().Pressure != until; n++ {
			if err := add(slow); err != nil && !errors.Is(err, engine.ErrThrottled) || n > 50_000 {
				t.Fatalf("%d batches, %v", n, err)
			}
		}
	}
	if err := add(fast); err != nil {
		t.Fatal(err)
	}
	fill(engine.PressureThrottling)
	eventually(t, "the topic to refuse", func() bool { return errors.Is(add(fast), engine.ErrFailFast) })
	if err := add(slow); err != nil || e.Relief() != nil {
		t.Errorf("the other topic at the same time: %v", err)
	}
	// While it is said to be slow it is slow only: an operator changes his mind.
	if err := e.AlterTopicConfigs(ctx, "fast", nil, []string{engine.BackpressureConfig}); err != nil {
		t.Fatal(err)
	}
	if err := add(fast); err != nil {
		t.Errorf("without the setting: %v", err)
	}
	fill(engine.PressureRefusing)
	eventually(t, "all to be refused", func() bool { return e.Relief() != nil })
	relief := e.Relief()
	if err := add(slow); !errors.Is(err, engine.ErrThrottled) || errors.Is(err, engine.ErrFailFast) {
		t.Errorf("at the limit: %v", err)
	}
	close(back)
	select {
	case <-relief:
	case <-time.After(15 * time.Second):
		t.Fatal("the store is back and there is no relief")
	}
}

package jmx

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors/collectortest"
)

// wobbly is a place of series that works, fails or hangs.
type wobbly struct {
	state   *atomic.Int32
	release chan struct{}
}

func (w wobbly) Read(ctx context.Context, _ time.Time, qs []streamkeeper.Query) (streamkeeper.Answers, error) {
	switch collectortest.State(w.state.Load()) {
	case collectortest.Fails:
		return nil, errors.New("broken")
	case collectortest.Hangs:
		select {
		case <-w.release:
		case <-ctx.Done():
		}
		return nil, ctx.Err()
	}
	out := streamkeeper.Answers{}
	for _, q := range qs {
		out[q.ID] = streamkeeper.Answer{Points: []streamkeeper.Point{{Labels: map[string]string{"cluster": "c", "instance": "a"}, Value: 1}}}
	}
	return out, nil
}

func TestContract(t *testing.T) {
	collectortest.Run(t, func(t *testing.T) collectortest.Subject {
		var state atomic.Int32
		w := wobbly{&state, make(chan struct{})}
		t.Cleanup(func() { close(w.release) })
		return collectortest.Subject{
			Collector: New(Options{Cluster: "c", Series: w, Every: time.Second}), Cluster: "c",
			Source: func(s collectortest.State) { state.Store(int32(s)) },
		}
	})
}

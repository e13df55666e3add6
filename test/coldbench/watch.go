package main

import (
	"context"
	"time"
)

// poolWatch looks at the broker's pool of slices again and again.
type poolWatch struct {
	used, limit int64 // the most that was seen
	stop        func() error
}

func (l *lab) watchPool(ctx context.Context) *poolWatch {
	ctx, cancel := context.WithCancel(ctx)
	w := &poolWatch{}
	done := make(chan error, 1)
	go func() {
		var err error
		for err == nil && sleepUntil(ctx, time.Now().Add(250*time.Millisecond)) == nil {
			err = l.lookAtPool(ctx, w)
		}
		if ctx.Err() != nil {
			err = nil
		}
		done <- err
	}()
	w.stop = func() error { cancel(); return <-done }
	return w
}

func (l *lab) lookAtPool(ctx context.Context, w *poolWatch) error {
	for _, kind := range []struct {
		name string
		into *int64
	}{{"used", &w.used}, {"limit", &w.limit}} {
		v, err := l.broker.Metric(ctx, "streamkeeper_broker_slice_pool_bytes", `kind="`+kind.name+`"`)
		if err != nil {
			return err
		}
		*kind.into = max(*kind.into, int64(v))
	}
	return nil
}

// merge keeps the larger values of two watches; o may be nil.
func (w *poolWatch) merge(o *poolWatch) *poolWatch {
	if o != nil {
		w.used, w.limit = max(w.used, o.used), max(w.limit, o.limit)
	}
	return w
}

package load

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"
)

// Tail is what a load did that was read as it was written.
type Tail struct {
	Produced Result
	// Delivery counts from when a request was due until a reader at the end of the log held its records. With a rate only.
	Delivery Quantiles
}

// Follower is a load that runs until it is stopped.
type Follower struct {
	run      run
	read     atomic.Int64 // bytes of record values
	delivery Quantiles
	stopped  chan struct{}
	tail     Tail
	err      error
}

// Read is how many bytes of record values were read so far.
func (f *Follower) Read() int64 { return f.read.Load() }

// Stop ends the load and returns what it did.
func (f *Follower) Stop() (Tail, error) {
	f.run.halted.Store(true)
	<-f.stopped
	return f.tail, f.err
}

// Follow starts to produce to an empty topic, over one connection and with a batch for every partition in each request,
// and to read it as it grows, until it is stopped. It returns once the load runs; ctx ends it with an error.
func Follow(ctx context.Context, s Spec) (*Follower, error) {
	s.Spread, s.Connections = 0, 1 // so that the n-th batch of each partition belongs to the n-th request
	dueFrom := make(chan time.Time, 1)
	f := &Follower{run: run{spec: s, dueFrom: dueFrom}, stopped: make(chan struct{})}
	reading, stopReading := context.WithCancel(ctx)
	produced := make(chan error, 1)
	go func() {
		var err error
		f.tail.Produced, err = f.run.produce(ctx, 0)
		produced <- err
	}()
	var began time.Time
	select {
	case began = <-dueFrom:
	case err := <-produced:
		stopReading()
		return nil, err
	}
	readFailed := make(chan error, 1)
	go func() {
		reads := s
		reads.Rate = 0
		_, _, err := consume(reading, reads, math.MaxInt64, nil, func(_ int32, next int64) { f.seen(began, next) })
		if reading.Err() != nil && ctx.Err() == nil {
			err = nil // we stopped it
		}
		f.run.halted.Store(true)
		readFailed <- err
	}()
	go func() {
		defer close(f.stopped)
		f.err = <-produced
		stopReading()
		f.err = errors.Join(f.err, <-readFailed)
		f.tail.Delivery = f.delivery
	}()
	return f, nil
}

// settling is how long a load runs before its deliveries count.
const settling = 2 * time.Second

// seen counts a batch, which ends before the partition's offset next.
func (f *Follower) seen(began time.Time, next int64) {
	batch := int64(f.run.spec.recordsPerBatch())
	f.read.Add(batch * int64(f.run.spec.RecordBytes))
	if rate := f.run.spec.Rate; rate > 0 {
		n := float64(next/batch - 1)
		after := time.Duration(n * float64(f.run.spec.requestBytes()) / rate * float64(time.Second))
		if after >= settling {
			f.delivery.Add(time.Since(began.Add(after)))
		}
	}
}

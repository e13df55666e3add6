package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// produceVersion names topics by name and is flexible: every broker of today speaks it.
const produceVersion = 9

// Limit ends a run by what comes first; zero is no limit.
type Limit struct {
	Bytes int64
	For   time.Duration
}

// run is the state that a run's connections share.
type run struct {
	spec   Spec
	began  time.Time
	until  time.Time // zero: no limit
	most   int64     // requests; 0: no limit
	issued atomic.Int64
	halted atomic.Bool // no further requests

	dueFrom chan<- time.Time // told when the first request is due, once the connections are there; may be nil
}

// next is when the next request is due, or that there is none. Without a rate it is due at once: who calls has room for it.
func (r *run) next() (due time.Time, ok bool) {
	n := r.issued.Add(1)
	if r.halted.Load() || r.most > 0 && n > r.most {
		return due, false
	}
	due = time.Now()
	if r.spec.Rate > 0 {
		due = r.began.Add(time.Duration(float64(n-1) * float64(r.spec.requestBytes()) / r.spec.Rate * float64(time.Second)))
	}
	return due, r.until.IsZero() || due.Before(r.until)
}

// Produce runs a load until its limit, and until every request is answered. The first error of a partition ends it.
// With a rate, latency counts from when a request was due, so that a stall is charged to all it delayed. Without one it
// counts from when it was sent: how long it waited for room in the window is the wait of those before it.
func Produce(ctx context.Context, s Spec, l Limit) (Result, error) {
	r := &run{spec: s}
	if l.Bytes > 0 {
		r.most = max(l.Bytes/s.requestBytes(), 1)
	}
	return r.produce(ctx, l.For)
}

// produce runs until a limit of the run or a time is reached.
func (r *run) produce(ctx context.Context, limit time.Duration) (Result, error) {
	s := r.spec
	var conns []*producer
	defer func() {
		for _, p := range conns {
			_ = p.Close()
		}
	}()
	for i := range s.Connections {
		p, err := newProducer(ctx, s, i)
		if err != nil {
			return Result{}, fmt.Errorf("produce to %s: %w", s.Address, err)
		}
		conns = append(conns, p)
	}
	r.began = time.Now()
	if r.dueFrom != nil {
		r.dueFrom <- r.began
	}
	if limit > 0 {
		r.until = r.began.Add(limit)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(conns))
	var wg sync.WaitGroup
	for i, p := range conns {
		wg.Go(func() {
			if errs[i] = p.produce(ctx, r); errs[i] != nil {
				stop()
			}
		})
	}
	wg.Wait()
	out := Result{Elapsed: time.Since(r.began)}
	for _, p := range conns {
		out.Latency.Merge(&p.latency)
	}
	out.Bytes = int64(out.Latency.Count()) * s.requestBytes()
	out.Records = out.Bytes / int64(s.RecordBytes)
	return out, errors.Join(errs...)
}

// producer is one connection.
type producer struct {
	*conn
	frames  [][]byte // one for each set of partitions, sent in turn
	latency Quantiles
}

func newProducer(ctx context.Context, s Spec, id int) (*producer, error) {
	p := &producer{}
	spread := s.spread()
	turns := 1
	if spread < s.Partitions {
		turns = s.Partitions
	}
	for turn := range turns {
		frame, err := s.request(spread, id+turn, uint32(id*977+turn))
		if err != nil {
			return nil, err
		}
		p.frames = append(p.frames, frame)
	}
	var err error
	p.conn, err = dial(ctx, s.Address)
	return p, err
}

// request is the frame of a Produce with one batch for each of spread partitions from first on.
func (s Spec) request(spread, first int, seed uint32) ([]byte, error) {
	b, err := s.encode(time.Now(), seed)
	if err != nil {
		return nil, err
	}
	return s.frame(b, spread, first, ioTimeout), nil
}

// frame is the frame of a Produce with the same batch for each of spread partitions from first on, which lets the broker
// wait for timeout.
func (s Spec) frame(b []byte, spread, first int, timeout time.Duration) []byte {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = produceVersion, s.Acks, int32(timeout.Milliseconds())
	t := kmsg.NewProduceRequestTopic()
	t.Topic = s.Topic
	for i := range spread {
		part := kmsg.NewProduceRequestTopicPartition()
		part.Partition, part.Records = int32((first+i)%s.Partitions), b
		t.Partitions = append(t.Partitions, part)
	}
	req.Topics = append(req.Topics, t)
	return formatter.AppendRequest(nil, req, 0)
}

// produce sends and receives until the run ends; what was sent is answered then.
func (p *producer) produce(ctx context.Context, r *run) error {
	// The window is taken before it is known when a request is due, and given back with the answer.
	window := make(chan struct{}, r.spec.Window)
	inflight := make(chan time.Time, r.spec.Window)
	done := make(chan error, 1)
	go func() { done <- p.receive(inflight, window) }()
	ended := context.AfterFunc(ctx, func() { _ = p.Close() })
	defer ended()
	err := p.sendAll(ctx, r, inflight, window)
	close(inflight)
	if err != nil {
		_ = p.Close()
	}
	return errors.Join(err, <-done)
}

func (p *producer) sendAll(ctx context.Context, r *run, inflight chan<- time.Time, window chan<- struct{}) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := int32(0); ; n++ {
		select {
		case window <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		due, ok := r.next()
		if !ok {
			return nil
		}
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		inflight <- due // there is room: the window is as large
		frame := p.frames[int(n)%len(p.frames)]
		binary.BigEndian.PutUint32(frame[correlationAt:], uint32(n))
		if err := p.send(frame); err != nil {
			return err
		}
	}
}

// receive checks the answers, which come in the order of the requests, and makes room in the window.
func (p *producer) receive(inflight <-chan time.Time, window <-chan struct{}) error {
	resp := kmsg.NewPtrProduceResponse()
	resp.Version = produceVersion
	n := int32(0)
	for due := range inflight {
		correlation, body, err := p.response(true)
		took := time.Since(due)
		<-window
		if err == nil && correlation != n {
			err = fmt.Errorf("the answer to request %d came after that to %d", correlation, n-1)
		}
		if err == nil {
			err = checkProduce(resp, body)
		}
		if err != nil {
			_ = p.Close() // the sender must not wait
			for range inflight {
				<-window
			}
			return err
		}
		p.latency.Add(took)
		n++
	}
	return nil
}

func checkProduce(resp *kmsg.ProduceResponse, body []byte) error {
	if err := resp.UnsafeReadFrom(body); err != nil {
		return err
	}
	for i := range resp.Topics {
		for _, part := range resp.Topics[i].Partitions {
			if err := kerr.ErrorForCode(part.ErrorCode); err != nil {
				return fmt.Errorf("partition %d: %w", part.Partition, err)
			}
		}
	}
	return nil
}

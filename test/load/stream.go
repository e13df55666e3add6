package load

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
)

// Answer is what became of one request of a Stream, which carries one batch.
type Answer struct {
	Due, At        time.Time // when it should have been sent, when it was answered
	Partition      int32
	Base           int64 // offset of its first record; of a refused one -1
	Stamp          int64 // StampOf its first record's value; no other batch has it
	Code           int16
	ThrottleMillis int32
}

// lateness is how far a Stream may fall behind its schedule before it drops what is overdue: a load that was held back
// must not come all at once afterwards.
const lateness = time.Second

// requestTimeout is what requests of a Stream let the broker wait, as clients' do.
const requestTimeout = 30 * time.Second

// stampMark begins the value of a batch's first record; eight bytes of stamp follow.
var stampMark = []byte{0xfe, 'S', 'K', 'S'}

// StampOf returns the stamp of a record that is the first of its batch.
func StampOf(value []byte) (int64, bool) {
	if len(value) < len(stampMark)+8 || !bytes.HasPrefix(value, stampMark) {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(value[len(stampMark):])), true
}

// Stream offers a load until ctx ends, whatever the broker answers, and hands every answer to each, from several
// goroutines. rate is the offered load in bytes a second by the time since the start. Requests hold one batch of one
// partition (Spec's Spread, Rate and LZ4 are not used). It returns how many requests were dropped because the broker
// held the load back, and an error when a connection fails.
func Stream(ctx context.Context, s Spec, rate func(since time.Duration) float64, each func(Answer)) (dropped int64, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	due := make(chan time.Time)
	errs := make([]error, s.Connections)
	var wg sync.WaitGroup
	for i := range s.Connections {
		p, err := newStreamer(ctx, s, i)
		if err != nil {
			stop()
			close(due)
			wg.Wait()
			return 0, err
		}
		wg.Go(func() {
			if errs[i] = p.run(due, each); errs[i] != nil {
				stop()
			}
		})
	}
	dropped = pace(ctx, s, rate, due)
	close(due)
	wg.Wait()
	return dropped, errors.Join(errs...)
}

// pace says when each request is due.
func pace(ctx context.Context, s Spec, rate func(time.Duration) float64, due chan<- time.Time) (dropped int64) {
	began := time.Now()
	next := began
	size := float64(s.recordsPerBatch() * s.RecordBytes)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(time.Until(next))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return dropped
		}
		step := time.Duration(size / rate(next.Sub(began)) * float64(time.Second))
		for time.Since(next) > lateness {
			next = next.Add(step)
			dropped++
		}
		select {
		case due <- next:
		case <-ctx.Done():
			return dropped
		}
		next = next.Add(step)
	}
}

// streamer is one connection of a Stream.
type streamer struct {
	*conn
	spec   Spec
	frames []streamFrame // one a partition
	next   atomic.Int64  // stamp
}

type streamFrame struct {
	frame []byte
	batch batch.Header // in frame
	stamp []byte       // in batch
}

func newStreamer(ctx context.Context, s Spec, id int) (*streamer, error) {
	p := &streamer{spec: s}
	p.next.Store(int64(id) << 40)
	for part := range s.Partitions {
		f, err := s.streamFrame(int32(part), uint32(id*977+part))
		if err != nil {
			return nil, err
		}
		p.frames = append(p.frames, f)
	}
	var err error
	p.conn, err = dial(ctx, s.Address)
	return p, err
}

func (s Spec) streamFrame(partition int32, seed uint32) (f streamFrame, err error) {
	s.LZ4 = false
	b, err := s.encode(time.Now(), seed)
	if err != nil {
		return f, err
	}
	f.frame = s.frame(b, 1, int(partition), requestTimeout)
	value := make([]byte, min(s.RecordBytes, 32))
	text(value, seed)
	at := bytes.Index(f.frame, b)
	in := bytes.Index(b, value)
	if at < 0 || in < 0 || len(value) < len(stampMark)+8 {
		return f, fmt.Errorf("records of %d bytes cannot be stamped", s.RecordBytes)
	}
	f.batch = batch.Header(f.frame[at : at+len(b)])
	copy(f.batch[in:], stampMark)
	f.stamp = f.batch[in+len(stampMark):][:8]
	return f, nil
}

type inflight struct {
	due       time.Time
	partition int32
	stamp     int64
}

// run sends what is due and hands on the answers; what was sent is answered when it returns.
func (p *streamer) run(due <-chan time.Time, each func(Answer)) error {
	defer p.Close()
	sent := make(chan inflight, p.spec.Window-1)
	done := make(chan error, 1)
	go func() { done <- p.answers(sent, each) }()
	var err error
	for n := int32(0); err == nil; n++ {
		at, ok := <-due
		if !ok {
			break
		}
		f := &p.frames[int(n)%len(p.frames)]
		stamp := p.next.Add(1)
		binary.BigEndian.PutUint64(f.stamp, uint64(stamp))
		f.batch.SetCRC()
		binary.BigEndian.PutUint32(f.frame[correlationAt:], uint32(n))
		sent <- inflight{at, n % int32(len(p.frames)), stamp}
		err = p.send(f.frame)
	}
	close(sent)
	if err != nil {
		_ = p.Close()
	}
	return errors.Join(err, <-done)
}

func (p *streamer) answers(sent <-chan inflight, each func(Answer)) error {
	resp := kmsg.NewPtrProduceResponse()
	resp.Version = produceVersion
	for s := range sent {
		_, body, err := p.response(true)
		if err == nil {
			err = resp.UnsafeReadFrom(body)
		}
		if err == nil && (len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1) {
			err = errors.New("an answer for another number of partitions than was asked for")
		}
		if err != nil {
			_ = p.Close() // the sender must not wait
			for range sent {
			}
			return err
		}
		part := &resp.Topics[0].Partitions[0]
		each(Answer{
			Due: s.due, At: time.Now(), Partition: s.partition, Base: part.BaseOffset, Stamp: s.stamp, Code: part.ErrorCode, ThrottleMillis: resp.ThrottleMillis,
		})
	}
	return nil
}

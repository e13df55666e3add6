package engine

import (
	"fmt"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/commitlog"
	"github.com/streamkeeper-io/streamkeeper/engine/index"
)

// item is what waits for a group commit.
type item struct {
	p       *Partition // nil for tier records and barriers
	next    int64      // high watermark once durable; 0 = leaves it alone
	maxTime int64
	maxAt   int64
	early   bool // answered after the write already
	res     Appended
	done    func(Appended)
}

// Append enqueues one or more contiguous v2 batches whose structure and CRC were checked (batch.Check) and returns
// without waiting for the disk; it waits only while 64 MiB of unsettled data are queued. Offsets and the leader epoch
// are written into b. done is called exactly once, in append order within the partition: after the write for acks 0 and
// 1, when durable for acks -1. The engine owns b until then.
func (p *Partition) Append(b []byte, acks int16, done func(Appended)) {
	p.append(b, appending{acks: acks}, done)
}

// AppendLater is Append for one of several appends that share a write: the disk need not hear of it before Engine.Commit,
// which must follow at once.
func (p *Partition) AppendLater(b []byte, acks int16, done func(Appended)) {
	p.append(b, appending{acks: acks, later: true}, done)
}

// Commit ends a series of AppendLater. With here the caller has nothing better to do: when the log is idle, the write, the
// sync and every done callback run before Commit returns, on its goroutine. The caller must not hold a lock that a done
// callback or a Watch wants.
func (e *Engine) Commit(here bool) {
	if e.enter() != nil {
		return // closing: the log settles all it has
	}
	defer e.leave()
	e.log.Commit(here)
}

// appending says how something is appended.
type appending struct {
	acks     int16
	internal bool // passes the hard limit of the local log: refusing it would keep consumers from draining what fills it
	later    bool // Engine.Commit follows
	// admit is asked under the partition's lock, once it is known that b is no repetition and where it would go: what it
	// sees of other locks stays true until b is in the log. Its error refuses b.
	admit func() error
}

func failed(done func(Appended), err error) {
	done(Appended{BaseOffset: -1, LogAppendTime: -1, Err: err})
}

func (p *Partition) append(b []byte, how appending, done func(Appended)) {
	if err := p.e.enter(); err != nil {
		failed(done, err)
		return
	}
	defer p.e.leave()
	if err := p.e.log.Admit(); err != nil {
		failed(done, storageErr(err))
		return
	}
	if !how.internal {
		if err := p.room(); err != nil {
			failed(done, err)
			return
		}
	}
	p.mu.Lock()
	err := p.enqueue(b, how, done)
	p.mu.Unlock()
	if err != nil {
		failed(done, err)
	}
	if !how.later {
		p.e.log.Commit(false)
	}
}

// enqueue assigns offsets, reserves space in the log and fills it. p.mu is held, so that the order of offsets is the
// order of the log. When it returns an error nothing has changed and done was not called.
func (p *Partition) enqueue(b []byte, how appending, done func(Appended)) error {
	if p.gone {
		return fmt.Errorf("partition %s: %w", p.name(), ErrUnknownPartition)
	}
	size, it, err := p.prepare(b)
	if err != nil {
		return err
	}
	it.done = done
	dup, err := p.checkSequences(b)
	if err != nil {
		return err
	}
	if dup != nil {
		return p.answerDuplicate(dup, it)
	}
	if err := p.checkOpen(batch.Header(b)); err != nil {
		return err
	}
	if how.admit != nil {
		if err := how.admit(); err != nil {
			return err
		}
	}
	// An early answer must not overtake an acks=all one that still waits for its sync (I3).
	it.early = how.acks != -1 && p.lastAll <= p.e.log.Settled()
	r, err := p.e.reserve(size, it)
	if err != nil {
		return err
	}
	p.fill(&r, b)
	r.Done()
	if !it.early {
		p.lastAll = r.End
	}
	return nil
}

// reserve takes room in the log; 0 bytes are a barrier. It is the one way into the log: once the log, the index or the
// metadata failed, nothing more is acknowledged until a restart (I4), not even that something is durable already.
func (e *Engine) reserve(n int64, it item) (commitlog.Reservation[item], error) {
	if e.failed.Load() {
		return commitlog.Reservation[item]{}, ErrStorage
	}
	r, err := e.log.Reserve(n, it, it.early)
	return r, storageErr(err)
}

// prepare stamps the batches with offsets, epoch and time, and sums up what the log must hold.
func (p *Partition) prepare(b []byte) (size int64, it item, err error) {
	conf := p.topic.conf.Load()
	it = item{p: p, next: p.next, maxTime: -1, maxAt: -1, res: Appended{BaseOffset: p.next, LogAppendTime: -1, LogStart: p.logStart}}
	if conf.appendTime {
		it.res.LogAppendTime = p.e.now()
	}
	n := 0
	for len(b) > 0 {
		h, rest, ok := batch.Next(b)
		if !ok || h.LastOffsetDelta() < 0 {
			return 0, it, fmt.Errorf("append to %s: %w", p.name(), ErrCorruptBatch)
		}
		if conf.appendTime {
			h.SetLogAppendTime(it.res.LogAppendTime)
		}
		h.SetBaseOffset(it.next)
		h.SetLeaderEpoch(p.e.epoch)
		if h.MaxTimestamp() > it.maxTime {
			it.maxTime, it.maxAt = h.MaxTimestamp(), it.next
		}
		it.next = h.NextOffset()
		size += commitlog.FrameSize(len(h))
		b = rest
		n++
	}
	if n == 0 {
		return 0, it, fmt.Errorf("append to %s: no batch: %w", p.name(), ErrCorruptBatch)
	}
	return size, it, nil
}

// fill copies the batches into the log and makes them known: index, producer sequences, counters.
func (p *Partition) fill(r *commitlog.Reservation[item], b []byte) {
	e := p.e
	mem := e.mems.of(r.Segment, e.o.Clock)
	e.counts.appendedBytes.Add(int64(len(b)))
	p.noteEpoch(e.epoch, p.next)
	for len(b) > 0 {
		h, rest, _ := batch.Next(b)
		f := commitlog.Frame{
			Kind: commitlog.KindBatch, Stream: p.stream, BaseOffset: h.BaseOffset(), LeaderEpoch: e.epoch, Sum: h.CRC(), Payload: h,
		}
		place := e.log.Fill(r, &f)
		mem.Add(p.stream, e.epoch, indexed(h, place))
		p.noteSequence(h, e.now)
		_ = p.noteTransaction(h, e.now) // markers are our own: they decode
		p.next = h.NextOffset()
		e.counts.appendedBatches.Add(1)
		b = rest
	}
}

// indexed is the index entry of a batch.
func indexed(h batch.Header, place commitlog.Place) index.Batch {
	return index.Batch{
		Base: h.BaseOffset(), Pos: place.Pos, MaxTime: h.MaxTimestamp(), Len: int32(len(h)), Records: h.RecordCount(), Delta: h.LastOffsetDelta(),
	}
}

// answerDuplicate answers a retry with the original's offset, but not before the original is durable: a barrier waits for
// everything that was appended before.
func (p *Partition) answerDuplicate(dup *index.Sequence, it item) error {
	it.next, it.maxTime, it.maxAt = 0, -1, -1
	it.res.BaseOffset, it.res.LogAppendTime = dup.Base, dup.Time
	it.early = false
	r, err := p.e.reserve(0, it)
	if err != nil {
		return err
	}
	r.Done()
	p.lastAll = r.End + 1 // what follows must not be answered before the barrier
	return nil
}

// settler is the log's sink: it turns settled items into answers. It is called by one goroutine at a time.
type settler struct {
	e     *Engine
	woken []watcher // scratch
}

// Written answers acks 0 and 1.
func (s *settler) Written(items []item) {
	for i := range items {
		if it := &items[i]; it.early && it.done != nil {
			it.done(it.res)
			it.done = nil
		}
	}
}

// Durable makes records visible, then answers, then tells who watches: a reader of several partitions finds all of them.
func (s *settler) Durable(items []item, err error) {
	s.woken = s.woken[:0]
	for i := range items {
		it := &items[i]
		if err != nil {
			it.res = Appended{BaseOffset: -1, LogAppendTime: -1, Err: storageErr(err)}
		} else if it.p != nil && it.next > 0 {
			s.woken = it.p.advance(it.next, it.maxTime, it.maxAt, s.woken)
		}
	}
	for i := range items {
		if it := &items[i]; it.done != nil {
			it.done(it.res)
		}
	}
	call(s.woken)
	clear(s.woken)
}

// Sealed queues a segment for the index.
func (s *settler) Sealed(i commitlog.Info) { s.e.sealed.push(i) }

// Flushed reports a group commit.
func (s *settler) Flushed(f commitlog.Flush) {
	if f.Sync > 0 && f.Err == nil {
		s.e.counts.commitNanos.Add(int64(f.Wait + f.Sync))
		s.e.counts.commits.Add(1)
	}
	s.e.o.Observer.Flushed(Flush{Bytes: f.Bytes, Batches: f.Frames, Wait: f.Wait, Sync: f.Sync, Err: f.Err})
}

// Failed marks the node's log failed until a restart (I4).
func (s *settler) Failed(err error) {
	if s.e.failed.Swap(true) {
		return
	}
	s.e.event(EventLogFailed, "the commit log failed; restart the broker to recover: "+err.Error(), map[string]any{"error": err.Error()})
}

package engine

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/streamkeeper-io/streamkeeper/engine/index"
)

// Partition is a handle: safe for concurrent use, valid until its topic is deleted. After that every method fails with
// ErrUnknownPartition or returns the last numbers.
type Partition struct {
	e      *Engine
	topic  *topicState
	stream uint32
	index  int32

	mu       sync.Mutex
	gone     bool
	next     int64 // offset of the next record (log end)
	hw       int64 // high watermark: everything below is durable (I1)
	logStart int64
	maxTime  int64 // of durable batches; -1 when none
	maxAt    int64 // base offset of the batch that holds it
	lastAll  uint64
	epochs   []index.Epoch
	more     *partitionMore
}

// partitionMore is what only active partitions have.
type partitionMore struct {
	producers map[int64]*index.Producer
	loaded    bool // the producers were read from the index
	watchers  []watcher
	watchSeq  uint64
	cold      map[int64]struct{} // offsets with a cold read under way

	txns        []partitionTxn  // not over for readers, by first offset
	aborted     []index.Aborted // durable, not in the index yet, by marker
	lastAborted int64           // offset of the last durable abort marker; 0 = there is none
	trimmed     int64           // the index holds no aborted transaction below
}

func (p *Partition) extra() *partitionMore {
	if p.more == nil {
		p.more = &partitionMore{}
	}
	return p.more
}

// inflate reads the partition's row.
func (p *Partition) inflate() error {
	s, ok, err := p.e.index.Stream(p.stream)
	if err != nil {
		return err
	}
	p.maxTime, p.maxAt = -1, -1
	if ok {
		p.next, p.hw, p.logStart, p.maxTime, p.maxAt, p.epochs = s.Next, s.Next, s.LogStart, s.MaxTime, s.MaxAt, s.Epochs
		p.inflateTransactions(s)
	}
	return nil
}

// durableState is what the index may hold of the partition right now (keeps I6): everything below the high watermark. A
// marker's epoch may be ahead of it: what decided the transaction was durable before the marker was written.
func (p *Partition) durableState() (index.Stream, []index.Producer, []index.Aborted) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := index.Stream{Next: p.hw, LogStart: p.logStart, MaxTime: p.maxTime, MaxAt: p.maxAt}
	for _, x := range p.epochs {
		if x.Start < p.hw {
			s.Epochs = append(s.Epochs, x)
		}
	}
	if p.more == nil {
		return s, nil, nil
	}
	aborted := p.durableTransactions(&s)
	var out []index.Producer
	for _, pr := range p.more.producers {
		d := *pr
		d.Last = slices.DeleteFunc(slices.Clone(pr.Last), func(q index.Sequence) bool { return q.Base+int64(q.Delta) >= p.hw })
		if len(d.Last) > 0 || d.MarkerEpoch >= 0 {
			out = append(out, d)
		}
	}
	return s, out, aborted
}

// HighWatermark is the offset below which everything is visible.
func (p *Partition) HighWatermark() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hw
}

// LogStart is the first offset that exists.
func (p *Partition) LogStart() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.logStart
}

// LeaderEpoch is the epoch new batches get.
func (p *Partition) LeaderEpoch() int32 { return p.e.epoch }

// LocalStart is the first offset in the local log; the high watermark when nothing is local.
func (p *Partition) LocalStart() int64 {
	hw := p.HighWatermark()
	if p.e.enter() != nil {
		return hw
	}
	defer p.e.leave()
	mems := p.e.mems.list() // before the index: a segment may move there meanwhile
	if o, ok, err := p.e.index.FirstLocal(p.stream); err == nil && ok {
		return max(o, p.LogStart())
	}
	start := int64(math.MaxInt64)
	for _, m := range mems {
		if r, ok := m.Run(p.stream); ok {
			start = min(start, r.Base)
		}
	}
	return max(min(start, hw), p.LogStart())
}

// TieredEnd is the offset after the last one in the object store; the log start when nothing is there.
func (p *Partition) TieredEnd() int64 {
	x, ok, err := p.e.tier.Extent(p.stream)
	if err != nil || !ok {
		return p.LogStart()
	}
	return x.End
}

// Size returns the bytes in the local log and in the object store. Data that was offloaded and not yet recycled is in
// both.
func (p *Partition) Size() (localBytes, tieredBytes int64) {
	if p.e.enter() == nil {
		defer p.e.leave()
		bs, err := p.e.index.Batches(p.stream, 0, math.MaxInt64, nil)
		if err == nil {
			for _, b := range bs {
				localBytes += int64(b.Len)
			}
		}
		for _, m := range p.e.mems.list() {
			if r, ok := m.Run(p.stream); ok {
				localBytes += r.Bytes
			}
		}
	}
	if x, ok, err := p.e.tier.Extent(p.stream); err == nil && ok {
		tieredBytes = x.Bytes
	}
	return localBytes, tieredBytes
}

// EpochEnd answers OffsetForLeaderEpoch as Kafka does: the largest known epoch at or below the one asked for and the
// offset where it ended, or -1 and -1 when the epoch is newer than ours.
func (p *Partition) EpochEnd(epoch int32) (foundEpoch int32, endOffset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if epoch == p.e.epoch {
		return epoch, p.hw
	}
	if epoch > p.e.epoch || epoch < 0 {
		return -1, -1
	}
	end := p.hw
	for i := len(p.epochs) - 1; i >= 0; i-- {
		if p.epochs[i].Epoch <= epoch {
			return p.epochs[i].Epoch, end
		}
		end = p.epochs[i].Start
	}
	return epoch, end // older than all we know: ended where the first one began
}

// noteEpoch remembers where an epoch began. p.mu is held.
func (p *Partition) noteEpoch(epoch int32, base int64) {
	if n := len(p.epochs); n == 0 || p.epochs[n-1].Epoch < epoch {
		p.epochs = append(p.epochs, index.Epoch{Epoch: epoch, Start: base})
	}
}

// setLogStart moves the log start forward; it is durable already.
func (p *Partition) setLogStart(o int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o <= p.logStart {
		return
	}
	p.logStart = o
	// Epochs that ended below the log start are history; the one that covers it stays.
	for len(p.epochs) > 1 && p.epochs[1].Start <= o {
		p.epochs = p.epochs[1:]
	}
}

func (p *Partition) name() string { return fmt.Sprintf("%s-%d", p.topic.name, p.index) }

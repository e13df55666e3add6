package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/commitlog"
	"github.com/streamkeeper-io/streamkeeper/engine/index"
	"github.com/streamkeeper-io/streamkeeper/engine/tier"
)

// startTier opens the tier over this engine: its journal is the commit log, its source the ring.
func (e *Engine) startTier(ctx context.Context) error {
	o := e.o.Tier
	t, err := tier.Open(ctx, tier.Options{
		Objects: e.o.Store, Journal: journal{e}, Source: source{e}, Replay: e.tierRec.replay(), Clock: e.o.Clock,
		Observer: tierObserver{e}, Meta: e.meta, ClusterID: e.ClusterID(), NodeID: e.o.NodeID,
		OffloadAfter: o.OffloadAfter, LocalBytes: o.LocalBytes / 2, UrgentBytes: o.throttleBytes(), SpaceOnly: o.SpaceOnly,
		SliceBytes: int(o.SliceBytes), PoolBytes: o.PoolBytes, ReadAhead: o.ReadAhead, ManifestEvery: o.ManifestEvery, RewriteEvery: o.RewriteEvery, RewriteFan: o.RewriteFan,
		PrepareTTL: o.PrepareTTL,
	})
	if err != nil {
		return err
	}
	e.tier = t
	e.tierRec.loaded()
	return nil
}

func (e *Engine) runTier(ctx context.Context) {
	if err := e.tier.Run(ctx); err != nil && ctx.Err() == nil {
		e.event(EventOffloadFailed, "offload stopped: "+err.Error(), map[string]any{"error": err.Error()})
	}
}

// journal keeps the tier's records in the commit log. They pass the hard limit: without them nothing leaves the ring.
type journal struct{ e *Engine }

// AppendTierRecord is durable on return.
func (j journal) AppendTierRecord(ctx context.Context, rec []byte) error {
	// Whoever was cancelled has stopped waiting for its turn: a COMMIT written now could overtake an older segment's.
	if err := ctx.Err(); err != nil {
		return err
	}
	e := j.e
	rec = bytes.Clone(rec)
	settled := make(chan error, 1)
	it := item{done: func(a Appended) {
		if a.Err == nil {
			// In LSN order and before the tier goes on, so that a segment's row never outruns its COMMIT.
			a.Err = errors.Join(e.tierRec.note(rec), e.logStartOf(rec))
		}
		settled <- a.Err
	}}
	if err := e.appendTier(it, rec); err != nil {
		return err
	}
	select {
	case err := <-settled:
		if err == nil && e.o.Log.Flush != FlushFsync {
			return storageErr(e.log.Sync())
		}
		return err
	case <-ctx.Done():
		return ctx.Err() // the record may still become durable, which every caller must bear anyway
	}
}

// appendTier reserves and fills a frame that belongs to no batch.
func (e *Engine) appendTier(it item, rec []byte) error {
	f := commitlog.Frame{Kind: commitlog.KindTier, Payload: rec, Sum: commitlog.Sum(rec)}
	r, err := e.reserve(commitlog.FrameSize(len(rec)), it)
	if err != nil {
		return err
	}
	touched(e.mems.of(r.Segment, e.o.Clock), rec)
	e.log.Fill(&r, &f)
	r.Done()
	e.log.Commit(false)
	return nil
}

// touched notes the stream whose log start a record moves: its state goes to the index with the segment.
func touched(mem *index.Memory, rec []byte) {
	if stream, _, ok := tier.TrimOf(rec); ok {
		mem.Touch(stream)
	}
}

// tierRecords holds the last tier record of each key that the index does not have yet.
type tierRecords struct {
	mu    sync.Mutex
	all   map[string][]byte // only while opening
	dirty map[string][]byte // nil value = forget the key
}

func (t *tierRecords) load(d *index.DB) error {
	t.all, t.dirty = map[string][]byte{}, map[string][]byte{}
	return d.TierRecords(func(k string, rec []byte) { t.all[k] = rec })
}

func (t *tierRecords) note(rec []byte) error {
	key, dead, err := tier.RecordKey(rec)
	if err != nil {
		return fmt.Errorf("tier record: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if dead {
		rec = nil
	}
	t.dirty[key] = rec
	if t.all != nil {
		if t.all[key] = rec; rec == nil {
			delete(t.all, key)
		}
	}
	return nil
}

// replay yields the records the tier starts from.
func (t *tierRecords) replay() func(func([]byte, error) bool) {
	t.mu.Lock()
	recs := make([][]byte, 0, len(t.all))
	for _, r := range t.all {
		recs = append(recs, r)
	}
	t.mu.Unlock()
	return func(yield func([]byte, error) bool) {
		for _, r := range recs {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (t *tierRecords) loaded() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = nil
}

func (t *tierRecords) save(c *index.Change) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, rec := range t.dirty {
		c.SetTier(k, rec)
	}
	clear(t.dirty)
}

// source shows the ring to the tier.
type source struct{ e *Engine }

// SealedSegments returns what must be offloaded, oldest first.
func (s source) SealedSegments() []tier.Segment {
	closed := s.e.ring.closed()
	out := make([]tier.Segment, 0, len(closed))
	for _, c := range closed {
		out = append(out, &tierSegment{e: s.e, Segment: c.Segment})
	}
	return out
}

// Offloaded marks a segment for recycling. The file is reused only after the index forgot it durably (keeps I5).
func (s source) Offloaded(id uint64) error {
	if s.e.ring.offload(id, s.e.o.Clock.Now()) {
		s.e.wake()
	}
	return nil
}

// LocalBytes is what offload could relieve the ring of.
func (s source) LocalBytes() int64 {
	_, _, _, warm, _ := s.e.ring.gauges()
	return s.e.log.UsedBytes() - warm
}

// Commits are those that were synced: in other modes nobody waits for the disk.
func (s source) Commits() (n int64, took time.Duration) {
	return s.e.counts.commits.Load(), time.Duration(s.e.counts.commitNanos.Load())
}

// tierSegment is one sealed segment as the tier reads it.
type tierSegment struct {
	e *Engine
	index.Segment
	once sync.Once
	runs []tier.Run
}

// ID is unique for ever: the node epoch is its high half.
func (s *tierSegment) ID() uint64 { return s.Segment.ID }

// SealedAt is when the segment's oldest data came, so that age counts from the data and not from the sealing.
func (s *tierSegment) SealedAt() time.Time { return s.Segment.SealedAt }

// Runs are the runs of topics that still exist, sorted.
func (s *tierSegment) Runs() []tier.Run {
	s.once.Do(func() {
		for _, r := range s.Segment.Runs {
			topic, partition, ok := s.e.topics.owner(r.Stream)
			if !ok {
				continue
			}
			s.runs = append(s.runs, tier.Run{
				Stream: r.Stream, Topic: topic.id, Partition: partition, Epoch: r.Epoch, Base: r.Base, Next: r.Next,
				MaxTimestamp: r.MaxTime, Records: r.Records, Bytes: r.Bytes,
			})
		}
	})
	return s.runs
}

// ReadRun reads a run's batches in offset order.
func (s *tierSegment) ReadRun(i int) (io.ReadCloser, error) {
	run := s.Runs()[i]
	bs, err := s.e.index.Batches(run.Stream, run.Base, run.Next, nil)
	if err != nil {
		return nil, err
	}
	if len(bs) == 0 {
		return nil, fmt.Errorf("run of stream %d in segment %x is not in the index: %w", run.Stream, s.Segment.ID, ErrStorage)
	}
	for i := 1; i < len(bs); i++ {
		if bs[i].Pos < bs[i-1].Pos+int64(bs[i-1].Len) {
			return nil, fmt.Errorf("run of stream %d in segment %x overlaps itself at offset %d: the index is damaged: %w", run.Stream, s.Segment.ID, bs[i].Base, ErrStorage)
		}
	}
	return &runReader{e: s.e, segment: s.Segment.ID, left: bs}, nil
}

// runReader streams a run with bounded memory.
type runReader struct {
	e       *Engine
	segment uint64
	left    []index.Batch
	cur     bytes.Reader
	pieces  [][]byte
	held    []commitlog.Releaser
}

// runChunk is about how many bytes of a run are in memory at once.
const runChunk = 256 << 10

// Read implements io.Reader.
func (r *runReader) Read(b []byte) (int, error) {
	for r.cur.Len() == 0 {
		if len(r.pieces) > 0 {
			r.cur.Reset(r.pieces[0])
			r.pieces = r.pieces[1:]
			continue
		}
		if len(r.left) == 0 {
			return 0, io.EOF
		}
		if err := r.refill(); err != nil {
			return 0, err
		}
	}
	return r.cur.Read(b)
}

func (r *runReader) refill() error {
	r.drop()
	var spans []commitlog.Span
	for n := int64(0); len(r.left) > 0 && n < runChunk; r.left = r.left[1:] {
		b := r.left[0]
		spans = append(spans, commitlog.Span{Pos: b.Pos, Len: int64(b.Len)})
		n += int64(b.Len)
	}
	var err error
	r.pieces, r.held, _, err = r.e.log.Read(r.segment, spans, r.pieces, r.held)
	return err
}

func (r *runReader) drop() {
	for _, h := range r.held {
		h.Release()
	}
	r.held, r.pieces = r.held[:0], r.pieces[:0]
}

// Close gives the memory back.
func (r *runReader) Close() error {
	r.drop()
	r.left = nil
	return nil
}

// recycle releases offloaded segments while the ring is larger than it should be. The rows go first and durably, then
// the files (keeps I5).
func (e *Engine) recycle() error {
	segments := e.ring.releasable(e.log.UsedBytes(), e.o.Tier.LocalBytes*3/4)
	if len(segments) == 0 {
		return nil
	}
	e.indexMu.Lock()
	defer e.indexMu.Unlock()
	c := e.index.Change()
	for _, s := range segments {
		if err := c.Release(s); err != nil {
			c.Drop()
			return err
		}
	}
	if err := c.Commit(); err != nil {
		return err
	}
	if err := e.index.Flush(); err != nil {
		return err
	}
	for _, s := range segments {
		if s.End > e.index.Durable() {
			return fmt.Errorf("segment %x would be recycled before the index holds it", s.ID)
		}
	}
	e.ring.remove(segments)
	for _, s := range segments {
		e.log.Release(s.ID)
	}
	return nil
}

package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/commitlog"
	"github.com/streamkeeper-io/streamkeeper/engine/index"
)

// recover loads the checkpoint, replays the log's suffix over it and puts the replayed segments into the index. The work
// depends on the suffix, which checkpoints bound, and not on the log.
func (e *Engine) recover(clean uint64) (commitlog.Recovery, error) {
	segments, err := e.index.Segments()
	if err != nil {
		return commitlog.Recovery{}, err
	}
	if err := e.groups.load(e.index); err != nil {
		return commitlog.Recovery{}, err
	}
	if err := e.transactions.load(e.index); err != nil {
		return commitlog.Recovery{}, err
	}
	if err := e.tierRec.load(e.index); err != nil {
		return commitlog.Recovery{}, err
	}
	live := make([]commitlog.Info, len(segments))
	for i, s := range segments {
		live[i] = commitlog.Info{ID: s.ID, Slot: s.Slot, Start: s.Start, End: s.End, SealedAt: s.SealedAt}
	}
	mode := commitlog.FlushWrite
	if e.o.Log.Flush == FlushFsync {
		mode = commitlog.FlushFsync
	}
	e.sealed.init()
	e.ring.load(segments)
	log, rec, err := commitlog.Open(commitlog.Options{
		FS: e.o.FS, Dir: e.path("log"), SegmentBytes: e.o.Log.SegmentBytes, Mode: mode, Now: e.o.Clock.Now,
		SegmentBase: uint64(uint32(e.epoch)) << 32, CacheBytes: e.o.CacheBytes, Live: live, CleanEnd: clean,
		ReplayFrom: e.index.Watermark(), Replay: e.replay, Sealed: e.replayed, Progress: e.progress(),
	}, &settler{e: e})
	if err != nil {
		if errors.Is(err, commitlog.ErrCorrupt) {
			err = fmt.Errorf("%w: %w", ErrStorage, err)
		}
		return rec, err
	}
	e.log = log
	return rec, nil
}

// replayed puts a replayed segment into the index. What was replayed becomes durable on the way: starts that are cut
// short, again and again, come to an end.
func (e *Engine) replayed(i commitlog.Info) error {
	if err := e.apply(i); err != nil {
		return err
	}
	if e.checkpointDue() {
		return e.index.Flush()
	}
	return nil
}

// progressEvery is how often a long recovery says how far it is.
const progressEvery = 2 * time.Second

// progress tells of a recovery that takes long.
func (e *Engine) progress() func(done, total int64) {
	began := e.o.Clock.Now()
	told := began
	return func(done, total int64) {
		now := e.o.Clock.Now()
		if now.Sub(told) < progressEvery {
			return
		}
		told = now
		e.event(EventRecovering, fmt.Sprintf("replaying the log: %d of %d MiB", done>>20, total>>20), map[string]any{
			"replayed_bytes": done, "total_bytes": total, "seconds": now.Sub(began).Seconds(),
		})
	}
}

// replay applies one frame. Applying a frame again changes nothing (keeps I6): offsets say what is new.
func (e *Engine) replay(f commitlog.Frame, place commitlog.Place) error {
	mem := e.mems.of(place.Segment, e.o.Clock)
	switch f.Kind {
	case commitlog.KindTier:
		touched(mem, f.Payload)
		return errors.Join(e.tierRec.note(append([]byte(nil), f.Payload...)), e.logStartOf(f.Payload))
	case commitlog.KindBatch, commitlog.KindLogStart:
	default:
		return fmt.Errorf("frame of kind %d; a newer build wrote it?", f.Kind)
	}
	p, err := e.topics.stream(f.Stream)
	if err != nil || p == nil {
		return err // the topic was deleted
	}
	if f.Kind == commitlog.KindLogStart {
		mem.Touch(f.Stream)
		p.setLogStart(f.BaseOffset)
		return nil
	}
	return p.replay(batch.Header(f.Payload), f.LeaderEpoch, place, mem)
}

func (p *Partition) replay(h batch.Header, epoch int32, place commitlog.Place, mem *index.Memory) error {
	mem.Add(p.stream, epoch, indexed(h, place))
	if h.BaseOffset() < p.next {
		return p.e.replayInternal(p, h)
	}
	if h.BaseOffset() > p.next {
		return fmt.Errorf("%s continues at offset %d, %d was expected: %w", p.name(), h.BaseOffset(), p.next, commitlog.ErrCorrupt)
	}
	if _, err := p.loadProducers(); err != nil {
		return err
	}
	p.noteEpoch(epoch, h.BaseOffset())
	p.noteSequence(h, p.e.now)
	if err := p.noteTransaction(h, p.e.now); err != nil {
		return fmt.Errorf("%s: %w", p.name(), err)
	}
	if h.MaxTimestamp() > p.maxTime {
		p.maxTime, p.maxAt = h.MaxTimestamp(), h.BaseOffset()
	}
	p.next = h.NextOffset()
	p.hw = p.next
	p.settleTransactions()
	return p.e.replayInternal(p, h)
}

// replayInternal applies a batch of one of Kafka's internal topics to its projection.
func (e *Engine) replayInternal(p *Partition, h batch.Header) error {
	switch p.topic.name {
	case OffsetsTopic:
		return e.groups.replay(p, h)
	case TransactionsTopic:
		return e.transactions.replay(p, h)
	}
	return nil
}

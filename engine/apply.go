package engine

import (
	"sync"

	"github.com/streamkeeper-io/streamkeeper/engine/commitlog"
	"github.com/streamkeeper-io/streamkeeper/engine/index"
)

// sealQueue carries sealed segments from the log to the index. It grows by one entry per segment, so it needs no bound
// beyond the ring's.
type sealQueue struct {
	mu     sync.Mutex
	ready  sync.Cond
	q      []commitlog.Info
	closed bool
}

func (s *sealQueue) init() { s.ready.L = &s.mu }

func (s *sealQueue) push(i commitlog.Info) {
	s.mu.Lock()
	s.q = append(s.q, i)
	s.mu.Unlock()
	s.ready.Signal()
}

func (s *sealQueue) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.ready.Broadcast()
}

func (s *sealQueue) pop() (commitlog.Info, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.q) == 0 && !s.closed {
		s.ready.Wait()
	}
	if len(s.q) == 0 {
		return commitlog.Info{}, false
	}
	i := s.q[0]
	s.q = s.q[1:]
	return i, true
}

// indexLoop puts sealed segments into the index, in order, off the acknowledgement path.
func (e *Engine) indexLoop() {
	for {
		i, ok := e.sealed.pop()
		if !ok {
			return
		}
		if err := e.apply(i); err != nil {
			// Without the index nothing can be recycled, so the ladder stops appends before the disk is full.
			e.event(EventMaintenanceFailed, "indexing a log segment failed: "+err.Error(), map[string]any{"error": err.Error()})
			return
		}
		if e.checkpointDue() {
			e.askCheckpoint()
		}
		e.tier.Wake()
		e.wake()
	}
}

// apply moves one sealed segment from memory to the index: its runs, the state of the streams it touched, group offsets,
// tier records and the watermark, in one batch. The states may be newer than the segment's end; all of it is durable in
// the log, and replaying what is in between changes nothing (keeps I6).
func (e *Engine) apply(i commitlog.Info) error {
	e.indexMu.Lock()
	defer e.indexMu.Unlock()
	mem := e.mems.of(i.ID, e.o.Clock)
	c := e.index.Change()
	seg := index.Segment{ID: i.ID, Slot: i.Slot, Start: i.Start, End: i.End, SealedAt: mem.Opened}
	seg = c.Apply(seg, mem, e.topics.alive)
	moved := map[*Partition][]index.Aborted{}
	for _, stream := range mem.Streams() {
		p := e.topics.peek(stream)
		if p == nil {
			continue // deleted
		}
		s, producers, aborted := p.durableState()
		c.SetStream(stream, s)
		for _, pr := range producers {
			c.SetProducer(stream, pr)
		}
		if len(aborted) > 0 {
			moved[p] = aborted
		}
		p.saveAborted(c, s, aborted)
	}
	e.groups.save(c)
	e.transactions.save(c)
	e.tierRec.save(c)
	// What was collected is settled; in the modes that settle before the disk does, the disk comes first here. While
	// recovering there is no log yet, and what was replayed is on disk.
	if e.log != nil && e.o.Log.Flush != FlushFsync && e.log.Synced() < e.log.Settled() {
		if err := e.log.Sync(); err != nil {
			c.Drop()
			return err
		}
	}
	if err := c.Commit(); err != nil {
		return err
	}
	for p, saved := range moved {
		p.abortedIndexed(saved)
	}
	e.ring.add(seg)
	e.mems.drop(i.ID)
	return nil
}

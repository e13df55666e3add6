package tier

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"
)

// phase is how far an object is in its life.
type phase int

const (
	prepared  phase = iota + 1 // it may be in the store; no COMMIT names it
	live                       // committed
	destroyed                  // its runs are dead; it is deleted when nobody reads it
)

// known is one object of the journal.
type known struct {
	id        ObjectID
	phase     phase
	notBefore time.Time // earliest DELETE
	size      int64
	runs      int  // live ones
	gets      int  // reads from the store in flight
	uploading bool // by this process: not an orphan
	retryAt   time.Time
	failures  int // of DELETE
}

// state is the tier's view of its objects: a function of the last journal record
// of each key. Safe for concurrent use.
type state struct {
	index Index

	mu      sync.Mutex
	objects map[ObjectID]*known
	trims   map[uint32]int64
	// segments that are committed, and whether the source was told. An entry
	// stays until a listing made after that no longer holds the segment: a round
	// working on an older listing must not take it for new.
	segments map[uint64]bool
	epoch    uint64
	live     int
	bytes    int64
}

func newState(index Index) *state {
	return &state{index: index, objects: map[ObjectID]*known{}, trims: map[uint32]int64{}, segments: map[uint64]bool{}}
}

// replay applies a record of an earlier process. Trims are applied by settle, so
// that the order of records does not matter.
func (s *state) replay(r record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.kind {
	case recordPrepare:
		s.objects[r.id] = &known{id: r.id, phase: prepared, notBefore: r.notBefore}
	case recordCommit:
		return s.commitLocked(r)
	case recordDestroy:
		return s.destroyedLocked(r)
	case recordTombstone:
		delete(s.objects, r.id)
	case recordTrim:
		s.trims[r.stream] = max(s.trims[r.stream], r.before)
	case recordEpoch:
		s.epoch = max(s.epoch, r.epoch)
	}
	return nil
}

func (s *state) destroyedLocked(r record) error {
	k := s.objects[r.id]
	if k != nil && k.phase == live {
		if err := s.dropLocked(k); err != nil {
			return err
		}
	}
	s.objects[r.id] = &known{id: r.id, phase: destroyed, notBefore: r.notBefore}
	return nil
}

// dropLocked removes a live object that an unknown set of rows may still name:
// replayed COMMITs know their rows, which settle and Trim remove one by one, so
// only the object row is left here.
func (s *state) dropLocked(k *known) error {
	s.live--
	s.bytes -= k.size
	return s.index.Remove(k.id, nil, true)
}

// commit makes an object's runs cold data; empty says that all of them were
// trimmed meanwhile.
func (s *state) commit(r record) (empty bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.commitLocked(r); err != nil {
		return false, err
	}
	return s.objects[r.id].runs == 0, nil
}

// lastEpoch returns the last fence claim the journal remembers, 0 if none.
func (s *state) lastEpoch() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch
}

func (s *state) commitLocked(r record) error {
	object, rows := committed(&r.footer, r.size, r.notBefore)
	rows = slices.DeleteFunc(rows, func(w Row) bool { return w.Next <= s.trims[w.Stream] })
	if err := s.index.Add(object, rows); err != nil {
		return fmt.Errorf("indexing object %x: %w", r.id, err)
	}
	if k := s.objects[r.id]; k == nil || k.phase != live {
		s.live++
		s.bytes += r.size
	}
	s.objects[r.id] = &known{id: r.id, phase: live, notBefore: r.notBefore, size: r.size, runs: len(rows)}
	s.segments[r.segment] = false
	return nil
}

// prepare notes an object about to be uploaded by this process.
func (s *state) prepare(id ObjectID, notBefore time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[id] = &known{id: id, phase: prepared, notBefore: notBefore, uploading: true}
}

// abandon turns an upload that was given up into an orphan.
func (s *state) abandon(id ObjectID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.objects[id]; k != nil {
		k.uploading = false
	}
}

// segmentState tells whether a segment is committed and whether the source was
// told so.
func (s *state) segmentState(segment uint64) (committed, told bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	told, committed = s.segments[segment]
	return committed, told
}

// told notes that the source knows a segment to be offloaded.
func (s *state) told(segment uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments[segment] = true
}

// toldSegments returns the segments the source was told about; with all, also
// those it may have been told about by an earlier process.
func (s *state) toldSegments(all bool) []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []uint64
	for id, told := range s.segments {
		if told || all {
			ids = append(ids, id)
		}
	}
	return ids
}

// forgetSegment forgets a segment the source no longer has.
func (s *state) forgetSegment(segment uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.segments, segment)
}

// acquire keeps an object from being deleted while a GET is in flight. It
// returns false when it is on its way out.
func (s *state) acquire(id ObjectID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.objects[id]
	if k == nil || k.phase != live {
		return false
	}
	k.gets++
	return true
}

func (s *state) release(id ObjectID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.objects[id]; k != nil {
		k.gets--
	}
}

// trim removes the dead rows of a stream and returns the objects left without
// any.
func (s *state) trim(stream uint32, before int64) (empty []ObjectID, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trims[stream] = max(s.trims[stream], before)
	for {
		row, ok, err := s.index.Find(stream, 0)
		if err != nil || !ok || row.Next > before {
			return empty, err
		}
		if err := s.index.Remove(row.Object, []Row{row}, false); err != nil {
			return empty, fmt.Errorf("trimming stream %d: %w", stream, err)
		}
		k := s.objects[row.Object]
		if k == nil {
			continue // a replayed COMMIT whose object is gone since
		}
		if k.runs--; k.runs == 0 && k.phase == live {
			empty = append(empty, k.id)
		}
	}
}

// trimmed returns how far a stream was trimmed.
func (s *state) trimmed(stream uint32) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trims[stream]
}

// settle finishes a replay: it applies the trims to rows replayed before them
// and returns the live objects without runs.
func (s *state) settle() ([]ObjectID, error) {
	for stream, before := range s.trims {
		if _, err := s.trim(stream, before); err != nil {
			return nil, err
		}
	}
	var empty []ObjectID
	for id, k := range s.objects {
		if k.phase == live && k.runs == 0 {
			empty = append(empty, id)
		}
	}
	slices.SortFunc(empty, func(a, b ObjectID) int { return cmp.Compare(string(a[:]), string(b[:])) })
	return empty, nil
}

// notBefore returns the earliest time an object may be deleted.
func (s *state) notBefore(id ObjectID) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.objects[id]; k != nil {
		return k.notBefore
	}
	return time.Time{}
}

// destroy marks an object for deletion.
func (s *state) destroy(id ObjectID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.objects[id]
	if k == nil || k.phase == destroyed {
		return nil
	}
	if k.phase == live {
		if err := s.dropLocked(k); err != nil {
			return err
		}
	}
	k.phase, k.uploading = destroyed, false
	return nil
}

// collectable returns the objects to delete at now, and when the next one will
// be due if none is (zero: nothing is waiting).
func (s *state) collectable(now time.Time) (due []ObjectID, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, k := range s.objects {
		if k.phase == live || k.uploading {
			continue
		}
		at := k.notBefore
		if k.retryAt.After(at) {
			at = k.retryAt
		}
		switch {
		case !at.After(now) && k.gets == 0:
			due = append(due, id)
		case next.IsZero() || at.Before(next):
			next = at
		}
	}
	slices.SortFunc(due, func(a, b ObjectID) int { return cmp.Compare(string(a[:]), string(b[:])) })
	return due, next
}

// retry puts off the next DELETE of an object and returns how often it failed.
func (s *state) retry(id ObjectID, now time.Time, wait func(failures int) time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.objects[id]; k != nil {
		k.failures++
		k.retryAt = now.Add(wait(k.failures))
	}
}

// forget removes an object that was deleted.
func (s *state) forget(id ObjectID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, id)
}

func (s *state) counts() (objects, orphans int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live, len(s.objects) - s.live, s.bytes
}

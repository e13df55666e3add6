package tier

import (
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
	data      int64     // of that, runs
	runs      int       // live ones
	live      int64     // their bytes
	deadline  time.Time // a deleted topic's bytes must be gone by then; zero = none are left
	footer    int64     // length of its footer
	noted     bool      // a manifest says that it is destroyed
	first     uint32    // stream
	last      uint32
	moves     []move   // what it replaces, of objects that are live
	streams   []uint32 // its runs', dead or not
	gets      int      // reads from the store in flight
	uploading bool     // by this process: not an orphan
	retryAt   time.Time
	failures  int // of DELETE
}

// state is the tier's view of its objects: a function of the last journal record
// of each key. Safe for concurrent use.
type state struct {
	index Index

	mu      sync.Mutex
	objects map[ObjectID]*known
	trims   map[uint32]trim
	// moved says, while journal records are replayed, which rows of an object
	// live in another one.
	moved map[ObjectID][]move
	// segments that are committed, and whether the source was told. An entry
	// stays until a listing made after that no longer holds the segment: a round
	// working on an older listing must not take it for new.
	segments  map[uint64]bool
	epoch     uint64
	live      int
	bytes     int64
	liveBytes int64

	// For the manifest: objects and trims that changed since the last one, and
	// the manifests that are in the store.
	changed      map[ObjectID]bool
	trimmedSince map[uint32]bool
	chains       []chain
}

// trim is how far a stream was trimmed, and when.
type trim struct {
	before int64
	at     time.Time
}

func newState(index Index) *state {
	return &state{
		index: index, objects: map[ObjectID]*known{}, trims: map[uint32]trim{}, segments: map[uint64]bool{},
		changed: map[ObjectID]bool{}, trimmedSince: map[uint32]bool{},
	}
}

// replay applies the last record of a key. The records of all keys come twice,
// first with commits false, then with commits true: what a COMMIT adds depends
// on trims and on rewrites.
func (s *state) replay(r record, commits bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if commits {
		if r.kind == recordCommit || r.kind == recordRewrite {
			return s.commitLocked(r, nil)
		}
		return nil
	}
	switch r.kind {
	case recordPrepare:
		s.objects[r.id] = &known{id: r.id, phase: prepared, notBefore: r.notBefore}
	case recordDestroy:
		s.objects[r.id] = &known{id: r.id, phase: destroyed, notBefore: r.notBefore}
	case recordTrim:
		s.trims[r.stream] = trim{r.before, r.at}
	case recordEpoch:
		s.epoch = r.epoch
	case recordManifest:
		s.chains = r.chains
	case recordRewrite:
		s.noteMoved(r)
	}
	return nil
}

// dropLocked removes a live object whose rows are gone already: an object is
// destroyed only when it has none left.
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
	if err := s.commitLocked(r, nil); err != nil {
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

// commitLocked adds the object of r and its rows, in place of those of gone that
// are still there.
func (s *state) commitLocked(r record, gone []Row) error {
	object, rows := committed(&r.footer, r.size, r.notBefore)
	k := &known{id: r.id, phase: live, notBefore: r.notBefore, size: r.size, data: object.Data, moves: r.moves}
	k.footer = r.size - object.Data - overhead
	k.streams = streamsOf(r.footer.Runs)
	s.changed[r.id] = true
	if n := len(rows); n > 0 {
		k.first, k.last = rows[0].Stream, rows[n-1].Stream
	}
	rows = slices.DeleteFunc(rows, func(w Row) bool { return s.deadLocked(k, w) })
	for _, w := range rows {
		k.runs++
		k.live += w.Bytes
	}
	if err := s.leaveLocked(gone); err != nil {
		return err
	}
	if err := s.index.Replace(object, rows, gone); err != nil {
		return fmt.Errorf("indexing object %x: %w", r.id, err)
	}
	s.live++
	s.bytes += r.size
	s.liveBytes += k.live
	s.objects[r.id] = k
	if r.kind == recordCommit {
		s.segments[r.segment] = false
	}
	return nil
}

// deadLocked reports whether a row about to be added is dead already.
func (s *state) deadLocked(k *known, w Row) bool {
	if s.movedLocked(w) {
		return true
	}
	t, ok := s.trims[w.Stream]
	if !ok || w.Next > t.before {
		return false
	}
	k.died(t)
	return true
}

// prepare notes an object of these runs about to be uploaded by this process.
func (s *state) prepare(id ObjectID, notBefore time.Time, runs []Run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[id] = &known{id: id, phase: prepared, notBefore: notBefore, uploading: true, streams: streamsOf(runs)}
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

// recognised notes a segment that was committed by an earlier process.
func (s *state) recognised(segment uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments[segment] = false
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
func (s *state) trim(stream uint32, t trim) (empty []ObjectID, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trims[stream] = t
	s.trimmedSince[stream] = true
	for {
		row, ok, err := s.index.Find(stream, 0)
		if err != nil || !ok || row.Next > t.before {
			return empty, err
		}
		if err := s.index.Remove(row.Object, []Row{row}, false); err != nil {
			return empty, fmt.Errorf("trimming stream %d: %w", stream, err)
		}
		k := s.objects[row.Object]
		k.runs--
		k.live -= row.Bytes
		s.liveBytes -= row.Bytes
		k.died(t)
		if s.emptyLocked(k) {
			empty = append(empty, k.id)
		}
	}
}

// trimmed returns how far a stream was trimmed.
func (s *state) trimmed(stream uint32) trim {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trims[stream]
}

// settle finishes a replay.
func (s *state) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moved = nil
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
	s.changed[id] = true
	return nil
}

// collectable returns the objects to delete at now, and when the next one will
// be due if none is (zero: nothing is waiting).
func (s *state) collectable(now time.Time) (due []ObjectID, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, k := range s.objects {
		if k.phase == live || k.uploading || k.phase == destroyed && !k.noted {
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
	slices.SortFunc(due, compareIDs)
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
	if s.objects[id].phase == destroyed {
		s.changed[id] = true
	}
	delete(s.objects, id)
}

func (s *state) counts(st *Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Objects, st.Orphans = s.live, len(s.objects)-s.live
	st.ObjectBytes, st.LiveBytes = s.bytes, s.liveBytes
}

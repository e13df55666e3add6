package tier

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// forgetDeleted is how long the bytes of a deleted topic may stay in an object
// that others' runs keep alive.
const forgetDeleted = 24 * time.Hour

// deletedTopic is what the streams of a deleted topic are trimmed to.
const deletedTopic = math.MaxInt64

// died notes that a run of the object died by a trim.
func (k *known) died(t trim) {
	if t.before != deletedTopic {
		return
	}
	if by := t.at.Add(forgetDeleted); k.deadline.IsZero() || by.Before(k.deadline) {
		k.deadline = by
	}
}

// move says that the rows of some streams of an object live in another one.
type move struct {
	source   ObjectID
	from, to uint32
}

// noteMoved takes in a replayed rewrite. Called with mu held.
func (s *state) noteMoved(r record) {
	if s.moved == nil {
		s.moved = map[ObjectID][]move{}
	}
	for _, m := range r.moves {
		s.moved[m.source] = append(s.moved[m.source], m)
	}
}

// movedLocked reports whether a replayed rewrite took a row of its object over.
// It took all of its streams' rows, or dropped those that were dead.
func (s *state) movedLocked(w Row) bool {
	return slices.ContainsFunc(s.moved[w.Object], func(m move) bool { return w.Stream >= m.from && w.Stream <= m.to })
}

// moves returns what a new object replaces that is made of the sources' streams
// from–to. A source may itself have replaced runs of objects that are still live:
// the new one says so instead, because the source's own record goes with it.
func (s *state) moves(sources []ObjectID, from, to uint32) []move {
	s.mu.Lock()
	defer s.mu.Unlock()
	var moves []move
	for _, id := range sources {
		moves = append(moves, move{id, from, to})
		if k := s.objects[id]; k != nil {
			s.pruneLocked(k)
			moves = append(moves, k.moves...)
		}
	}
	slices.SortFunc(moves, func(a, b move) int {
		return cmp.Or(compareIDs(a.source, b.source), cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
	})
	return slices.Compact(moves)
}

// pruneLocked forgets moves from objects whose DESTROY is durable: no replay
// brings their rows back.
func (s *state) pruneLocked(k *known) {
	k.moves = slices.DeleteFunc(k.moves, func(m move) bool {
		source := s.objects[m.source]
		return source == nil || source.phase != live
	})
}

// leaveLocked takes rows that move to another object off their own, unless they
// were trimmed meanwhile.
func (s *state) leaveLocked(rows []Row) error {
	for _, w := range rows {
		now, ok, err := s.index.Find(w.Stream, w.Base)
		if err != nil {
			return err
		}
		if !ok || now.Base != w.Base || now.Object != w.Object {
			continue
		}
		k := s.objects[w.Object]
		k.runs--
		k.live -= w.Bytes
		s.liveBytes -= w.Bytes
	}
	return nil
}

// emptyLocked reports whether an object can be destroyed. Its runs were trimmed,
// which holds for what they replaced, too, or moved to an object that tells so.
func (s *state) emptyLocked(k *known) bool { return k.phase == live && k.runs == 0 }

// empty returns the objects to destroy, oldest first.
func (s *state) empty() (ids []ObjectID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, k := range s.objects {
		if s.emptyLocked(k) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, compareIDs)
	return ids
}

func compareIDs(a, b ObjectID) int { return cmp.Compare(string(a[:]), string(b[:])) }

// candidate is an object that may be rewritten.
type candidate struct {
	id          ObjectID
	data, live  int64
	runs        int
	first, last uint32
	deadline    time.Time
}

// dead is the share of bytes nobody can read.
func (c candidate) dead() float64 { return float64(c.data-c.live) / float64(c.data) }

// candidates returns the live objects, oldest first, and what share of all their
// bytes is dead.
func (s *state) candidates() (list []candidate, dead float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var data, alive int64
	for id, k := range s.objects {
		if k.phase != live || k.runs == 0 {
			continue
		}
		data, alive = data+k.data, alive+k.live
		list = append(list, candidate{id: id, data: k.data, live: k.live, runs: k.runs, first: k.first, last: k.last, deadline: k.deadline})
	}
	slices.SortFunc(list, func(a, b candidate) int { return compareIDs(a.id, b.id) })
	if data > 0 {
		dead = float64(data-alive) / float64(data)
	}
	return list, dead
}

// commitRewrite makes the runs of a rewritten object live in place of the rows
// it was made from.
func (s *state) commitRewrite(r record, gone []Row) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commitLocked(r, gone)
}

// hasDead reports whether an object has dead bytes, so that rewriting it gains
// something whatever becomes of its runs.
func (s *state) hasDead(id ObjectID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.objects[id]
	return k != nil && k.live < k.data
}

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

// move says that the rows of some streams live in another object.
type move struct{ from, to uint32 }

// noteMoved takes in a replayed rewrite. Called with mu held.
func (s *state) noteMoved(r record) {
	if s.moved == nil {
		s.moved = map[ObjectID][]move{}
	}
	for _, source := range r.sources {
		s.moved[source] = append(s.moved[source], move{r.from, r.to})
	}
}

// movedLocked reports whether a replayed rewrite took a row of its object over.
// It took all of its streams' rows, or dropped those that were dead.
func (s *state) movedLocked(w Row) bool {
	return slices.ContainsFunc(s.moved[w.Object], func(m move) bool { return w.Stream >= m.from && w.Stream <= m.to })
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

// emptyLocked reports whether an object can be destroyed: no live run, and no
// source left whose COMMIT a replay would bring back without this object's.
func (s *state) emptyLocked(k *known) bool {
	return k.phase == live && k.runs == 0 && !s.pinnedLocked(k)
}

// pinnedLocked reports whether a source of a rewrite is not destroyed yet.
func (s *state) pinnedLocked(k *known) bool {
	k.sources = slices.DeleteFunc(k.sources, func(id ObjectID) bool {
		source := s.objects[id]
		return source == nil || source.phase != live
	})
	return len(k.sources) > 0
}

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
	unfinished  bool // a rewrite took some of its streams and was cut short
}

// dead is the share of bytes nobody can read.
func (c candidate) dead() float64 { return float64(c.data-c.live) / float64(c.data) }

// candidates returns the live objects that are not bound to an unfinished
// rewrite, oldest first, and what share of all their bytes is dead.
func (s *state) candidates() (list []candidate, dead float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var data, alive int64
	unfinished := map[ObjectID]bool{}
	for id, k := range s.objects {
		if k.phase != live {
			continue
		}
		data, alive = data+k.data, alive+k.live
		switch {
		case s.pinnedLocked(k):
			for _, source := range k.sources {
				unfinished[source] = true
			}
		case k.runs > 0:
			list = append(list, candidate{id: id, data: k.data, live: k.live, runs: k.runs, first: k.first, last: k.last, deadline: k.deadline})
		}
	}
	for i := range list {
		list[i].unfinished = unfinished[list[i].id]
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

package tier

import (
	"maps"
	"slices"
	"sort"
	"sync"
)

// MemIndex is an Index in memory, rebuilt from the journal at each start. It
// suits nodes of up to some hundred thousand rows (about 120 bytes each).
type MemIndex struct {
	mu      sync.RWMutex
	objects map[ObjectID]Object
	rows    map[uint32][]Row // sorted by Base
	bytes   map[uint32]int64
}

// NewMemIndex returns an empty index.
func NewMemIndex() *MemIndex {
	return &MemIndex{objects: map[ObjectID]Object{}, rows: map[uint32][]Row{}, bytes: map[uint32]int64{}}
}

// at returns where base is or belongs among a stream's rows.
func (x *MemIndex) at(stream uint32, base int64) int {
	rows := x.rows[stream]
	return sort.Search(len(rows), func(i int) bool { return rows[i].Base >= base })
}

// Add implements Index.
func (x *MemIndex) Add(o Object, rows []Row) error { return x.Replace(o, rows, nil) }

// Replace implements Index.
func (x *MemIndex) Replace(o Object, rows, gone []Row) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range gone {
		x.remove(r)
	}
	x.objects[o.ID] = o
	for _, r := range rows {
		i, have := x.at(r.Stream, r.Base), x.rows[r.Stream]
		if i < len(have) && have[i].Base == r.Base {
			x.bytes[r.Stream] += r.Bytes - have[i].Bytes
			have[i] = r
			continue
		}
		x.bytes[r.Stream] += r.Bytes
		x.rows[r.Stream] = slices.Insert(have, i, r)
	}
	return nil
}

// Remove implements Index.
func (x *MemIndex) Remove(id ObjectID, rows []Row, last bool) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range rows {
		r.Object = id
		x.remove(r)
	}
	if last {
		delete(x.objects, id)
	}
	return nil
}

// remove forgets a row of a certain object.
func (x *MemIndex) remove(r Row) {
	i, have := x.at(r.Stream, r.Base), x.rows[r.Stream]
	if i == len(have) || have[i].Base != r.Base || have[i].Object != r.Object {
		return
	}
	x.bytes[r.Stream] -= have[i].Bytes
	if have = slices.Delete(have, i, i+1); len(have) == 0 {
		delete(x.rows, r.Stream)
		delete(x.bytes, r.Stream)
	} else {
		x.rows[r.Stream] = have
	}
}

// Scan implements Index.
func (x *MemIndex) Scan(from uint32, fn func(Row) bool) error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, stream := range slices.Sorted(maps.Keys(x.rows)) {
		if stream < from {
			continue
		}
		for _, r := range x.rows[stream] {
			if !fn(r) {
				return nil
			}
		}
	}
	return nil
}

// Find implements Index.
func (x *MemIndex) Find(stream uint32, offset int64) (Row, bool, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	rows := x.rows[stream]
	i := sort.Search(len(rows), func(i int) bool { return rows[i].Next > offset })
	if i == len(rows) {
		return Row{}, false, nil
	}
	return rows[i], true, nil
}

// Object implements Index.
func (x *MemIndex) Object(id ObjectID) (Object, bool, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	o, ok := x.objects[id]
	return o, ok, nil
}

// Extent implements Index.
func (x *MemIndex) Extent(stream uint32) (Extent, bool, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	rows := x.rows[stream]
	if len(rows) == 0 {
		return Extent{}, false, nil
	}
	return Extent{Start: rows[0].Base, End: rows[len(rows)-1].Next, Bytes: x.bytes[stream], Rows: len(rows)}, true, nil
}

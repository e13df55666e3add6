package engine

import (
	"cmp"
	"slices"
)

// owner is who a range of streams belongs to.
type owner struct {
	topic *topicState
	first int32 // partition of the range's first stream
	count int32
}

// ownerIndex finds the topic of a stream: one entry per extent, not per partition.
type ownerIndex struct {
	starts []uint32
	owners []owner
}

func (x *ownerIndex) search(start uint32) (int, bool) {
	return slices.BinarySearchFunc(x.starts, start, cmp.Compare[uint32])
}

func (x *ownerIndex) put(start uint32, o owner) {
	i, found := x.search(start)
	if found {
		x.owners[i] = o
		return
	}
	x.starts = slices.Insert(x.starts, i, start)
	x.owners = slices.Insert(x.owners, i, o)
}

func (x *ownerIndex) drop(start uint32) {
	if i, found := x.search(start); found {
		x.starts = slices.Delete(x.starts, i, i+1)
		x.owners = slices.Delete(x.owners, i, i+1)
	}
}

func (x *ownerIndex) find(stream uint32) (*topicState, int32, bool) {
	i, found := x.search(stream)
	if !found {
		i--
	}
	if i < 0 || stream-x.starts[i] >= uint32(x.owners[i].count) {
		return nil, 0, false
	}
	o := x.owners[i]
	return o.topic, o.first + int32(stream-x.starts[i]), true
}

package group

import (
	"iter"
	"maps"
	"slices"
)

// TopicID is a topic's id: a topic that was deleted and made anew under its name is another one.
type TopicID [16]byte

// Topic is what a group must know of a topic.
type Topic struct {
	ID         TopicID
	Name       string
	Partitions int32
}

// Topics are the cluster's topics at one moment.
type Topics interface {
	// Version differs between two moments whose topics differ.
	Version() uint64
	ByName(name string) (Topic, bool)
	ByID(id TopicID) (Topic, bool)
	All() iter.Seq[Topic]
}

// Partitions is a set of partitions: for each topic its numbers, sorted, never empty. Sets are values: no function of
// this package changes one that it was given.
type Partitions map[TopicID][]int32

// PartitionsOf makes a set of a list in which topics and numbers may repeat.
func PartitionsOf(list iter.Seq2[TopicID, []int32]) Partitions {
	p := Partitions{}
	for id, numbers := range list {
		if len(numbers) > 0 {
			p[id] = append(p[id], numbers...)
		}
	}
	for id, numbers := range p {
		slices.Sort(numbers)
		p[id] = slices.Compact(numbers)
	}
	return p
}

// Len counts the partitions.
func (p Partitions) Len() (n int) {
	for _, numbers := range p {
		n += len(numbers)
	}
	return n
}

// Each goes over the partitions, topics in the order of their ids.
func (p Partitions) Each() iter.Seq2[TopicID, int32] {
	return func(yield func(TopicID, int32) bool) {
		for _, id := range p.topics() {
			for _, n := range p[id] {
				if !yield(id, n) {
					return
				}
			}
		}
	}
}

// ByTopic goes over the topics in the order of their ids, with the numbers of each.
func (p Partitions) ByTopic() iter.Seq2[TopicID, []int32] {
	return func(yield func(TopicID, []int32) bool) {
		for _, id := range p.topics() {
			if !yield(id, p[id]) {
				return
			}
		}
	}
}

func (p Partitions) topics() []TopicID { return slices.SortedFunc(maps.Keys(p), compareIDs) }

func (p Partitions) has(id TopicID, number int32) bool {
	_, ok := slices.BinarySearch(p[id], number)
	return ok
}

func (p Partitions) equal(q Partitions) bool { return maps.EqualFunc(p, q, slices.Equal[[]int32]) }

// within says whether every partition of p is in q.
func (p Partitions) within(q Partitions) bool {
	for id, numbers := range p {
		for _, n := range numbers {
			if !q.has(id, n) {
				return false
			}
		}
	}
	return true
}

func (p Partitions) touches(q Partitions) bool {
	for id, numbers := range p {
		for _, n := range numbers {
			if q.has(id, n) {
				return true
			}
		}
	}
	return false
}

// filter keeps the partitions that keep says.
func (p Partitions) filter(keep func(TopicID, int32) bool) Partitions {
	out := Partitions{}
	for id, numbers := range p {
		for _, n := range numbers {
			if keep(id, n) {
				out[id] = append(out[id], n)
			}
		}
	}
	return out
}

func (p Partitions) and(q Partitions) Partitions { return p.filter(q.has) }

func (p Partitions) minus(q Partitions) Partitions {
	return p.filter(func(id TopicID, n int32) bool { return !q.has(id, n) })
}

// plus unites two sets that have no partition in common.
func (p Partitions) plus(q Partitions) Partitions {
	out := maps.Clone(p)
	for id, numbers := range q {
		all := slices.Concat(out[id], numbers)
		slices.Sort(all)
		out[id] = all
	}
	return out
}

func compareIDs(a, b TopicID) int { return slices.Compare(a[:], b[:]) }

// placed is one partition as a key.
type placed struct {
	topic  TopicID
	number int32
}

package kafka

import (
	"iter"
	"slices"
	"strings"
)

// table holds one value per partition, in order of topics and partitions: of a hundred thousand rows most of what it takes
// is the values, and whoever goes through them need not sort. The zero value of T is none. The zero table is empty.
//
// A topic's values reach up to its largest partition: callers put only partitions that the cluster has.
type table[T comparable] struct {
	topics []topicRow[T] // by name
	n      int
}

type topicRow[T comparable] struct {
	name  string
	parts []T // by partition
	n     int // of them that are something
}

// position is a committed offset, plus one: a table's zero is none.
type position int64

func positionAt(offset int64) position { return position(offset + 1) }

func (p position) offset() int64 { return int64(p) - 1 }

func (t *table[T]) find(topic string) (int, bool) {
	return slices.BinarySearchFunc(t.topics, topic, func(r topicRow[T], name string) int { return strings.Compare(r.name, name) })
}

// at is the value of a partition.
func (t *table[T]) at(where partition) (v T) {
	i, ok := t.find(where.topic)
	if !ok || where.index < 0 || int(where.index) >= len(t.topics[i].parts) {
		return v
	}
	return t.topics[i].parts[where.index]
}

// put sets the value of a partition; none takes it out.
func (t *table[T]) put(where partition, v T) {
	var none T
	i, ok := t.find(where.topic)
	if !ok {
		if v == none {
			return
		}
		t.topics = slices.Insert(t.topics, i, topicRow[T]{name: where.topic})
	}
	row := &t.topics[i]
	for int(where.index) >= len(row.parts) {
		if v == none {
			return
		}
		row.parts = append(row.parts, none)
	}
	change := 0
	if row.parts[where.index] != none {
		change--
	}
	if v != none {
		change++
	}
	row.parts[where.index] = v
	row.n += change
	t.n += change
}

// all goes through what is there. What is put meanwhile may be left out, what is taken out is not shown.
func (t *table[T]) all() iter.Seq2[partition, T] {
	return func(yield func(partition, T) bool) {
		var none T
		for _, row := range t.topics {
			for i, v := range row.parts {
				if v != none && !yield(partition{row.name, int32(i)}, v) {
					return
				}
			}
		}
	}
}

// names are the topics of which something is there.
func (t *table[T]) names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, row := range t.topics {
			if row.n > 0 && !yield(row.name) {
				return
			}
		}
	}
}

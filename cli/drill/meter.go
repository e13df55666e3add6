package drill

import "time"

// meter tells how late the records of a topic are processed, by partition, from what producers and consumers say
// of their own positions. It does not ask the broker: it is the truth that the diagnosis is measured by.
// It is not safe for concurrent use.
type meter struct {
	waiting   map[int32][]head // heads that are not processed yet, oldest first
	heads     map[int32]int64  // newest known
	processed map[int32]int64  // next offset to process
}

// head is how far a partition had come at a moment.
type head struct {
	at     time.Time
	offset int64
}

// maxWaiting bounds the heads kept per partition: an hour at one a second.
const maxWaiting = 3600

func newMeter() *meter {
	return &meter{waiting: map[int32][]head{}, heads: map[int32]int64{}, processed: map[int32]int64{}}
}

// produced notes how far the partitions have come.
func (m *meter) produced(now time.Time, heads map[int32]int64) {
	for p, offset := range heads {
		if offset <= m.heads[p] {
			continue
		}
		m.heads[p] = offset
		if offset > m.processed[p] && len(m.waiting[p]) < maxWaiting {
			m.waiting[p] = append(m.waiting[p], head{now, offset})
		}
	}
}

// consumed notes how far processing has come. What was done once stays done: records that are processed again
// change nothing.
func (m *meter) consumed(positions map[int32]int64) {
	for p, offset := range positions {
		m.processed[p] = max(m.processed[p], offset)
		w := m.waiting[p]
		for len(w) > 0 && w[0].offset <= m.processed[p] {
			w = w[1:]
		}
		m.waiting[p] = w
	}
}

// worst is the partition that is furthest behind, and by how much: the age of its oldest record that waits.
func (m *meter) worst(now time.Time) (partition int32, behind time.Duration) {
	for p, w := range m.waiting {
		if len(w) == 0 {
			continue
		}
		if d := now.Sub(w[0].at); d > behind || d == behind && p < partition {
			partition, behind = p, d
		}
	}
	return partition, behind
}

// done is how many offsets were processed in all partitions.
func (m *meter) done() int64 {
	n := int64(0)
	for _, offset := range m.processed {
		n += offset
	}
	return n
}

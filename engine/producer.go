package engine

import (
	"fmt"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/index"
)

// sequenceRing is how many batches of a producer are remembered: clients have at most five in flight.
const sequenceRing = 5

// loadProducers reads the partition's producers once they are needed. p.mu is held.
func (p *Partition) loadProducers() (*partitionMore, error) {
	m := p.extra()
	if m.loaded {
		return m, nil
	}
	if m.producers == nil {
		m.producers = map[int64]*index.Producer{}
	}
	err := p.e.index.Producers(p.stream, func(pr index.Producer) {
		if _, newer := m.producers[pr.ID]; !newer {
			m.producers[pr.ID] = &pr
		}
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	m.loaded = true
	return m, nil
}

// checkSequences applies Kafka's idempotence rules to b without changing anything. A retry of a remembered batch comes
// back as its sequence.
func (p *Partition) checkSequences(b []byte) (dup *index.Sequence, err error) {
	var last index.Sequence
	for i := 0; len(b) > 0; i++ {
		h, rest, _ := batch.Next(b)
		b = rest
		if h.ProducerID() < 0 || h.IsControl() {
			continue
		}
		if h.BaseSequence() < 0 { // a coordinator writes in the producer's name
			if err := p.checkEpoch(h); err != nil {
				return nil, err
			}
			continue
		}
		if i > 0 && dup == nil && last.Epoch == h.ProducerEpoch() && last.Last >= 0 {
			// Batches of one append follow each other; Kafka allows only one, so no client gets here by accident.
			if h.BaseSequence() != batch.AddSequence(last.Last, 1) {
				return nil, p.outOfOrder(h, last.Last)
			}
		} else if dup, err = p.checkSequence(h); err != nil {
			return nil, err
		}
		last = index.Sequence{Epoch: h.ProducerEpoch(), Last: h.LastSequence()}
	}
	return dup, nil
}

func (p *Partition) checkSequence(h batch.Header) (*index.Sequence, error) {
	m, err := p.loadProducers()
	if err != nil {
		return nil, err
	}
	pr := m.producers[h.ProducerID()]
	if epochOf(pr) < 0 {
		return nil, nil // unknown or expired: any sequence starts it, as in Kafka since KIP-360
	}
	if err := p.checkEpoch(h); err != nil {
		return nil, err
	}
	if len(pr.Last) == 0 { // known by a marker only
		if h.ProducerEpoch() > pr.MarkerEpoch && h.BaseSequence() != 0 {
			return nil, p.outOfOrder(h, -1)
		}
		return nil, nil
	}
	last := pr.Last[len(pr.Last)-1]
	if h.ProducerEpoch() > last.Epoch {
		if h.BaseSequence() != 0 {
			return nil, p.outOfOrder(h, -1)
		}
		return nil, nil
	}
	for i := range pr.Last {
		if s := pr.Last[i]; s.Epoch == h.ProducerEpoch() && s.First == h.BaseSequence() && s.Last == h.LastSequence() {
			return &s, nil
		}
	}
	if h.BaseSequence() == batch.AddSequence(last.Last, 1) {
		return nil, nil
	}
	if behind := last.Last - h.LastSequence(); behind >= 0 && behind < 1<<30 {
		return nil, fmt.Errorf("producer %d repeats sequence %d..%d of %s: %w",
			h.ProducerID(), h.BaseSequence(), h.LastSequence(), p.name(), ErrDuplicateSequence)
	}
	return nil, p.outOfOrder(h, last.Last)
}

// checkEpoch refuses a producer that was fenced. p.mu is held and the producers are loaded.
func (p *Partition) checkEpoch(h batch.Header) error {
	m, err := p.loadProducers()
	if err != nil {
		return err
	}
	if seen := epochOf(m.producers[h.ProducerID()]); h.ProducerEpoch() < seen {
		return fmt.Errorf("producer %d has epoch %d, epoch %d was seen on %s: %w",
			h.ProducerID(), h.ProducerEpoch(), seen, p.name(), ErrInvalidProducerEpoch)
	}
	return nil
}

func (p *Partition) outOfOrder(h batch.Header, last int32) error {
	return fmt.Errorf("producer %d sent sequence %d to %s, %d was expected: %w",
		h.ProducerID(), h.BaseSequence(), p.name(), batch.AddSequence(last, 1), ErrOutOfOrderSequence)
}

// noteSequence remembers an appended or replayed batch. p.mu is held, or the engine is recovering.
func (p *Partition) noteSequence(h batch.Header, now func() int64) {
	if h.ProducerID() < 0 || h.IsControl() || h.BaseSequence() < 0 {
		return
	}
	pr := p.producer(h.ProducerID())
	pr.Seen = now()
	s := index.Sequence{
		Epoch: h.ProducerEpoch(), First: h.BaseSequence(), Last: h.LastSequence(), Base: h.BaseOffset(), Delta: h.LastOffsetDelta(), Time: -1,
	}
	if h.IsLogAppendTime() {
		s.Time = h.MaxTimestamp()
	}
	if n := len(pr.Last); n > 0 && pr.Last[n-1].Epoch != s.Epoch {
		pr.Last = pr.Last[:0]
	}
	if len(pr.Last) == sequenceRing {
		copy(pr.Last, pr.Last[1:])
		pr.Last = pr.Last[:sequenceRing-1]
	}
	pr.Last = append(pr.Last, s)
}

// expireProducers forgets producers idle for longer than maxIdle milliseconds and returns their ids. Rows of partitions
// that nobody touches stay until somebody does.
func (p *Partition) expireProducers(now, maxIdle int64) (ids []int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.more == nil {
		return nil
	}
	for id, pr := range p.more.producers {
		if now-pr.Seen > maxIdle && p.openOf(id) == nil {
			delete(p.more.producers, id)
			ids = append(ids, id)
		}
	}
	return ids
}

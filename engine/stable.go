package engine

import (
	"fmt"
	"slices"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/index"
)

// partitionTxn is a transaction with records in a partition that is not over for readers: it is open, or its marker is
// not durable yet.
type partitionTxn struct {
	index.OpenTxn
	marker  int64 // its offset; -1 while the transaction is open
	aborted bool
}

func (t *partitionTxn) open() bool { return t.marker < 0 }

// openOf returns the producer's open transaction, if any. p.mu is held.
func (p *Partition) openOf(producer int64) *partitionTxn {
	if p.more == nil {
		return nil
	}
	for i := range p.more.txns {
		if t := &p.more.txns[i]; t.Producer == producer && t.open() {
			return t
		}
	}
	return nil
}

// noteTransaction follows an appended or replayed batch: the first one of a transaction opens it, a marker ends it. p.mu
// is held, or the engine is recovering.
func (p *Partition) noteTransaction(h batch.Header, now func() int64) error {
	if !h.IsTransactional() || h.ProducerID() < 0 {
		return nil
	}
	if h.IsControl() {
		return p.noteMarker(h, now)
	}
	if p.openOf(h.ProducerID()) != nil {
		return nil
	}
	m := p.extra()
	m.txns = append(m.txns, partitionTxn{
		OpenTxn: index.OpenTxn{Producer: h.ProducerID(), First: h.BaseOffset(), Since: now()}, marker: -1,
	})
	p.e.openTxns.add(p)
	return nil
}

func (p *Partition) noteMarker(h batch.Header, now func() int64) error {
	m, ok, err := batch.ReadMarker(h)
	if err != nil || !ok {
		return err
	}
	pr := p.producer(h.ProducerID())
	pr.Seen, pr.MarkerEpoch, pr.Coordinator = now(), h.ProducerEpoch(), m.Coordinator
	if t := p.openOf(h.ProducerID()); t != nil {
		t.marker, t.aborted = h.BaseOffset(), !m.Commit
	}
	return nil
}

// producer returns what is known of a producer, made when there is nothing. p.mu is held, or the engine is recovering.
func (p *Partition) producer(id int64) *index.Producer {
	m := p.extra()
	if m.producers == nil {
		m.producers = map[int64]*index.Producer{}
	}
	pr := m.producers[id]
	if pr == nil {
		pr = &index.Producer{ID: id, MarkerEpoch: -1, Coordinator: -1}
		m.producers[id] = pr
	}
	return pr
}

// epochOf is the newest epoch seen of a producer; -1 when none was.
func epochOf(pr *index.Producer) int16 {
	if pr == nil {
		return -1
	}
	if n := len(pr.Last); n > 0 {
		return max(pr.Last[n-1].Epoch, pr.MarkerEpoch)
	}
	return pr.MarkerEpoch
}

// settleTransactions ends, for readers, the transactions whose markers are durable now. p.mu is held and p.hw has moved,
// or the engine is recovering.
func (p *Partition) settleTransactions() {
	m := p.more
	for m != nil && len(m.txns) > 0 {
		i := -1
		for j := range m.txns {
			if t := &m.txns[j]; !t.open() && t.marker < p.hw && (i < 0 || t.marker < m.txns[i].marker) {
				i = j
			}
		}
		if i < 0 {
			return
		}
		t := m.txns[i]
		m.txns = slices.Delete(m.txns, i, i+1)
		if t.aborted {
			a := index.Aborted{Producer: t.Producer, First: t.First, Last: t.marker, Stable: t.marker + 1}
			if len(m.txns) > 0 {
				a.Stable = min(a.Stable, m.txns[0].First)
			}
			m.aborted = append(m.aborted, a)
			m.lastAborted = a.Last
		}
		if len(m.txns) == 0 {
			p.e.openTxns.drop(p)
		}
	}
}

// stable is the last stable offset: everything below is durable (I1) and decided. p.mu is held.
func (p *Partition) stable() int64 {
	if p.more == nil || len(p.more.txns) == 0 {
		return p.hw
	}
	return min(p.hw, max(p.more.txns[0].First, p.logStart))
}

// LastStable is the offset below which every record is durable and no transaction is open.
func (p *Partition) LastStable() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stable()
}

// abortedBetween returns the aborted transactions that have records in [from, next), in the order of their markers.
func (p *Partition) abortedBetween(from, next int64) (out []index.Aborted, err error) {
	p.mu.Lock()
	if p.more == nil || p.more.lastAborted < from {
		p.mu.Unlock()
		return nil, nil
	}
	recent := slices.Clone(p.more.aborted) // before the index: they may move there meanwhile
	p.mu.Unlock()
	take := func(a index.Aborted) bool {
		if a.Last >= from && a.First < next {
			out = append(out, a)
		}
		return a.Stable < next
	}
	last := int64(-1)
	err = p.e.index.Aborted(p.stream, from, func(a index.Aborted) bool { last = a.Last; return take(a) })
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	for _, a := range recent {
		if a.Last > last && !take(a) {
			break
		}
	}
	return out, nil
}

// durableTransactions is what the index may hold of the partition's transactions: s gets those open at the high
// watermark, the result are the aborted ones that the index does not have. p.mu is held.
func (p *Partition) durableTransactions(s *index.Stream) []index.Aborted {
	m := p.more
	if m == nil {
		return nil
	}
	s.Aborted = m.lastAborted
	for _, t := range m.txns {
		if t.First < p.hw {
			s.Open = append(s.Open, t.OpenTxn)
		}
	}
	return slices.Clone(m.aborted)
}

// inflateTransactions is the way back.
func (p *Partition) inflateTransactions(s index.Stream) {
	if s.Aborted == 0 && len(s.Open) == 0 {
		return
	}
	m := p.extra()
	m.lastAborted = s.Aborted
	for _, o := range s.Open {
		m.txns = append(m.txns, partitionTxn{OpenTxn: o, marker: -1})
	}
	if len(m.txns) > 0 {
		p.e.openTxns.add(p)
	}
}

// abortedIndexed forgets the aborted transactions that the index holds now.
func (p *Partition) abortedIndexed(saved []index.Aborted) {
	if len(saved) == 0 {
		return
	}
	last := saved[len(saved)-1].Last
	p.mu.Lock()
	defer p.mu.Unlock()
	p.more.aborted = slices.DeleteFunc(p.more.aborted, func(a index.Aborted) bool { return a.Last <= last })
}

// saveAborted moves the partition's aborted transactions to the index, and takes out those below the log start.
func (p *Partition) saveAborted(c *index.Change, s index.Stream, aborted []index.Aborted) {
	for _, a := range aborted {
		c.AddAborted(p.stream, a)
	}
	if s.Aborted == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.extra(); s.LogStart > m.trimmed {
		c.DropAborted(p.stream, s.LogStart)
		m.trimmed = s.LogStart
	}
}

// checkOpen refuses a producer's records outside a transaction while it has one open: Kafka does too, because they would
// be read before what was written earlier. p.mu is held.
func (p *Partition) checkOpen(h batch.Header) error {
	if h.ProducerID() < 0 || h.IsTransactional() || p.openOf(h.ProducerID()) == nil {
		return nil
	}
	return fmt.Errorf("producer %d has a transaction open on %s: %w", h.ProducerID(), p.name(), ErrInvalidTxnState)
}

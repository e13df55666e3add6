package engine

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// openSet holds the partitions that have transactions which are not over, so that telling of them costs what they are
// and not what the cluster is. Partitions are added and dropped under their own lock.
type openSet struct {
	mu  sync.Mutex
	all map[*Partition]struct{}
}

func (s *openSet) add(p *Partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[*Partition]struct{}{}
	}
	s.all[p] = struct{}{}
}

func (s *openSet) drop(p *Partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, p)
}

func (s *openSet) list() []*Partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*Partition, 0, len(s.all))
	for p := range s.all {
		out = append(out, p)
	}
	return out
}

// OpenTransaction is one producer's undecided transaction in one partition: its records hold back everything behind them
// from readers of committed records.
type OpenTransaction struct {
	Topic      string
	Partition  int32
	ProducerID int64
	First      int64     // offset of its first record
	Since      time.Time // when that was appended
	Held       int64     // offsets between the last stable offset and the high watermark
}

// OpenTransactions lists the undecided transactions of all partitions that were touched since the start, oldest first.
func (e *Engine) OpenTransactions() []OpenTransaction {
	var out []OpenTransaction
	for _, p := range e.openTxns.list() {
		p.mu.Lock()
		held := p.hw - p.stable()
		for i := range p.more.txns {
			if t := &p.more.txns[i]; t.open() && !p.gone {
				out = append(out, OpenTransaction{
					Topic: p.topic.name, Partition: p.index, ProducerID: t.Producer, First: t.First, Since: time.UnixMilli(t.Since), Held: held,
				})
			}
		}
		p.mu.Unlock()
	}
	slices.SortFunc(out, func(a, b OpenTransaction) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.First, b.First)) })
	return out
}

// ProducerState is what a partition knows of one idempotent or transactional producer.
type ProducerState struct {
	ID               int64
	Epoch            int16
	LastSequence     int32 // -1 when none is known
	LastTimestamp    int64 // wall time of its last batch or marker, ms
	CoordinatorEpoch int32 // of its last marker, -1 when there was none
	TxnStart         int64 // offset of its open transaction's first record, -1 when none is open
}

// Producers lists the partition's producers by id.
func (p *Partition) Producers() ([]ProducerState, error) {
	if err := p.e.enter(); err != nil {
		return nil, err
	}
	defer p.e.leave()
	p.mu.Lock()
	defer p.mu.Unlock()
	m, err := p.loadProducers()
	if err != nil {
		return nil, err
	}
	out := make([]ProducerState, 0, len(m.producers))
	for id, pr := range m.producers {
		s := ProducerState{
			ID: id, Epoch: epochOf(pr), LastSequence: -1, LastTimestamp: pr.Seen, CoordinatorEpoch: pr.Coordinator, TxnStart: -1,
		}
		if n := len(pr.Last); n > 0 && pr.Last[n-1].Epoch == s.Epoch {
			s.LastSequence = pr.Last[n-1].Last
		}
		if t := p.openOf(id); t != nil {
			s.TxnStart = t.First
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b ProducerState) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

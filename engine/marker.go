package engine

import (
	"errors"
	"fmt"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
)

// AppendTransactional is Append for a batch of a transaction. admit is asked when the batch would be the transaction's
// first in this partition, under the partition's lock: a marker cannot come between its word and the batch, so that no
// late batch opens a transaction that nobody will end. It must not call the partition.
func (p *Partition) AppendTransactional(b []byte, acks int16, admit func() error, done func(Appended)) {
	p.append(b, appending{acks: acks, admit: p.unlessOpen(b, admit)}, done)
}

// unlessOpen asks admit only for a transaction's first batch.
func (p *Partition) unlessOpen(b []byte, admit func() error) func() error {
	return func() error {
		if p.openOf(batch.Header(b).ProducerID()) != nil {
			return nil
		}
		return admit()
	}
}

// TransactionMarker ends a producer's transaction in one partition.
type TransactionMarker struct {
	ProducerID  int64
	Epoch       int16 // the producer's; a larger one than before fences it
	Coordinator int32 // the coordinator's epoch
	Commit      bool
	// OnlyOpen writes nothing where the producer has no transaction open: it has its marker already, or no records.
	OnlyOpen bool
}

// errNothingOpen is how a marker that is not needed leaves enqueue.
var errNothingOpen = errors.New("nothing is open")

// AppendMarker writes a marker; done is called once, when it is durable, or at once with offset -1 and no error when
// OnlyOpen found nothing to end. Markers are never refused because the local log is full.
func (p *Partition) AppendMarker(m TransactionMarker, done func(Appended)) {
	b := batch.AppendMarker(nil, batch.Producer{ID: m.ProducerID, Epoch: m.Epoch}, batch.Marker{Commit: m.Commit, Coordinator: m.Coordinator}, p.e.now())
	p.append(b, appending{acks: -1, internal: true, admit: func() error { return p.admitMarker(m) }}, func(a Appended) {
		switch {
		case errors.Is(a.Err, errNothingOpen):
			a.Err = nil
		case a.Err == nil && p.topic.name == OffsetsTopic:
			p.e.groups.decide(p.index, m.ProducerID, a.BaseOffset, m.Commit)
		}
		done(a)
	})
}

// admitMarker applies Kafka's rules to a marker. p.mu is held.
func (p *Partition) admitMarker(m TransactionMarker) error {
	more, err := p.loadProducers()
	if err != nil {
		return err
	}
	if m.OnlyOpen && p.openOf(m.ProducerID) == nil {
		return errNothingOpen
	}
	pr := more.producers[m.ProducerID]
	switch seen := epochOf(pr); {
	case m.Epoch < seen:
		return fmt.Errorf("marker of producer %d has epoch %d, epoch %d was seen on %s: %w", m.ProducerID, m.Epoch, seen, p.name(), ErrInvalidProducerEpoch)
	case pr != nil && m.Coordinator < pr.Coordinator:
		return fmt.Errorf("marker of producer %d has coordinator epoch %d, %d was seen on %s: %w", m.ProducerID, m.Coordinator, pr.Coordinator, p.name(), ErrCoordinatorFenced)
	}
	return nil
}

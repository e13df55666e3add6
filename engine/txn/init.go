package txn

import "time"

// Init gives the transactional id to a client, and fences who had it before. expected is NoProducer for a client that
// starts, or who the client is that goes on after an error (KIP-360). A transaction that is open is aborted first. fresh
// is an unused producer id, needed when Exhausted says so.
func (t *Transaction) Init(now time.Time, timeout time.Duration, expected Producer, fresh int64) ([]Step, Producer, Code) {
	if t.Prepared() {
		return nil, NoProducer, ConcurrentTransactions
	}
	if expected != NoProducer && !t.mayGoOn(expected) {
		return nil, NoProducer, ProducerFenced
	}
	var steps []Step
	retry := expected != NoProducer && t.s.Producer.Epoch >= 0 && expected.Epoch != t.s.Producer.Epoch
	if t.s.State == Ongoing {
		if retry { // it never got the answer with which the transaction that is open began: it is not its own
			return nil, NoProducer, ProducerFenced
		}
		steps = t.Fence(now)
	}
	switch {
	case retry:
	case exhausted(t.s.Producer.Epoch):
		t.rotate(fresh, expected != NoProducer)
	default:
		t.s.LastEpoch = -1
		if expected != NoProducer {
			t.s.LastEpoch = expected.Epoch
		}
		t.s.Producer.Epoch++
	}
	t.s.State, t.s.Timeout, t.s.Started, t.s.Updated, t.s.Bumps = Empty, timeout, time.Time{}, now, false
	clear(t.parts)
	return append(steps, t.save()), t.s.Producer, None
}

// mayGoOn reports whether a client with this identity is the latest one, or one that did not hear the answer to its last
// Init or End.
func (t *Transaction) mayGoOn(who Producer) bool {
	switch {
	case t.s.Producer.Epoch < 0: // the id was forgotten meanwhile
		return true
	case who.ID == t.s.Producer.ID:
		return who.Epoch == t.s.Producer.Epoch || who.Epoch == t.s.LastEpoch && t.s.LastEpoch >= 0
	}
	return who.ID == t.s.PreviousID && exhausted(who.Epoch) && who.Epoch == t.s.LastEpoch
}

// rotate goes on with another producer id, whose epochs begin anew.
func (t *Transaction) rotate(fresh int64, known bool) {
	last := t.s.Producer
	t.s.PreviousID, t.s.Producer, t.s.LastEpoch = last.ID, Producer{fresh, 0}, -1
	if known {
		t.s.LastEpoch = last.Epoch
	}
}

package txn

import "time"

// End decides the producer's transaction. bump is what clients of transaction.version 2 ask for (KIP-890): the epoch is
// raised with every transaction, so that a late record of the last one cannot be taken for one of the next. fresh is an
// unused producer id, needed when Exhausted says so. The producer to go on with is in the answer.
func (t *Transaction) End(now time.Time, who Producer, commit, bump bool, fresh int64) ([]Step, Producer, Code) {
	if done, code := t.ended(who, commit, bump); done {
		return nil, t.s.Producer, code
	}
	marker := who
	t.s.NextID = -1
	t.s.Bumps = bump
	if bump {
		marker.Epoch++
		if exhausted(who.Epoch) {
			t.s.NextID = fresh
		}
	}
	t.s.LastEpoch = -1
	if bump {
		t.s.LastEpoch = who.Epoch
	}
	steps := t.finish(now, marker, commit)
	return steps, t.s.Producer, None
}

// ended answers an End that decides nothing: it is refused, or repeats one that was decided.
func (t *Transaction) ended(who Producer, commit, bump bool) (bool, Code) {
	current := who == t.s.Producer
	repeated := bump && t.repeats(who)
	switch {
	case t.s.Producer.Epoch < 0 || who.ID != t.s.Producer.ID && !repeated:
		return true, InvalidProducerIDMapping
	case !current && !repeated:
		return true, ProducerFenced
	case t.Prepared():
		if commit != (t.s.State == PrepareCommit) {
			return true, InvalidTxnState
		}
		return true, ConcurrentTransactions
	case t.s.State == Ongoing:
		return false, None
	case repeated, !bump && t.s.State != Empty:
		if commit != (t.s.State == CompleteCommit) {
			return true, InvalidTxnState
		}
		return true, None
	case bump && !commit:
		return false, None // it may abort what never reached us, and gets a new epoch
	}
	return true, InvalidTxnState
}

// repeats reports whether who had the epoch before the one that its last End gave it: it did not hear the answer.
func (t *Transaction) repeats(who Producer) bool {
	if !t.s.Bumps || t.s.State == Ongoing {
		return false
	}
	return who.ID == t.s.Producer.ID && who.Epoch == t.s.Producer.Epoch-1 ||
		who.ID == t.s.PreviousID && exhausted(who.Epoch) && t.s.Producer.Epoch == 0
}

// Fence aborts the open transaction with an epoch that no client has, so that its producer can write no more.
func (t *Transaction) Fence(now time.Time) []Step {
	t.s.NextID, t.s.LastEpoch, t.s.Bumps = -1, -1, false
	return t.finish(now, Producer{t.s.Producer.ID, t.s.Producer.Epoch + 1}, false)
}

// finish decides: it saves the decision, has the markers written and saves that they are.
func (t *Transaction) finish(now time.Time, marker Producer, commit bool) []Step {
	t.s.State = PrepareAbort
	if commit {
		t.s.State = PrepareCommit
	}
	t.s.Producer, t.s.Updated = marker, now
	if len(t.parts) == 0 {
		return t.complete(now)
	}
	return append([]Step{t.save()}, t.Finish(now)...)
}

// Finish writes the markers of a decided transaction (again, after a restart: who has one already gets no second) and
// completes it.
func (t *Transaction) Finish(now time.Time) []Step {
	m := &Markers{Producer: t.s.Producer, Commit: t.s.State == PrepareCommit, Partitions: t.Snapshot().Partitions}
	return append([]Step{{Markers: m}}, t.complete(now)...)
}

func (t *Transaction) complete(now time.Time) []Step {
	if t.s.State == PrepareCommit {
		t.s.State = CompleteCommit
	} else {
		t.s.State = CompleteAbort
	}
	if t.s.NextID >= 0 {
		t.s.PreviousID, t.s.Producer, t.s.NextID = t.s.Producer.ID, Producer{t.s.NextID, 0}, -1
	}
	t.s.Updated = now
	clear(t.parts)
	return []Step{t.save()}
}

package txn

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// State is where a transactional id stands; the numbers are those of Kafka's log.
type State uint8

// The states. A transaction is open in Ongoing and decided from PrepareCommit or PrepareAbort on.
const (
	Empty          State = 0
	Ongoing        State = 1
	PrepareCommit  State = 2
	PrepareAbort   State = 3
	CompleteCommit State = 4
	CompleteAbort  State = 5
)

var stateNames = [...]string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort"}

// String is the state's name in Kafka's tools.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "Unknown"
}

// ParseState finds a state by its name.
func ParseState(name string) (State, bool) {
	i := slices.Index(stateNames[:], name)
	return State(max(i, 0)), i >= 0
}

// Producer is a producer id and its epoch.
type Producer struct {
	ID    int64
	Epoch int16
}

// NoProducer is what a client sends that has none yet.
var NoProducer = Producer{ID: -1, Epoch: -1}

// Partition is a partition that a transaction writes to.
type Partition struct {
	Topic string
	Index int32
}

// Snapshot is everything the log keeps of a transactional id.
type Snapshot struct {
	ID         string
	Producer   Producer
	LastEpoch  int16 // that the client may still send again; -1 = none. Not kept over a restart, as in Kafka
	PreviousID int64 // producer id before the current one, -1 = none
	NextID     int64 // producer id after the transaction that is being ended, -1 = the same
	Timeout    time.Duration
	State      State
	Partitions []Partition // sorted
	Started    time.Time   // of the transaction; zero when there is none
	Updated    time.Time
	Bumps      bool // the client raises its epoch with every transaction (KIP-890)
}

// Markers are what ends a transaction in its partitions.
type Markers struct {
	Producer   Producer
	Commit     bool
	Partitions []Partition
}

// Step is one thing to write: either Save or Markers is set.
type Step struct {
	Save    *Snapshot
	Markers *Markers
}

// Transaction is the machine of one transactional id.
type Transaction struct {
	s     Snapshot // without Partitions
	parts map[Partition]struct{}
}

// New is a transactional id nobody used before, with the producer id it will get.
func New(id string, producerID int64, now time.Time) *Transaction {
	return &Transaction{
		s:     Snapshot{ID: id, Producer: Producer{producerID, -1}, LastEpoch: -1, PreviousID: -1, NextID: -1, Updated: now},
		parts: map[Partition]struct{}{},
	}
}

// Restore makes the machine that gave the snapshot.
func Restore(s Snapshot) *Transaction {
	t := &Transaction{s: s, parts: make(map[Partition]struct{}, len(s.Partitions))}
	for _, p := range s.Partitions {
		t.parts[p] = struct{}{}
	}
	t.s.Partitions = nil
	return t
}

// Snapshot is a copy of the whole state.
func (t *Transaction) Snapshot() Snapshot {
	s := t.s
	s.Partitions = make([]Partition, 0, len(t.parts))
	for p := range t.parts {
		s.Partitions = append(s.Partitions, p)
	}
	slices.SortFunc(s.Partitions, func(a, b Partition) int { return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Index, b.Index)) })
	return s
}

func (t *Transaction) save() Step {
	s := t.Snapshot()
	return Step{Save: &s}
}

// exhausted means that no epoch is left to give to a client: the last one is kept for fencing.
func exhausted(epoch int16) bool { return epoch >= math.MaxInt16-1 }

// Exhausted reports whether Init or End may need a fresh producer id.
func (t *Transaction) Exhausted() bool {
	return exhausted(t.s.Producer.Epoch) || t.s.State == Ongoing && t.s.Producer.Epoch >= math.MaxInt16-2
}

// Add registers partitions with the producer's transaction and begins one when none is open. Without a step there was
// nothing new.
func (t *Transaction) Add(now time.Time, who Producer, parts []Partition) ([]Step, Code) {
	if code := t.check(who); code != None {
		return nil, code
	}
	fresh := t.s.State != Ongoing
	for _, p := range parts {
		if _, ok := t.parts[p]; !ok {
			t.parts[p] = struct{}{}
			fresh = true
		}
	}
	if !fresh {
		return nil, None
	}
	if t.s.State != Ongoing {
		t.s.State, t.s.Started = Ongoing, now
	}
	t.s.Updated = now
	return []Step{t.save()}, None
}

// check is what Add and Verify ask first.
func (t *Transaction) check(who Producer) Code {
	switch {
	case who.ID != t.s.Producer.ID || t.s.Producer.Epoch < 0:
		return InvalidProducerIDMapping
	case who.Epoch != t.s.Producer.Epoch:
		return ProducerFenced
	case t.s.State == PrepareCommit, t.s.State == PrepareAbort:
		return ConcurrentTransactions
	}
	return None
}

// Verify reports whether the producer may write to a partition now: it registered the partition with its transaction.
func (t *Transaction) Verify(who Producer, p Partition) Code {
	if code := t.check(who); code != None {
		return code
	}
	if _, ok := t.parts[p]; !ok || t.s.State != Ongoing {
		return InvalidTxnState
	}
	return None
}

// Expired reports whether the transaction has been open for longer than its client asked for.
func (t *Transaction) Expired(now time.Time) bool {
	return t.s.State == Ongoing && now.Sub(t.s.Started) > t.s.Timeout
}

// Idle reports whether nothing is open and nobody used the id for so long.
func (t *Transaction) Idle(now time.Time, since time.Duration) bool {
	switch t.s.State {
	case Empty, CompleteCommit, CompleteAbort:
		return now.Sub(t.s.Updated) > since
	}
	return false
}

// Prepared reports whether the transaction is decided and its markers may be missing.
func (t *Transaction) Prepared() bool { return t.s.State == PrepareCommit || t.s.State == PrepareAbort }

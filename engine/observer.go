package engine

import "time"

// Observer is told what happens inside. It is called on engine goroutines: it must be fast, must never block and must
// never call the engine back.
type Observer interface {
	Flushed(Flush)
	StoreCall(StoreCall)
	Event(Event)
}

// Flush is one group commit.
type Flush struct {
	Bytes   int           // written, headers included
	Batches int           // frames in the group
	Wait    time.Duration // from the first append of the group to its write
	Sync    time.Duration // the fdatasync alone; 0 when the mode does not sync
	Err     error
}

// StoreCall is one call of the object store.
type StoreCall struct {
	Op       string // put|get|head|delete|list|probe
	Class    string // ok|throttled|denied|down|not_found|other
	Answered bool   // the server answered, whatever it said
	Bytes    int64
	Duration time.Duration
	Err      error
	Object   string
}

// Event is a dated fact about the engine.
type Event struct {
	At    time.Time
	Kind  string // one of the Event… constants
	Text  string
	Attrs map[string]any
}

// The kinds of events.
const (
	EventStoreFailing      = "store_failing"
	EventStoreRecovered    = "store_recovered"
	EventLogFailed         = "log_failed"
	EventBudgetNormal      = "budget_normal"
	EventBudgetStretched   = "budget_stretched"
	EventBudgetThrottling  = "budget_throttling"
	EventBudgetRefusing    = "budget_refusing"
	EventRecovering        = "recovering" // a start that takes long, every few seconds
	EventRecovered         = "recovered"
	EventTopicCreated      = "topic_created"
	EventTopicDeleted      = "topic_deleted"
	EventPartitionsAdded   = "partitions_added"
	EventConfigChanged     = "config_changed"
	EventSegmentOffloaded  = "segment_offloaded"
	EventOffloadFailed     = "offload_failed"
	EventMaintenanceFailed = "maintenance_failed"
	// A transaction was aborted because it was open for too long, or because another client took its id over.
	EventTransactionTimedOut = "transaction_timed_out"
	EventTransactionFenced   = "transaction_fenced"
)

type nopObserver struct{}

func (nopObserver) Flushed(Flush)       {}
func (nopObserver) StoreCall(StoreCall) {}
func (nopObserver) Event(Event)         {}

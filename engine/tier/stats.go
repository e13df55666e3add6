package tier

import "time"

// Stats are the tier's gauges. Durations are zero when nothing is pending.
type Stats struct {
	PendingBytes    int64         // sealed, not yet committed
	PendingSegments int           //
	OldestPending   time.Duration // age of the oldest of them since it was sealed
	Frozen          time.Duration // how long no COMMIT came although uploads were due

	UploadsInFlight int
	UploadsAllowed  int
	OldestUpload    time.Duration // age of the oldest upload in flight, retries included
	Uploaded        int64         // segments committed since start
	UploadedBytes   int64
	UploadFailures  int64 // failed attempts

	Objects      int   // committed
	ObjectBytes  int64 // size of committed objects
	LiveBytes    int64 // of that, runs somebody may still read
	Rewrites     int64 // objects that rewriting made
	RewriteBytes int64
	Untold       int // facts that no manifest in the store tells yet
	Orphans      int // prepared or destroyed, not yet deleted
	Fenced       bool
	FenceErr     error // why uploads do not run; nil when they do
	Health       []Health
	Pool         PoolStats
	JournalError error // the journal failed: the tier stopped
}

// Health is the state of one family of store calls.
type Health struct {
	Calls    string // read (with probes), write, delete
	Failing  bool
	Class    Class // of the last failure
	Failures int   // consecutive
	Since    time.Time
	LastOK   time.Time // zero if never
	LastErr  error
}

// PoolStats are the cold slice pool's gauges and counters.
type PoolStats struct {
	UsedBytes, LimitBytes          int64
	Hits, Misses, Evictions, Waits int64
	Reads                          int64 // cold reads answered with bytes
	ReadBytes                      int64
	Waiting                        int // reads waiting for memory or the store
	Loading                        int // GETs queued or in flight
	Failures                       int64
}

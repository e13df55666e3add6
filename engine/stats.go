package engine

import (
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier"
)

// Pressure is a rung of the backpressure ladder.
type Pressure string

// The rungs, from calm to refusing appends.
const (
	PressureNormal     Pressure = "normal"
	PressureStretched  Pressure = "stretched"  // above the soft budget, still accepting
	PressureThrottling Pressure = "throttling" // ask clients to slow down: ThrottleMillis
	PressureRefusing   Pressure = "refusing"   // appends of users fail with ErrThrottled
)

// Stats are the engine's gauges. Fields ending in Seconds or Age are negative when there is nothing to measure.
type Stats struct {
	LocalBytes      int64 // log segments that hold the only local copy or a warm one
	LocalSoftBytes  int64
	LocalHardBytes  int64
	Pressure        Pressure
	ThrottleMillis  int32 // suggested throttle_time_ms, 0 unless throttling
	ClosedBytes     int64 // sealed and not offloaded yet
	ClosedSegments  int
	OldestClosedAge float64 // seconds since the oldest of them was sealed
	FrozenSeconds   float64 // seconds since the tiered end last moved while there was something to offload

	UploadsInFlight int
	UploadsAllowed  int
	OldestUploadAge float64 // seconds

	IndexLagBytes int64 // log bytes a restart would replay
	QueueBytes    int64 // appended, not durable yet
	QueueBatches  int

	// The pool of cold slices.
	PoolUsed, PoolLimit                            int64
	PoolHits, PoolMisses, PoolEvictions, PoolWaits int64
	ColdReads                                      int64

	// Store calls of the read family, which the idle probe belongs to.
	ProbeFailures int       // consecutive
	LastProbeOK   time.Time // zero when none succeeded
	StoreFailing  bool      // any family of calls

	Topics, Partitions, Objects int
	ObjectBytes                 int64
	LiveObjectBytes             int64 // of that, what somebody may still read
	Untold                      int   // facts that the store's manifest does not tell yet
	Orphans                     int   // objects prepared or destroyed and not deleted yet
	Rewrites, RewriteBytes      int64 // objects made from others since start, and their bytes
	Compactions                 int64 // passes over a partition of a compacted topic since start
	UncompactedBytes            int64 // bytes in the store of compacted topics that no pass has seen; -1 while not known
	LogFailed                   bool

	// Transactions ended since the start: by their clients, by their timeout, by another client with their id.
	TxnCommitted, TxnAborted, TxnTimedOut, TxnFenced int64

	CacheBytes             int64 // tail cache in use
	CacheHits, CacheMisses int64

	AppendedBytes, AppendedBatches, ReadBytes, DiskReads int64 // since start
}

// Stats returns the gauges; cheap enough for every second.
func (e *Engine) Stats() Stats {
	log, now := e.log.Gauges(), e.o.Clock.Now()
	closed, n, oldest, warm, _ := e.ring.gauges()
	used := e.log.UsedBytes()
	rung, throttle := e.rung(used - warm)
	if p := e.pressure.Load(); p > rung {
		rung = p // the hot path still acts on it
	}
	s := Stats{
		LocalBytes: used, LocalSoftBytes: e.o.Tier.LocalBytes, LocalHardBytes: e.o.Tier.HardLocalBytes,
		Pressure: rungs[rung].pressure, ThrottleMillis: throttle,
		ClosedBytes: closed, ClosedSegments: n, OldestClosedAge: -1, FrozenSeconds: -1, OldestUploadAge: -1,
		IndexLagBytes: int64(log.Next - e.index.Durable()), QueueBytes: log.QueuedBytes, QueueBatches: log.QueuedFrames,
		LogFailed: log.Failed || e.failed.Load(), CacheBytes: log.CacheBytes, CacheHits: log.Hits, CacheMisses: log.Misses, DiskReads: log.Reads,
		AppendedBytes: e.counts.appendedBytes.Load(), AppendedBatches: e.counts.appendedBatches.Load(), ReadBytes: e.counts.readBytes.Load(),
		TxnCommitted: e.counts.txnCommitted.Load(), TxnAborted: e.counts.txnAborted.Load(),
		Compactions: e.counts.compactions.Load(), UncompactedBytes: e.counts.uncompacted.Load() - 1,
		TxnTimedOut: e.counts.txnTimedOut.Load(), TxnFenced: e.counts.txnFenced.Load(),
	}
	if n > 0 {
		s.OldestClosedAge = now.Sub(oldest).Seconds()
	}
	snap := e.meta.Snapshot()
	s.Topics = len(snap.Topics)
	for _, t := range snap.Topics {
		s.Partitions += int(t.Partitions)
	}
	s.fromTier(e.tier.Stats())
	return s
}

func (s *Stats) fromTier(t tier.Stats) {
	if t.Frozen > 0 {
		s.FrozenSeconds = t.Frozen.Seconds()
	}
	s.UploadsInFlight, s.UploadsAllowed = t.UploadsInFlight, t.UploadsAllowed
	if t.UploadsInFlight > 0 {
		s.OldestUploadAge = t.OldestUpload.Seconds()
	}
	s.Objects, s.ObjectBytes, s.LiveObjectBytes = t.Objects, t.ObjectBytes, t.LiveBytes
	s.Untold, s.Orphans = t.Untold, t.Orphans
	s.Rewrites, s.RewriteBytes = t.Rewrites, t.RewriteBytes
	s.PoolUsed, s.PoolLimit = t.Pool.UsedBytes, t.Pool.LimitBytes
	s.PoolHits, s.PoolMisses, s.PoolEvictions, s.PoolWaits = t.Pool.Hits, t.Pool.Misses, t.Pool.Evictions, t.Pool.Waits
	s.ColdReads = t.Pool.Reads
	for _, h := range t.Health {
		s.StoreFailing = s.StoreFailing || h.Failing
		if h.Calls == "read" {
			s.ProbeFailures, s.LastProbeOK = h.Failures, h.LastOK
		}
	}
}

package engine

import "time"

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

	PoolUsed, PoolLimit                                  int64
	PoolHits, PoolMisses, PoolEvictions, PoolWaits       int64
	ColdReads                                            int64
	ProbeFailures                                        int // consecutive
	LastProbeOK                                          time.Time
	Topics, Partitions, Objects                          int
	ObjectBytes                                          int64
	LogFailed                                            bool
	CacheBytes                                           int64 // tail cache in use
	CacheHits, CacheMisses                               int64
	AppendedBytes, AppendedBatches, ReadBytes, DiskReads int64 // since start
}

package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options is the one injection seam: disk, object store and time come from outside.
type Options struct {
	Dir      string   // data directory: log ring, index, metadata
	FS       vfs.FS   // vfs.Default when nil
	Store    Objects  // the object store; required
	Clock    Clock    // the machine's clock when nil
	Observer Observer // may be nil
	Log      LogOptions
	Tier     TierOptions
	NodeID   int32
	// CacheBytes bounds the tail cache: the newest log bytes kept in memory. 0 = 32 MiB: more is colder memory for no gain, as what was let go is in the page cache.
	CacheBytes int64
}

// LogOptions configure the commit log.
type LogOptions struct {
	SegmentBytes  int64         // size of a log segment; 0 = 64 MiB
	Flush         Flushing      // when appends become durable; "" = fsync
	FlushInterval time.Duration // for Flush = interval; 0 = 1 s
	// CheckpointBytes of sealed log is what a restart replays at most, beside what is not sealed yet; 0 = 256 MiB.
	CheckpointBytes int64
}

// Flushing says when the log calls fsync.
type Flushing string

// The flush modes. Only FlushFsync keeps acknowledged records through a power loss.
const (
	FlushFsync    Flushing = "fsync"    // before acks=all is answered
	FlushInterval Flushing = "interval" // every FlushInterval
	FlushOS       Flushing = "os"       // when the kernel likes
)

// TierOptions configure offload and cold reads.
type TierOptions struct {
	OffloadAfter   time.Duration // age at which a segment is sealed and offloaded; 0 = 1 min
	LocalBytes     int64         // soft budget of the local log; 0 = 1 GiB
	HardLocalBytes int64         // appends are refused at this size; 0 = 2 × LocalBytes
	SliceBytes     int64         // size of a cold-read slice; 0 = the tier's default
	PoolBytes      int64         // memory for cold-read slices; 0 = the tier's default
	ReadAhead      int64         // most bytes read ahead of a cold reader in a partition; 0 = the tier's default, negative = none
	CompactEvery   time.Duration // how often compacted topics are looked at; 0 = 30 s
	ManifestEvery  time.Duration // how often the store is told what it holds; 0 = the tier's default
	RewriteEvery   time.Duration // how often the store is tidied up; 0 = the tier's default
	RewriteFan     int           // how many objects with runs of one length are merged; 0 = the tier's default
	PrepareTTL     time.Duration // after which an uncommitted object is collected; 0 = the tier's default
	SpaceOnly      bool          // offload by space, never by age: for a file store on the log's own device
}

// Clock is injected so that tests own time.
type Clock interface {
	Now() time.Time
	// NewTimer fires once after d on the returned channel; stop releases it.
	NewTimer(d time.Duration) (fired <-chan time.Time, stop func())
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) NewTimer(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

// withDefaults fills what the caller left out and refuses what cannot work.
func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" {
		return o, errors.New("options: set Dir to the data directory")
	}
	if o.Store == nil {
		return o, errors.New("options: set Store; use a file store when there is no S3")
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	if o.Observer == nil {
		o.Observer = nopObserver{}
	}
	setDefault(&o.CacheBytes, 32<<20)
	setDefault(&o.Log.SegmentBytes, 64<<20)
	setDefault(&o.Log.Flush, FlushFsync)
	setDefault(&o.Log.FlushInterval, time.Second)
	setDefault(&o.Log.CheckpointBytes, 256<<20)
	setDefault(&o.Tier.OffloadAfter, time.Minute)
	setDefault(&o.Tier.CompactEvery, 30*time.Second)
	setDefault(&o.Tier.LocalBytes, 1<<30)
	setDefault(&o.Tier.HardLocalBytes, 2*o.Tier.LocalBytes)
	switch o.Log.Flush {
	case FlushFsync, FlushInterval, FlushOS:
	default:
		return o, fmt.Errorf("options: flush %q is not one of fsync, interval, os", o.Log.Flush)
	}
	if o.Log.SegmentBytes < 16<<10 || o.Log.SegmentBytes > 1<<30 {
		return o, fmt.Errorf("options: segment of %d bytes; use 16 KiB to 1 GiB", o.Log.SegmentBytes)
	}
	if o.Tier.HardLocalBytes < o.Tier.LocalBytes {
		return o, fmt.Errorf("options: hard local bytes %d are below local bytes %d", o.Tier.HardLocalBytes, o.Tier.LocalBytes)
	}
	return o, nil
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

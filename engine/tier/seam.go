package tier

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/objectstore"
)

// The store's types, under the names the engine re-exports.
type (
	Objects    = objectstore.Objects
	Lister     = objectstore.Lister
	PutOptions = objectstore.PutOptions
	Class      = objectstore.Class
	Run        = object.Run
	ObjectID   = object.ID
)

// OpenStore opens file:///dir or s3://bucket/prefix?… (see objectstore.Open);
// getenv supplies AWS_ACCESS_KEY_ID and friends.
func OpenStore(url string, getenv func(string) string) (Objects, error) {
	return objectstore.Open(url, getenv)
}

// Journal is the durable, ordered record of the tier's decisions, implemented by
// the engine's core over its commit log and metadata.
type Journal interface {
	// AppendTierRecord is durable on return. Records come back through
	// Options.Replay at the next start. The journal may forget every record but
	// the last one of each RecordKey, and that one too once RecordKey says dead:
	// replay does not depend on the order of different keys.
	AppendTierRecord(ctx context.Context, rec []byte) error
}

// Source is the local log as the tier sees it, implemented by the engine's core.
type Source interface {
	// SealedSegments returns the segments that are closed and not yet
	// offloaded, oldest first. It must be cheap; the tier calls it about once a
	// second and after each Wake.
	SealedSegments() []Segment
	// Offloaded is called once per segment after its COMMIT record is durable
	// and its runs are in the Index, or at start-up for a segment whose COMMIT
	// was replayed. The segment may be recycled from then on. It may be called
	// again for the same id if it failed.
	Offloaded(segmentID uint64) error
	// LocalBytes returns how much of the log ring cannot be recycled yet: the
	// open segment and the sealed ones not offloaded. Offload by space counts it.
	LocalBytes() int64
	// Commits returns how many group commits the log has made durable and how long
	// they took together, from the first append of each to its sync: while uploads
	// make them slow, fewer run at once.
	Commits() (n int64, took time.Duration)
}

// Segment is one sealed segment of the local log. It stays readable until
// Source.Offloaded was called for it.
type Segment interface {
	// ID is unique for ever, also across recycling of the file.
	ID() uint64
	// SealedAt is when the segment was closed; the offload age counts from it.
	SealedAt() time.Time
	// Runs are the live runs sorted by (Stream, Base), one per partition and
	// leader epoch; none of a stream whose topic was deleted (see Trim) before
	// SealedSegments returned the segment. MaxBatch need not be filled. The slice is not modified.
	Runs() []Run
	// ReadRun returns the raw batches of Runs()[i], exactly Run.Bytes of them,
	// offsets and epochs already assigned. Read sequentially, closed by the tier.
	ReadRun(i int) (io.ReadCloser, error)
}

// Row is a committed run and its place in an object.
type Row struct {
	Run
	Object   ObjectID
	Position int64 // from the start of the object's data region
}

// Object is what is known about a committed object apart from its runs.
type Object struct {
	ID        ObjectID
	Size      int64 // of the whole object in the store
	Data      int64 // of the data region
	Block     int32 // bytes per block
	Blocks    []object.Block
	NotBefore time.Time // no DELETE before then: a late PUT could resurrect the object
}

// Index keeps the rows of committed runs. The core backs it with Pebble;
// NewMemIndex keeps it in memory, rebuilt from Options.Replay. Methods are safe
// for concurrent use. Add and Remove are idempotent and need to be durable only
// when the journal forgets what they came from.
type Index interface {
	// Add stores an object and its rows (sorted by stream, base) in one step.
	Add(o Object, rows []Row) error
	// Replace is Add and, in the same step, forgets the rows gone, so that no
	// reader misses an offset or meets it twice.
	Replace(o Object, rows, gone []Row) error
	// Scan calls fn for each row of streams from from on, by stream and base,
	// until fn returns false. fn must not call the index.
	Scan(from uint32, fn func(Row) bool) error
	// Remove forgets rows; the object itself too when last is true.
	Remove(id ObjectID, rows []Row, last bool) error
	// Find returns the row with offset < Next and the smallest Base: the row
	// that holds offset, or the first one after it.
	Find(stream uint32, offset int64) (Row, bool, error)
	// Object returns a committed object.
	Object(id ObjectID) (Object, bool, error)
	// Extent returns the first and next offset and the bytes of a stream's rows.
	Extent(stream uint32) (Extent, bool, error)
}

// Extent is what the cold tier holds of one stream.
type Extent struct {
	Start, End int64 // first offset, one past the last
	Bytes      int64
	Rows       int
}

// Clock is the time source for ages, deadlines and time stamps.
type Clock interface{ Now() time.Time }

// Observer hears of every store call and of the tier's events. It is called on
// the tier's goroutines and must neither block nor call back.
type Observer interface {
	StoreCall(StoreCall)
	Event(Event)
}

// StoreCall is one attempt of one call that left for the store.
type StoreCall struct {
	Op       string // put, get, head, delete, list, probe
	Class    Class
	Answered bool // the store answered: an HTTP status came back (file://: the call returned)
	Status   int  // the HTTP status, 0 if none
	Bytes    int64
	At       time.Time // when it ended
	Duration time.Duration
	Object   string
	Err      error
}

// Event is a dated fact about the tier.
type Event struct {
	At    time.Time
	Kind  string
	Text  string
	Attrs map[string]any
}

// The kinds of Event.
const (
	EventStoreFailing     = "store_failing"     // attrs: class, calls (read|write|delete), failures
	EventStoreRecovered   = "store_recovered"   // attrs: calls, seconds
	EventSegmentOffloaded = "segment_offloaded" // attrs: segment, object, bytes, runs, seconds
	EventStoreFenced      = "store_fenced"      // another node or cluster owns the prefix; attrs: owner
	EventStoreUnfenced    = "store_unfenced"    // the store does not honour put-if-absent
	EventManifestFailed   = "manifest_failed"   // what the bucket says of itself gets old
	EventObjectCorrupt    = "object_corrupt"    // attrs: object, block
	EventObjectsRewritten = "objects_rewritten" // attrs: object, sources, bytes, runs, rows (runs before), seconds
	EventSegmentUnread    = "segment_unread"    // the local log could not be read; tried again; attrs: segment
	EventSegmentCorrupt   = "segment_corrupt"   // a local segment that must not be offloaded; attrs: segment
)

// ReadRequest asks for cold batches.
type ReadRequest struct {
	Reader   uint64 // who reads, for fair shares; 0 = the stream stands for the reader
	Stream   uint32
	Offset   int64
	End      int64 // batches from here on are left out; 0 = none. A batch must not lie on both sides
	MaxBytes int   // at most so many, except that the first batch is always whole
}

// Cold is the answer of Read. Its bytes live in the slice pool until Release.
// Neither bytes nor Pending means a gap up to NextOffset, as compaction leaves.
type Cold struct {
	Bytes      [][]byte // consecutive pieces of whole batches; not to be modified
	NextOffset int64    // where to read on; the request's offset when Pending
	Records    int64
	Pending    bool // nothing yet: ready will be called once
	release    func()
}

// Release gives the bytes back to the pool. It may be called more than once.
func (c *Cold) Release() {
	if c.release != nil {
		c.release()
		c.release, c.Bytes = nil, nil
	}
}

// Options configure a Tier. Zero values mean the defaults named below.
type Options struct {
	Objects  Objects
	Journal  Journal
	Source   Source
	Index    Index                    // nil = NewMemIndex()
	Replay   iter.Seq2[[]byte, error] // the journal's records; nil = none
	Clock    Clock                    // nil = the system's
	Random   func() uint64            // nil = math/rand/v2; must be safe for concurrent use
	Observer Observer                 // may be nil

	Meta      Meta   // goes to the store with the manifest; may be nil
	ClusterID string // the fence object carries it; another cluster's prefix is refused
	NodeID    int32

	OffloadAfter time.Duration // age at which a sealed segment is uploaded; default 30 s
	LocalBytes   int64         // ring size above which the oldest segments go at once; 0 = no bound
	UrgentBytes  int64         // ring size from which uploads no longer yield to the log's commits; 0 = none
	SpaceOnly    bool          // ignore age: for file:// on the log's own device

	SliceBytes   int           // block size of new objects; default 1 MiB
	PoolBytes    int64         // cold slice pool; default 64 MiB
	ReadWorkers  int           // concurrent GETs; default 8
	ReadAhead    int64         // most bytes that are read ahead of a reader in a stream; default 16 MiB, negative = none
	MaxUploads   int           // upper bound of the adaptive concurrency; default 4 × cores
	UploadMemory int64         // bytes all uploads together may buffer; default 32 MiB
	PrepareTTL   time.Duration // after which an uncommitted object is collected; default 15 min

	ManifestEvery time.Duration // how often the store is told what it holds; default 5 s

	RunBytes     int64         // shorter runs are merged; default 8 MiB
	RewriteBytes int64         // size of a rewritten object, about; default 256 MiB
	RewriteRate  int64         // bytes per second read for rewriting; default 64 MiB/s
	RewriteFan   int           // how many objects with runs of one length are merged; default 8
	RewriteEvery time.Duration // how often it looks for something to rewrite; default 5 s

	CallBase      time.Duration // fixed part of a call's deadline; default 10 s
	MinRate       int64         // bytes per second added to it; default 1 MiB/s
	StallAfter    time.Duration // no byte for so long ends a call; default 5 s
	ProbeEvery    time.Duration // idle HEAD; default 5 s
	ProbeDeadline time.Duration // default 3 s
	// RequireFence refuses to upload to a store that ignores put-if-absent; else
	// the tier only warns (EventStoreUnfenced), since two instances sharing a
	// prefix could then not notice each other.
	RequireFence bool
}

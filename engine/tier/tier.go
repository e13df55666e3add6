// Package tier moves sealed log segments into an object store and reads them
// back through a bounded pool of memory.
//
// It promises that a segment is given up for recycling only after its object is
// stored whole and a COMMIT naming all its runs is durable, that an object no
// COMMIT names is deleted, and that bytes whose CRC does not match are never
// served. It refuses to keep cold data on the local disk, to block a reader on
// the store, and to list the bucket in normal operation.
//
// Start reading at seam.go for the contract with the engine's core and at
// README.md for the object format and the argument for the commit protocol.
package tier

import (
	"context"
	"errors"
	"time"
)

// Errors of the tier, for errors.Is.
var (
	// ErrNotTiered means that no committed run holds the offset.
	ErrNotTiered = errors.New("offset is not in the cold tier")
	// ErrCorrupt means that stored bytes failed their CRC; they were not served.
	ErrCorrupt = errors.New("cold data is corrupt")
	// ErrStorage means that the store could not be read; retriable.
	ErrStorage = errors.New("object store cannot be read")
	// ErrForeign means that the prefix belongs to another cluster.
	ErrForeign = errors.New("object store prefix belongs to another cluster")
	// ErrFenced means that a newer instance took the prefix over.
	ErrFenced = errors.New("object store prefix was taken over by a newer instance")
	// ErrUnfenced means that the store ignores put-if-absent.
	ErrUnfenced = errors.New("object store does not honour put-if-absent (If-None-Match: *)")
)

// Tier is the cold tier of one node. All methods are safe for concurrent use.
type Tier struct {
	o Options
}

// Open replays the journal and returns a Tier that serves lookups. It does not
// call the store: a node must start while its store is down. Nothing is uploaded
// or read from the store until Run.
func Open(ctx context.Context, o Options) (*Tier, error) { return nil, errors.ErrUnsupported }

// Run uploads, collects, probes and reads until ctx ends, then waits for its
// goroutines. Call it once.
func (t *Tier) Run(ctx context.Context) error { return errors.ErrUnsupported }

// Wake tells the uploader that a segment was sealed or space ran short. It never
// blocks.
func (t *Tier) Wake() {}

// Read returns batches from the one that holds r.Offset. It never waits for the
// store: when the bytes are not in the slice pool it starts to fetch them and
// returns Pending, and calls ready once when trying again is worth it (also when
// the fetch failed; the next Read then returns the error). ready runs on a tier
// goroutine and must not block. A nil ready only starts the fetch.
func (t *Tier) Read(r ReadRequest, ready func()) (Cold, error) { return Cold{}, errors.ErrUnsupported }

// Lookup returns the committed run that holds offset, or the first one after it.
func (t *Tier) Lookup(stream uint32, offset int64) (Row, bool, error) {
	return t.o.Index.Find(stream, offset)
}

// Extent returns what the tier holds of a stream.
func (t *Tier) Extent(stream uint32) (Extent, bool, error) { return t.o.Index.Extent(stream) }

// BatchForTime waits for and returns the raw bytes of the first cold batch whose
// max timestamp is at least ts, starting at offset from; ok is false when there
// is none. The caller owns the bytes and finds the record in them.
func (t *Tier) BatchForTime(ctx context.Context, stream uint32, from, ts int64) (batch []byte, ok bool, err error) {
	return nil, false, errors.ErrUnsupported
}

// Trim drops every run of the stream that ends at or before offset before:
// retention, DeleteRecords, and with math.MaxInt64 the deletion of the topic.
// Objects without live runs are destroyed. Durable on return.
func (t *Tier) Trim(ctx context.Context, stream uint32, before int64) error {
	return errors.ErrUnsupported
}

// Stats returns gauges; cheap enough for every second.
func (t *Tier) Stats() Stats { return Stats{} }

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
	Orphans      int   // prepared or destroyed, not yet deleted
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

// RecordKey names what a journal record is about, so that the journal can forget
// the records it supersedes: of each key only the last matters. dead means that
// not even this one does.
func RecordKey(rec []byte) (key string, dead bool, err error) {
	return "", false, errors.ErrUnsupported
}

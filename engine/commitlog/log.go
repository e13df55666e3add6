package commitlog

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Mode says when an item is settled.
type Mode uint8

// The modes. Only FlushFsync survives a power loss.
const (
	FlushFsync Mode = iota // after the fdatasync that covers it
	FlushWrite             // after the write; the caller decides when to Sync
)

var (
	// ErrClosed is returned once the log is closing.
	ErrClosed = errors.New("commit log is closed")
	// ErrFailed means a write or sync failed; nothing is accepted until the next Open.
	ErrFailed = errors.New("commit log has failed")
	// ErrFrameTooLarge means an append does not fit a segment.
	ErrFrameTooLarge = errors.New("append does not fit a log segment")
	// ErrReleased means the segment is gone: its bytes are somewhere else by now.
	ErrReleased = errors.New("log segment was released")
)

// Sink hears what became of items. Calls come one at a time, in LSN order, from a goroutine of the log or from an
// appender in Commit; while groups wait for the disk, a slow sink delays the answers, not the disk, until two groups wait
// for it.
type Sink[T any] interface {
	// Written is called after the write and before the sync, only for groups that hold an early item. The slice is the
	// one Durable gets later; it must not be kept.
	Written(items []T)
	// Durable is called once for every item: err nil means settled according to the mode.
	Durable(items []T, err error)
	// Sealed is called when a segment is complete and all its items were settled.
	Sealed(Info)
	// Flushed reports one group commit.
	Flushed(Flush)
	// Failed is called once when the log fails.
	Failed(error)
}

// Flush is one group commit.
type Flush struct {
	Bytes, Frames int
	Wait, Sync    time.Duration
	Err           error
}

// Options configure a log.
type Options struct {
	FS           vfs.FS
	Dir          string
	SegmentBytes int64
	Mode         Mode
	Now          func() time.Time
	// SegmentBase is the base of new segment ids. It must be larger at each Open than every id used before: the caller
	// takes it from a durable counter.
	SegmentBase uint64
	CacheBytes  int64 // memory kept for tail reads; at least two slabs are used
	GroupBytes  int64 // cap of one group commit; 0 = 4 MiB
	QueueBytes  int64 // Admit waits above so many unsettled bytes; 0 = 64 MiB

	// Live are the sealed segments the caller's index still points into; ReplayFrom is where the index ends. Replay is
	// called for each frame from there on; the payload is valid during the call only. Sealed is called after the last
	// frame of each replayed segment, which is whole and on disk; End is where it was cut. Progress, if any, hears how
	// many bytes were replayed, of how many at most.
	Live       []Info
	ReplayFrom uint64
	Replay     func(Frame, Place) error
	Sealed     func(Info) error
	Progress   func(done, total int64)
	// CleanEnd, when not 0, is where a clean shutdown left the log; ending anywhere else is corruption.
	CleanEnd uint64
}

const (
	slabBytes  = 1 << 20
	spareSlots = 1
	keepFree   = 2         // free slots kept for reuse beyond the spare
	smallGroup = 32 << 10  // a group up to this size prepares the blocks of those behind it
	aheadBytes = 512 << 10 // how many bytes of blocks it prepares
)

// Log is an open commit log; safe for concurrent use.
type Log[T any] struct {
	o    Options
	sink Sink[T]
	pool slabPool

	mu        sync.Mutex
	work      sync.Cond // the log's writing goroutine waits for groups
	room      sync.Cond // Admit and Sync wait for progress
	cur       *group[T]
	queue     []*group[T]
	leading   bool        // somebody writes, syncs or settles on the writer's behalf: the log's goroutine or an appender
	unsettled int         // groups taken for writing that the sink has not heard the end of
	spent     []*group[T] // for reuse
	active    *segment
	next      uint64 // LSN of the next frame
	nextID    uint64
	nextSlot  uint32
	free      []*slot
	preparing bool // the preparer is at work
	queued    int64
	frames    int
	wantSync  uint64
	closing   bool
	err       error
	cached    []cachedSlab // oldest first
	cacheHead int

	segMu    sync.RWMutex
	segments map[uint64]*segment

	settled atomic.Uint64 // every LSN below is visible
	synced  atomic.Uint64 // every LSN below is on disk

	answers chan answer[T]
	dirty   *segment   // written, not synced: of who leads, as the next two; only in modes that do not sync each group
	pieces  [][]byte   // scratch
	held    []Releaser // scratch
	done    sync.WaitGroup
	prepare sync.WaitGroup

	hits, misses, diskReads atomic.Int64
}

type cachedSlab struct {
	seg *segment
	i   int64
}

// group is what one write and one sync make durable.
type group[T any] struct {
	seg        *segment
	start, end int64 // file positions
	startLSN   uint64
	endLSN     uint64
	items      []T
	frames     int
	early      bool
	last       *Info // set when the segment is sealed after this group
	since      time.Time
	copies     sync.WaitGroup
}

// Releaser gives memory or a segment back.
type Releaser interface{ Release() }

// Settled is the LSN below which everything is visible.
func (l *Log[T]) Settled() uint64 { return l.settled.Load() }

// Synced is the LSN below which everything is on disk.
func (l *Log[T]) Synced() uint64 { return l.synced.Load() }

// Gauges are cheap numbers for Stats.
type Gauges struct {
	QueuedBytes            int64
	QueuedFrames           int
	Next                   uint64
	CacheBytes             int64
	Hits, Misses, Reads    int64
	Failed                 bool
	LiveSegments, FreeSlot int
}

// Gauges returns the current numbers.
func (l *Log[T]) Gauges() Gauges {
	l.segMu.RLock()
	live := len(l.segments)
	l.segMu.RUnlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	return Gauges{
		QueuedBytes: l.queued, QueuedFrames: l.frames, Next: l.next, CacheBytes: l.pool.inUse.Load(),
		Hits: l.hits.Load(), Misses: l.misses.Load(), Reads: l.diskReads.Load(), Failed: l.err != nil && l.err != ErrClosed,
		LiveSegments: live, FreeSlot: len(l.free),
	}
}

// UsedBytes is what the segments still in the ring hold, stale and free space not counted.
func (l *Log[T]) UsedBytes() int64 {
	l.segMu.RLock()
	defer l.segMu.RUnlock()
	var n int64
	for _, s := range l.segments {
		n += s.end.Load()
	}
	return n
}

// Release takes a sealed segment out of the ring; its file is reused once the last reader let go.
func (l *Log[T]) Release(id uint64) {
	l.segMu.Lock()
	s := l.segments[id]
	delete(l.segments, id)
	l.segMu.Unlock()
	if s == nil {
		return
	}
	s.mu.Lock()
	slabs := s.slabs
	s.slabs = nil
	s.mu.Unlock()
	for _, sl := range slabs {
		if sl != nil {
			sl.Release()
		}
	}
	s.release()
}

// slotFree takes back a slot nobody reads any more.
func (l *Log[T]) slotFree(s *slot) {
	l.mu.Lock()
	closing := l.closing
	keep := len(l.free) < spareSlots+keepFree && !closing && !s.lent.Load()
	if keep {
		l.free = append(l.free, s)
	}
	l.mu.Unlock()
	if keep || s.file == nil {
		return
	}
	if closing {
		_ = s.file.Close()
		return
	}
	// Nothing depends on the removal: a file that survives is an unused slot to the next Open.
	_ = s.file.Close()
	_ = l.o.FS.Remove(l.o.FS.PathJoin(l.o.Dir, slotName(s.number)))
}

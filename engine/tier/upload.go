package tier

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
)

// uploadBuffer is what one upload holds in memory apart from its footer: copy
// buffers here and in the HTTP client.
const uploadBuffer = 1 << 20

// brokenRetry is when a damaged segment is looked at again.
const brokenRetry = time.Minute

// unreadRetry is when a segment that could not be read locally is tried again.
const unreadRetry = 5 * time.Second

// uploader turns sealed segments into objects. Uploads run side by side but
// commit in the order of their segments, so that the cold part of a stream has
// no gap that a later run would hide; only a damaged segment is passed over.
type uploader struct {
	t *Tier

	mu         sync.Mutex
	limit      *limit
	strain     strain
	flights    map[uint64]*flight
	sizes      map[uint64]int64     // of the sealed segments seen so far
	broken     map[uint64]time.Time // damaged segments, and when to look again
	last       *flight
	pending    pending
	dueSince   time.Time // since when something was due and nothing was committed
	uploaded   int64
	bytes      int64
	failures   int64
	behind     bool // more is due than may be in flight
	wait       sync.WaitGroup
	firstRound bool
}

// pending is what the last look at the source found.
type pending struct {
	segments int
	bytes    int64
	oldest   time.Time // sealed at
	due      int
}

// flight is one upload.
type flight struct {
	segment Segment
	began   time.Time
	before  *flight       // commits first; nil = none
	done    chan struct{} // closed after commit, or when given up
}

func newUploader(t *Tier) *uploader {
	return &uploader{
		t: t, limit: newLimit(uploadCap(&t.o), t.o.Clock.Now()), firstRound: true,
		flights: map[uint64]*flight{}, sizes: map[uint64]int64{}, broken: map[uint64]time.Time{},
	}
}

// uploadCap bounds the concurrency by option, memory and at least one.
func uploadCap(o *Options) int {
	return max(1, min(o.MaxUploads, int(o.UploadMemory/uploadBuffer)))
}

// run starts uploads until ctx ends and then waits for those in flight.
func (u *uploader) run(ctx context.Context) {
	defer u.wait.Wait()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		u.round(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-u.t.wake:
		}
	}
}

// round looks at the source once and starts what is due.
func (u *uploader) round(ctx context.Context) {
	now := u.t.o.Clock.Now()
	told := u.t.state.toldSegments(u.firstRound)
	sealed := u.t.o.Source.SealedSegments()
	if u.firstRound {
		u.recognise(sealed)
	}
	waiting := u.uncommitted(sealed, told)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.meet(sealed, now)
	u.firstRound = false
	due := u.due(waiting, now)
	u.measure(waiting, len(due), now)
	u.yield(now)
	u.behind = len(due) > u.limit.allowed
	select {
	case <-u.t.fence.ready:
	default:
		return
	}
	if lost, _ := u.t.fence.status(); lost || u.t.journalError() != nil {
		return
	}
	allowed := u.limit.allowed
	if failing, _ := u.t.health.failing(callsWrite); failing {
		allowed = 1 // whoever is in flight keeps trying; no more hammering
	}
	for _, s := range due {
		if len(u.flights) >= allowed {
			return
		}
		if at, ok := u.broken[s.ID()]; u.flights[s.ID()] != nil || ok && at.After(now) {
			continue
		}
		// A flight may have landed since the segment was looked at above; it
		// leaves flights only after that shows here.
		if committed, _ := u.t.state.segmentState(s.ID()); committed {
			continue
		}
		f := &flight{segment: s, began: now, before: u.last, done: make(chan struct{})}
		u.flights[s.ID()], u.last = f, f
		u.wait.Go(func() { u.fly(ctx, f) })
	}
}

// yield lets fewer uploads run while they make the log's commits slow, unless
// the log needs room more than speed. Called with mu held.
func (u *uploader) yield(now time.Time) {
	commits, took := u.t.o.Source.Commits()
	few := len(u.flights) <= u.limit.least(u.backlog())
	if !u.strain.look(commits, took, few, now) {
		return
	}
	if u.t.o.UrgentBytes == 0 || u.t.o.Source.LocalBytes() < u.t.o.UrgentBytes {
		u.limit.strained(u.backlog(), now)
	}
}

// backlog is how many segments are due and not under way. Called with mu held.
func (u *uploader) backlog() int { return max(0, u.pending.due-len(u.flights)) }

// recognise finds segments that an earlier process offloaded and of whose object
// no record is left: it was rewritten, or died, before the segment was recycled.
// A segment was offloaded if all its live runs are cold.
func (u *uploader) recognise(sealed []Segment) {
	for _, s := range sealed {
		if committed, _ := u.t.state.segmentState(s.ID()); committed {
			continue
		}
		cold := true
		for _, r := range s.Runs() {
			row, ok, err := u.t.o.Index.Find(r.Stream, r.Base)
			stored := err == nil && ok && row.Base <= r.Base && row.Next >= r.Next
			if cold = stored || u.t.state.trimmed(r.Stream).before >= r.Next; !cold {
				break
			}
		}
		if cold && len(s.Runs()) > 0 {
			u.t.state.recognised(s.ID())
		}
	}
}

// uncommitted returns the segments still to be offloaded. It tells the source
// about those whose COMMIT is durable but which it still lists, since a crash or
// an error came between, and forgets those of told, which were told to the source
// before it made this list, that are not in it.
func (u *uploader) uncommitted(sealed []Segment, told []uint64) []Segment {
	listed := make(map[uint64]bool, len(sealed))
	var waiting []Segment
	for _, s := range sealed {
		listed[s.ID()] = true
		committed, told := u.t.state.segmentState(s.ID())
		switch {
		case !committed:
			waiting = append(waiting, s)
		case !told:
			u.offloaded(s.ID())
		}
	}
	for _, id := range told {
		if !listed[id] {
			u.t.state.forgetSegment(id)
		}
	}
	return waiting
}

// offloaded tells the source; on an error the next round does so again.
func (u *uploader) offloaded(segment uint64) {
	if err := u.t.o.Source.Offloaded(segment); err == nil {
		u.t.state.told(segment)
	}
}

// due returns the segments to upload now, oldest first: those old enough, and as
// many more as space demands. Called with mu held.
func (u *uploader) due(waiting []Segment, now time.Time) []Segment {
	excess := int64(0)
	if u.t.o.LocalBytes > 0 {
		excess = u.t.o.Source.LocalBytes() - u.t.o.LocalBytes
	}
	var due []Segment
	for _, s := range waiting {
		old := !u.t.o.SpaceOnly && now.Sub(s.SealedAt()) >= u.t.o.OffloadAfter
		if old || excess > 0 {
			due = append(due, s)
		}
		excess -= u.sizes[s.ID()]
	}
	return due
}

// meet takes in the source's list: new segments have arrived, and are measured
// once, since a segment may have very many runs. Called with mu held.
func (u *uploader) meet(sealed []Segment, now time.Time) {
	sizes := make(map[uint64]int64, len(sealed))
	arrived := 0
	for _, s := range sealed {
		size, known := u.sizes[s.ID()]
		if !known {
			arrived++
			for _, r := range s.Runs() {
				size += r.Bytes
			}
		}
		sizes[s.ID()] = size
	}
	u.sizes = sizes
	for id := range u.broken {
		if _, ok := sizes[id]; !ok {
			delete(u.broken, id)
		}
	}
	if u.firstRound { // what an earlier process left is a backlog
		arrived = 0
	}
	u.limit.arrive(arrived, now)
}

// measure updates the gauges. Called with mu held.
func (u *uploader) measure(waiting []Segment, due int, now time.Time) {
	p := pending{segments: len(waiting), due: due}
	for _, s := range waiting {
		p.bytes += u.sizes[s.ID()]
		if p.oldest.IsZero() || s.SealedAt().Before(p.oldest) {
			p.oldest = s.SealedAt()
		}
	}
	u.pending = p
	if due == 0 {
		u.dueSince = time.Time{}
	} else if u.dueSince.IsZero() {
		u.dueSince = now
	}
}

// fly uploads one segment and commits it, and records how that went.
func (u *uploader) fly(ctx context.Context, f *flight) {
	size, err := u.offload(ctx, f)
	now := u.t.o.Clock.Now()
	u.mu.Lock()
	delete(u.flights, f.segment.ID())
	if u.last == f {
		u.last = nil
	}
	f.before = nil
	switch {
	case err == nil:
		u.uploaded++
		u.bytes += size
		u.dueSince = time.Time{}
	case errors.Is(err, object.ErrContent):
		u.broken[f.segment.ID()] = now.Add(brokenRetry)
	case ctx.Err() == nil: // the local log could not be read
		u.broken[f.segment.ID()] = now.Add(unreadRetry)
	}
	u.mu.Unlock()
	close(f.done)
	if errors.Is(err, object.ErrContent) {
		u.t.event(EventSegmentCorrupt, fmt.Sprintf("segment %d is damaged and stays in the local log: %v", f.segment.ID(), err), map[string]any{"segment": f.segment.ID()})
	} else if err != nil && ctx.Err() == nil {
		u.t.event(EventSegmentUnread, fmt.Sprintf("segment %d cannot be offloaded: %v", f.segment.ID(), err), map[string]any{"segment": f.segment.ID()})
	}
	u.t.Wake()
}

// late reports whether offload is behind: others should leave it the store.
func (u *uploader) late() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.behind
}

// stats fills in the uploader's part.
func (u *uploader) stats(s *Stats, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s.PendingBytes, s.PendingSegments = u.pending.bytes, u.pending.segments
	if !u.pending.oldest.IsZero() {
		s.OldestPending = now.Sub(u.pending.oldest)
	}
	if !u.dueSince.IsZero() {
		s.Frozen = now.Sub(u.dueSince)
	}
	s.UploadsInFlight, s.UploadsAllowed = len(u.flights), u.limit.allowed
	for _, f := range u.flights {
		s.OldestUpload = max(s.OldestUpload, now.Sub(f.began))
	}
	s.Uploaded, s.UploadedBytes, s.UploadFailures = u.uploaded, u.bytes, u.failures
}

package tier

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/objectstore"
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
	flights    map[uint64]*flight
	seen       map[uint64]bool      // sealed segments counted as arrived
	broken     map[uint64]time.Time // damaged segments, and when to look again
	last       *flight
	pending    pending
	dueSince   time.Time // since when something was due and nothing was committed
	uploaded   int64
	bytes      int64
	failures   int64
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
		flights: map[uint64]*flight{}, seen: map[uint64]bool{}, broken: map[uint64]time.Time{},
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
	u.firstRound = false
	waiting := u.uncommitted(sealed, told)
	due := u.due(waiting, now)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.measure(sealed, waiting, len(due), now)
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
		f := &flight{segment: s, began: now, before: u.last, done: make(chan struct{})}
		u.flights[s.ID()], u.last = f, f
		u.wait.Go(func() { u.fly(ctx, f) })
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
// many more as space demands.
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
		excess -= segmentBytes(s)
	}
	return due
}

func segmentBytes(s Segment) int64 {
	n := int64(0)
	for _, r := range s.Runs() {
		n += r.Bytes
	}
	return n
}

// measure updates the gauges and the arrival rate. Called with mu held.
func (u *uploader) measure(sealed, waiting []Segment, due int, now time.Time) {
	p := pending{segments: len(waiting), due: due}
	for _, s := range waiting {
		p.bytes += segmentBytes(s)
		if p.oldest.IsZero() || s.SealedAt().Before(p.oldest) {
			p.oldest = s.SealedAt()
		}
	}
	u.pending = p
	arrived := 0
	seen := make(map[uint64]bool, len(sealed))
	for _, s := range sealed {
		if !u.seen[s.ID()] {
			arrived++
		}
		seen[s.ID()] = true
	}
	u.seen = seen
	for id := range u.broken {
		if !seen[id] {
			delete(u.broken, id)
		}
	}
	u.limit.arrive(arrived, now)
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

// offload is the commit protocol: PREPARE, PUT, COMMIT, index, Offloaded. It
// returns an error only when ctx ended, the journal failed or the segment is
// damaged.
func (u *uploader) offload(ctx context.Context, f *flight) (int64, error) {
	s := f.segment
	if len(s.Runs()) == 0 { // everything in it was deleted meanwhile
		if err := f.turn(ctx); err != nil {
			return 0, err
		}
		return 0, u.t.o.Source.Offloaded(s.ID())
	}
	id := u.t.newID()
	plan, err := object.NewPlan(object.Info{
		ID: id, Cluster: u.t.o.ClusterID, Node: u.t.o.NodeID, Segment: s.ID(),
		Created: f.began.UnixMilli(), Block: int32(u.t.o.SliceBytes),
	}, s)
	if err != nil {
		return 0, err
	}
	notBefore, err := u.store(ctx, id, plan, s.ID())
	if err != nil {
		u.t.state.abandon(id)
		return 0, err
	}
	if err := f.turn(ctx); err != nil {
		u.t.state.abandon(id)
		return 0, err
	}
	if err := u.commit(ctx, id, plan, notBefore); err != nil {
		return 0, err
	}
	u.offloaded(s.ID())
	seconds := u.t.o.Clock.Now().Sub(f.began).Seconds()
	u.t.event(EventSegmentOffloaded, fmt.Sprintf("segment %d is object %s", s.ID(), objectName(id)), map[string]any{
		"segment": s.ID(), "object": objectName(id), "bytes": plan.Size(), "runs": len(plan.Footer().Runs), "seconds": seconds,
	})
	return plan.Size(), nil
}

// turn waits until the flight before has committed or was given up.
func (f *flight) turn(ctx context.Context) error {
	if f.before == nil {
		return nil
	}
	select {
	case <-f.before.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// store logs PREPARE and puts the object until it is there. Each attempt ends
// well before the prepared time, after which an object without COMMIT may be
// deleted; PREPARE is renewed in time.
func (u *uploader) store(ctx context.Context, id ObjectID, plan *object.Plan, segment uint64) (notBefore time.Time, err error) {
	body := plan.Body()
	defer func() { err = cmp.Or(err, body.Close()) }()
	attempt := 2 * u.t.calls.deadline(plan.Size())
	for failures := 0; ; failures++ {
		now := u.t.o.Clock.Now()
		if now.Add(attempt).After(notBefore) {
			notBefore = now.Add(max(u.t.o.PrepareTTL, 2*attempt))
			if err := u.t.journal(ctx, prepareRecord(id, notBefore, segment)); err != nil {
				return notBefore, err
			}
			u.t.state.prepare(id, notBefore)
		}
		err := u.t.calls.put(ctx, objectName(id), body, plan.Size(), PutOptions{})
		ended := u.t.o.Clock.Now()
		u.feedback(err, ended.Sub(now), ended)
		if err == nil {
			return notBefore, nil
		}
		if _, ours := errors.AsType[*bodyError](err); ours {
			return notBefore, err // the local log's trouble: plan again later
		}
		if lost, err := u.t.fence.status(); lost {
			return notBefore, err
		}
		if !u.t.sleep(ctx, u.t.backoff(failures, 10*time.Second), callsWrite) {
			return notBefore, context.Cause(ctx)
		}
	}
}

// feedback adapts the concurrency to the outcome of a put.
func (u *uploader) feedback(err error, d time.Duration, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, ours := errors.AsType[*bodyError](err)
	switch {
	case ours:
	case err == nil:
		u.limit.success(d, max(0, u.pending.due-len(u.flights)))
	case objectstore.Classify(err) == objectstore.ClassThrottled:
		u.failures++
		u.limit.throttled(now)
	default:
		u.failures++
	}
}

// commit makes the object's runs cold data: durable COMMIT, then the index.
func (u *uploader) commit(ctx context.Context, id ObjectID, plan *object.Plan, notBefore time.Time) error {
	// The outcome of a journal write that fails is unknown: the object must
	// neither be deleted nor served, which leaves it to the next replay.
	if err := u.t.journal(ctx, commitRecord(id, notBefore, plan.EncodedFooter())); err != nil {
		return err
	}
	r := record{id: id, footer: *plan.Footer(), size: plan.Size(), notBefore: notBefore, segment: plan.Footer().Segment}
	empty, err := u.t.state.commit(r)
	if err != nil {
		return u.t.failJournal(err)
	}
	if empty {
		return u.t.destroy(ctx, []ObjectID{id})
	}
	return nil
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

// newID returns an id whose first bytes are the time in nanoseconds.
func (t *Tier) newID() ObjectID {
	var id ObjectID
	binary.BigEndian.PutUint64(id[:8], uint64(t.o.Clock.Now().UnixNano()))
	binary.BigEndian.PutUint64(id[8:], t.o.Random())
	return id
}

// objectName spreads objects over prefixes by their random part, as stores
// shard by name.
func objectName(id ObjectID) string {
	h := hex.EncodeToString(id[:])
	return "objects/" + h[30:] + "/" + h + ".sko"
}

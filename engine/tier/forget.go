package tier

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

const (
	// forgetEvery is how often trims of deleted topics are looked at, forgetMost how
	// many go at a time: each is a record of the journal.
	forgetEvery = time.Minute
	forgetMost  = 256
)

// forgotten is what a trim that nobody needs any more is replaced by; builds that
// do not know it take it for a trim that trims nothing.
const forgotten = math.MinInt64

func forgetRecord(stream uint32) []byte { return trimRecord(stream, forgotten, time.Time{}) }

// forgetTrims drops the trims of deleted topics once no object of the journal
// holds runs of theirs, and none is about to: the journal would grow for ever. A
// live topic's trim stays, it is one record.
func (t *Tier) forgetTrims(ctx context.Context) error {
	t.trimming.Lock()
	defer t.trimming.Unlock()
	gone := t.state.deletedTrims(t.o.Clock.Now().Add(-forgetEvery))
	if len(gone) == 0 || !t.rewriter.tryLock() { // what it is writing may hold any
		return nil
	}
	defer t.rewriter.unlock()
	if !t.uploader.spare(gone) { // first: what lands meanwhile is live below
		return nil
	}
	t.state.spare(gone)
	streams := slices.Sorted(maps.Keys(gone))
	for _, stream := range streams[:min(len(streams), forgetMost)] {
		if err := t.journal(ctx, forgetRecord(stream)); err != nil {
			return fmt.Errorf("forgetting stream %d: %w", stream, err)
		}
		t.state.forgetTrim(stream)
	}
	return nil
}

// deletedTrims returns the streams of topics deleted before a time: whoever listed
// segments with runs of theirs has told of his uploads since.
func (s *state) deletedTrims(before time.Time) map[uint32]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := map[uint32]bool{}
	for stream, t := range s.trims {
		if t.before == deletedTopic && t.at.Before(before) {
			gone[stream] = true
		}
	}
	return gone
}

// spare takes those out whose runs an object holds, dead or not: a replay meets
// them again.
func (s *state) spare(gone map[uint32]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.objects {
		if k.phase == live || k.uploading {
			for _, stream := range k.streams {
				delete(gone, stream)
			}
		}
	}
}

func (s *state) forgetTrim(stream uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.trims, stream)
	delete(s.trimmedSince, stream)
}

// spare takes those out whose runs are in a segment. It returns false when it
// cannot say yet.
func (u *uploader) spare(gone map[uint32]bool) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, f := range u.flights {
		spareRuns(gone, f.segment.Runs())
	}
	for _, s := range u.t.o.Source.SealedSegments() {
		spareRuns(gone, s.Runs())
	}
	return !u.firstRound
}

func spareRuns(gone map[uint32]bool, runs []Run) {
	for _, r := range runs {
		delete(gone, r.Stream)
	}
}

// Trimmed reports whether the journal holds a trim of the stream.
func (t *Tier) Trimmed(stream uint32) bool {
	t.state.mu.Lock()
	defer t.state.mu.Unlock()
	_, ok := t.state.trims[stream]
	return ok
}

// TrimmedTo is the offset below which a stream was trimmed, 0 when it never was.
func (t *Tier) TrimmedTo(stream uint32) int64 { return t.state.trimmed(stream).before }

// streamsOf are the distinct streams of runs, which are sorted.
func streamsOf(runs []Run) []uint32 {
	n := 0
	for i, r := range runs {
		if i == 0 || r.Stream != runs[i-1].Stream {
			n++
		}
	}
	streams := make([]uint32, 0, n)
	for i, r := range runs {
		if i == 0 || r.Stream != runs[i-1].Stream {
			streams = append(streams, r.Stream)
		}
	}
	return streams
}

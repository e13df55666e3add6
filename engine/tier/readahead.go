package tier

import (
	"sync"
	"time"
)

// The bounds of what adapts. A GET is large enough that the wait for its first
// byte is a fifth of its time, a reader has twice in memory or on its way what it
// reads during one GET: more would only take memory from others.
const (
	maxGetBytes    = 8 << 20
	firstByteShare = 4 // bytes move for so many times the wait for the first
	aheadCalls     = 2 // GETs' time of reading that is kept ahead

	quietFor   = 10 * time.Second // a reader that asks for nothing so long has no share
	rateWindow = 20 * time.Millisecond
	maxTracks  = 1 << 14
)

// pace is how fast the store answers GETs of blocks, learned from them. Safe for
// concurrent use.
type pace struct {
	block, most int64 // bounds of a GET

	mu    sync.Mutex
	known bool
	first time.Duration // until the first byte
	rate  float64       // bytes per second from then on; 0 = too fast to tell
}

func newPace(block, pool int64) *pace {
	return &pace{block: block, most: max(min(maxGetBytes, pool/8), block)}
}

// saw learns from a whole GET.
func (p *pace) saw(first, all time.Duration, bytes int64) {
	rate := 0.0
	if moving := all - first; moving > 0 {
		rate = float64(bytes) / moving.Seconds()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.known {
		p.known, p.first, p.rate = true, first, rate
		return
	}
	p.first += (first - p.first) / 8
	p.rate += (rate - p.rate) / 8
}

// getBytes is how large a GET should be.
func (p *pace) getBytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.getBytesLocked()
}

func (p *pace) getBytesLocked() int64 {
	if p.rate == 0 {
		return p.most
	}
	return min(max(int64(firstByteShare*p.first.Seconds()*p.rate), p.block), p.most)
}

// ahead is how many bytes a reader of that rate should have ahead of it.
func (p *pace) ahead(rate float64) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.known {
		return p.block
	}
	get := p.getBytesLocked()
	call := p.first.Seconds()
	if p.rate > 0 {
		call += float64(get) / p.rate
	}
	need := int64(aheadCalls * rate * call)
	if need <= p.block {
		return p.block
	}
	return max(need, 2*get) // one is read while the next is on its way
}

// tracker follows readers through streams. Safe for concurrent use.
type tracker struct {
	clock Clock
	mu    sync.Mutex
	all   map[trackKey]*track
	swept time.Time
}

type trackKey struct {
	reader uint64
	stream uint32
}

// track is one reader in one stream.
type track struct {
	next  int64 // the offset it asks for if it reads on
	rate  float64
	bytes int64 // since
	since time.Time
	seen  time.Time
}

func newTracker(clock Clock) *tracker {
	return &tracker{clock: clock, all: map[trackKey]*track{}}
}

// read notes that a reader asked for from and was given n bytes up to next. It
// returns the reader's bytes per second, 0 while unknown, and among how many
// reads going on it has to share; streams is 0 when it jumps to and fro or
// too many readers are followed, so that nothing should be read ahead.
func (t *tracker) read(k trackKey, from, next, n int64) (rate float64, streams int) {
	now := t.clock.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	r := t.all[k]
	switch {
	case r == nil && len(t.all) >= maxTracks:
		return 0, 0
	case r == nil:
		r = &track{next: from, since: now}
		t.all[k] = r
	}
	jumped := r.next != from
	if jumped {
		r.rate, r.bytes, r.since = 0, 0, now
	}
	r.next, r.seen = next, now
	r.bytes += n
	if d := now.Sub(r.since); d >= rateWindow {
		rate := float64(r.bytes) / d.Seconds()
		if r.rate > 0 {
			rate = (r.rate + rate) / 2
		}
		r.rate, r.bytes, r.since = rate, 0, now
	}
	if jumped {
		return 0, 0
	}
	return r.rate, len(t.all)
}

// sweep forgets those who ask no more, every second.
func (t *tracker) sweep(now time.Time) {
	if now.Sub(t.swept) < time.Second {
		return
	}
	t.swept = now
	for k, r := range t.all {
		if now.Sub(r.seen) > quietFor {
			delete(t.all, k)
		}
	}
}

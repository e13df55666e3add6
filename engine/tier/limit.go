package tier

import (
	"math"
	"time"
)

// limit adapts how many uploads run at once. By Little's law, keeping up needs
// arrival rate × time per upload of them; a backlog is to be gone within
// catchUp. It grows by one per success towards that need and is halved when the
// store throttles or the local log suffers, at most once per upload time, since
// calls already in flight tell nothing new. Not safe for concurrent use.
type limit struct {
	allowed, most int
	seconds       float64 // per upload, moving average
	arrivals      float64 // segments per second, moving average
	arrivedAt     time.Time
	arrived       int // since arrivedAt
	halvedAt      time.Time
	yieldedAt     time.Time
}

const (
	catchUp = 30 * time.Second
	// While the log suffers a backlog may take so long, and no growth is tried for
	// yieldFor.
	catchUpYielding = 10 * time.Minute
	yieldFor        = 10 * time.Second
	arrivalWindow   = 10 * time.Second
	firstUploads    = 2
)

func newLimit(most int, now time.Time) *limit {
	return &limit{allowed: min(firstUploads, most), most: most, arrivedAt: now}
}

// arrive counts segments that became due.
func (l *limit) arrive(n int, now time.Time) {
	l.arrived += n
	if d := now.Sub(l.arrivedAt); d >= arrivalWindow {
		rate := float64(l.arrived) / d.Seconds()
		l.arrivals += (rate - l.arrivals) / 2
		l.arrived, l.arrivedAt = 0, now
	}
}

// need is how many uploads would keep up and clear backlog segments within a time.
func (l *limit) need(backlog int, within time.Duration) int {
	n := (l.arrivals + float64(backlog)/within.Seconds()) * l.seconds
	return min(max(int(math.Ceil(n)), 1), l.most)
}

// least is how many uploads the log has to bear while backlog segments wait.
func (l *limit) least(backlog int) int { return l.need(backlog, catchUpYielding) }

// success counts an upload that took d while backlog more wait.
func (l *limit) success(d time.Duration, backlog int, now time.Time) {
	if l.seconds == 0 {
		l.seconds = d.Seconds()
	}
	l.seconds += (d.Seconds() - l.seconds) / 4
	switch need := max(l.need(backlog, catchUp), min(firstUploads, l.most)); {
	case l.allowed < l.least(backlog), l.allowed < need && now.Sub(l.yieldedAt) >= yieldFor:
		l.allowed++
	case l.allowed > need:
		l.allowed--
	}
}

// throttled halves, unless it was done within the time of an upload.
func (l *limit) throttled(now time.Time) { l.halve(1, now) }

// strained halves as well, down to what the log has to bear.
func (l *limit) strained(backlog int, now time.Time) {
	l.halve(l.least(backlog), now)
	l.yieldedAt = now
}

func (l *limit) halve(least int, now time.Time) {
	pause := time.Duration(max(l.seconds, 1) * float64(time.Second))
	if now.Sub(l.halvedAt) < pause || l.allowed <= least {
		return
	}
	l.allowed, l.halvedAt = max(least, l.allowed/2), now
}

package tier

import (
	"math"
	"time"
)

// limit adapts how many uploads run at once. By Little's law, keeping up needs
// arrival rate × time per upload of them; a backlog is to be gone within
// catchUp. It grows by one per success towards that need and is halved when the
// store throttles, at most once per upload time, since calls already in flight
// tell nothing new. Not safe for concurrent use.
type limit struct {
	allowed, most int
	seconds       float64 // per upload, moving average
	arrivals      float64 // segments per second, moving average
	arrivedAt     time.Time
	arrived       int // since arrivedAt
	halvedAt      time.Time
}

const (
	catchUp       = 30 * time.Second
	arrivalWindow = 10 * time.Second
	firstUploads  = 2
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

// need is how many uploads would keep up and clear backlog segments.
func (l *limit) need(backlog int) int {
	n := (l.arrivals + float64(backlog)/catchUp.Seconds()) * l.seconds
	return min(max(int(math.Ceil(n)), 1), l.most)
}

// success counts an upload that took d while backlog more wait.
func (l *limit) success(d time.Duration, backlog int) {
	if l.seconds == 0 {
		l.seconds = d.Seconds()
	}
	l.seconds += (d.Seconds() - l.seconds) / 4
	switch need := max(l.need(backlog), min(firstUploads, l.most)); {
	case l.allowed < need:
		l.allowed++
	case l.allowed > need:
		l.allowed--
	}
}

// throttled halves, unless it was done within the time of an upload.
func (l *limit) throttled(now time.Time) {
	pause := time.Duration(max(l.seconds, 1) * float64(time.Second))
	if now.Sub(l.halvedAt) < pause {
		return
	}
	l.allowed, l.halvedAt = max(1, l.allowed/2), now
}

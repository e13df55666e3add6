package kafka

import (
	"slices"
	"time"
)

const (
	maxLagPoints    = 6 // of a window: a hundred thousand rows hold them
	trendWindow     = time.Minute
	longTrendWindow = 10 * time.Minute
	windowGaps      = 4                // a trend is watched for so many usual waits for a commit
	unseenGap       = 30 * time.Second // how long a group that was not yet seen to commit may take for it
)

type lagPoint struct {
	ms  int64 // when
	lag int64
}

// usual is how long the group takes for a commit (p95 of what was seen between looks).
func (g *gapRing) usual() time.Duration {
	if !g.known {
		return unseenGap
	}
	return time.Duration(g.p95 * float64(time.Second))
}

// window is over what time the group's lag is compared: long enough for growth to stand out from its saw-tooth.
func (g *gapRing) window() time.Duration {
	if !g.known {
		return trendWindow
	}
	return min(max(trendWindow, windowGaps*g.usual()), longTrendWindow)
}

// trend is the lag of a window and a bit: the newest one, and some that are apart by a share of the window.
type trend []lagPoint

// add takes the newest lag.
func (t *trend) add(at time.Time, lag int64, window time.Duration) {
	now, l, keep := lagPoint{at.UnixMilli(), lag}, *t, 0
	for keep+1 < len(l) && now.ms-l[keep+1].ms >= window.Milliseconds() {
		keep++
	}
	l = slices.Delete(l, 0, keep)
	if n := len(l); n >= 2 {
		plateau := l[n-2].lag == now.lag && l[n-1].lag == now.lag // it needs its two ends only
		if plateau || now.ms-l[n-2].ms < 2*window.Milliseconds()/(maxLagPoints-1) {
			l[n-1], *t = now, l
			return
		}
	}
	if len(l) == maxLagPoints {
		l = slices.Delete(l, 1, 2)
	}
	*t = append(l, now)
}

// covers reports whether enough was watched to tell a trend: half of the window, and more than a wait for a commit.
func (t trend) covers(at time.Time, window, wait time.Duration) bool {
	if len(t) < 2 {
		return false
	}
	seen := at.Sub(time.UnixMilli(t[0].ms))
	return seen >= window/2 && seen > wait
}

// least is the least lag of the first half.
func (t trend) least() int64 {
	least := t[0].lag
	for _, l := range t[:(len(t)+1)/2] {
		least = min(least, l.lag)
	}
	return least
}

// trend keeps what waits on one partition.
func (p *progress) trend(at time.Time, window time.Duration) {
	p.lags.add(at, max(0, p.head-p.committed), window)
}

// grew reports whether the lag grew over the group's window by more than its own saw-tooth; ok is false when less than
// half of the window is known, or no more than one wait for a commit.
//
// Lag rises with what arrives and falls with a commit, and a look catches it at any phase, so that two looks at a group
// that keeps up differ by as much as arrives between two commits, in either direction and, where looks and commits beat,
// for minutes in the same one. No threshold on a rate or a slope can tell that from growth. But a group that keeps up has
// committed what is older than its usual wait for a commit; only what is younger may wait for no reason but the phase.
// So the lag grew if what is older than that is more than all that waited at some look in the first half of the window:
//
//	head(now − wait) − committed(now) > min over then of (head(then) − committed(then)) + 1
//
// For a group that keeps up the left side is 0 or less, and for one that is late and reads as fast as records arrive it is
// at most the lag it had, whatever the phases and however records come in bursts: what arrived is counted, not estimated.
// The wait is measured between looks, so it holds their interval too. A lag that grows by r seconds a second is seen where
// r × window is well over the wait.
func (p *groupPart) grew(at time.Time, gaps *gapRing) (grew, ok bool) {
	wait := gaps.usual()
	if !p.lags.covers(at, gaps.window(), wait) {
		return false, false
	}
	due, ok := p.part.heads.headBefore(at.Add(-wait))
	return ok && due-p.progress.committed > p.lags.least()+1, ok
}

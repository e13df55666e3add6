package kafka

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// race is a group that reads less than arrives on a topic whose records die at an age, in whole segments and at checks.
type race struct {
	arrive, read   float64 // records a second
	life           time.Duration
	segment, check time.Duration
	look, commit   time.Duration
	told           map[string]string         // the topic's configuration
	stops          bool                      // it reads nothing
	lost           time.Duration             // when the log's start passed what was committed
	left           map[time.Duration]float64 // told while it is late
}

// run plays the race and keeps what was told of the time left at each look.
func (x *race) run(t *testing.T, long time.Duration) {
	t.Helper()
	s := newScene(t, 1)
	s.members = map[string][]int32{"a": {0}}
	s.heads[0], s.commit[0] = 0, 0
	x.left = map[time.Duration]float64{}
	const tick = 500 * time.Millisecond
	var ends []time.Duration // when the last record of each segment was written
	done, start := 0.0, 0
	for now := time.Duration(0); now < long; now += tick {
		head := x.arrive * now.Seconds()
		if now%x.segment == 0 && now > 0 {
			ends = append(ends, now)
		}
		if now%x.check == 0 {
			for start < len(ends) && now-ends[start] > x.life {
				start++
				s.starts[0] = int64(x.arrive * ends[start-1].Seconds())
			}
		}
		if !x.stops {
			done = min(head, done+x.read*tick.Seconds())
		}
		if now%x.commit == 0 {
			s.commit[0] = int64(done)
		}
		if x.lost == 0 && s.starts[0] > s.commit[0] {
			x.lost = now
			return
		}
		if now%x.look == 0 {
			s.heads[0], s.now = int64(head), now.Seconds()-5
			s.configs = map[string]map[string]string{"t": x.told}
			s.look()
			if v, ok := s.series["group_loss_seconds"]; ok && (s.series["group_lag_seconds"] >= paceLate.Seconds() || x.read >= x.arrive) {
				x.left[now] = v
			}
		}
	}
}

func retention(ms, bytes int) map[string]string {
	return map[string]string{"cleanup.policy": "delete", "retention.ms": fmt.Sprint(ms), "retention.bytes": fmt.Sprint(bytes)}
}

// The time that is told to be left is, within a fifth or what is deleted at once, the time until records are deleted unread,
// from a minute after watching began.
func TestLossCountdown(t *testing.T) {
	base := race{arrive: 60, read: 30, life: 90 * time.Second, segment: 5 * time.Second, check: 5 * time.Second, look: 2 * time.Second, commit: 3 * time.Second, told: retention(90_000, -1)}
	slower, quicker, coarse, bySize, stopped := base, base, base, base, base
	slower.read = 10
	quicker.read = 50
	coarse.segment, coarse.check, coarse.life, coarse.told = 30*time.Second, 15*time.Second, 5*time.Minute, retention(300_000, -1)
	bySize.told = retention(-1, 1<<20)
	stopped.stops = true
	for name, x := range map[string]race{
		"half as fast": base, "a sixth as fast": slower, "nearly as fast": quicker, "coarse segments": coarse, "a size limits the log": bySize, "reads nothing": stopped,
	} {
		x.run(t, time.Hour)
		if x.lost == 0 {
			t.Fatalf("%s: nothing was lost", name)
		}
		told := 0
		for at, left := range x.left {
			really := (x.lost - at).Seconds()
			if at < time.Minute || really < 15 {
				continue
			}
			told++
			grain := (x.segment + x.check).Seconds() / (1 - x.read/x.arrive) // nobody tells where segments end
			if off := left - really; math.Abs(off) > .2*really && (off > grain/2 || off < -grain) {
				t.Errorf("%s: at %s it is %.0f s, really %.0f s", name, at, left, really)
			}
		}
		if told < 5 {
			t.Errorf("%s: told %d times before %s", name, told, x.lost)
		}
	}
}

// A commit counts when it was seen, also where it is known later what comes after it; what is not known ends no race.
func TestStridesThatAreKnownLater(t *testing.T) {
	var p groupPart
	for _, look := range []struct{ at, moved, least, most float64 }{
		{10, 10, 20, 20}, {12, 10, 22, 22}, {14, 14, 0, 30}, {16, 14, 21, 21}, {18, 18, 0, 60}, {40, 40, 30, 30},
	} {
		p.moved = momentOf(at(look.moved))
		p.stride(at(look.at), look.least, look.most)
	}
	want := []stride{{at(10).UnixMilli(), at(-10).UnixMilli()}, {at(14).UnixMilli(), at(-5).UnixMilli()}, {at(40).UnixMilli(), at(10).UnixMilli()}}
	if p.pace == nil || !slices.Equal(p.pace.strides, want) {
		t.Errorf("%v, want %v", p.pace, want)
	}
	if p.stride(at(42), 3, 3); p.pace != nil {
		t.Error("it has caught up and races on")
	}
}

// What is not known is not told, and what never comes is a day away.
func TestLossNotInSight(t *testing.T) {
	for name, c := range map[string]struct {
		told  map[string]string
		stops bool
		read  float64
		want  float64 // at the end; -1 is not told
	}{
		"no configuration may be read": {nil, true, 0, -1},
		"compacted only":               {map[string]string{"cleanup.policy": "compact", "retention.ms": "1000", "retention.bytes": "-1"}, true, 0, lossHorizon.Seconds()},
		"kept for ever":                {retention(-1, -1), true, 0, lossHorizon.Seconds()},
		"a size that was not seen yet": {retention(-1, 1<<30), true, 0, -1},
		"keeps up":                     {retention(90_000, -1), false, 60, lossHorizon.Seconds()},
		"a week to go":                 {retention(7*24*3600*1000, -1), true, 0, lossHorizon.Seconds()},
	} {
		x := race{arrive: 60, read: c.read, stops: c.stops, life: 1000 * time.Hour, segment: 5 * time.Second, check: 5 * time.Second, look: 5 * time.Second, commit: 5 * time.Second, told: c.told}
		x.run(t, 3*time.Minute)
		got, ok := x.left[3*time.Minute-5*time.Second]
		if !ok {
			got = -1
		}
		if got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

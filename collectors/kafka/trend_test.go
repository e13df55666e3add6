package kafka

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestGrew(t *testing.T) {
	for _, test := range []struct {
		name  string
		every float64
		gap   float64 // usual wait for a commit; 0 when not known
		reads int64   // between two looks
		lags  []int64
		grew  bool
		known bool
	}{
		{"grows", 10, 0, 1, []int64{0, 10, 20, 30, 40, 50, 60}, true, true},
		{"the jitter of batched commits is no growth", 10, 0, 20, []int64{100, 103, 98, 101, 104, 99, 102}, false, true},
		{"falls", 10, 10, 20, []int64{60, 50, 40, 30, 20, 10, 5}, false, true},
		{"a saw-tooth that is caught low and then high", 10, 20, 100, []int64{0, 100, 0, 100, 0, 100, 200}, false, true},
		{"grew once, longer than a minute ago", 10, 10, 1, []int64{0, 500, 500, 500, 500, 500, 500, 500, 500}, false, true},
		{"half a minute must be known", 10, 10, 1, []int64{0, 100}, false, false},
		{"what takes as long as it is watched for is not known", 10, 0, 1, []int64{0, 10, 20, 30}, false, false},
		{"a group that commits every two minutes is watched for longer", 120, 120, 1, []int64{0, 100}, false, false},
		{"and is then seen to fall behind", 120, 120, 1, []int64{0, 100, 200, 300}, true, true},
		{"fast rounds are thinned, the minute stays", 1, 5, 1, rising(90), true, true},
	} {
		part := &partTrack{}
		part.heads.add(at(0), test.lags[0])
		p := groupPart{progress: newProgress(at(0), 0, test.lags[0]), part: part}
		gaps := gapRing{p95: test.gap, known: test.gap > 0}
		p.trend(at(0), gaps.window())
		now := at(0)
		for i, lag := range test.lags[1:] {
			last := now
			now = at(float64(i+1) * test.every)
			committed := test.reads * int64(i+1)
			p.advance(now, last, committed, lag+committed)
			part.heads.add(now, lag+committed)
			p.trend(now, gaps.window())
		}
		if grew, ok := p.grew(now, &gaps); grew != test.grew || ok != test.known {
			t.Errorf("%s: %v %v, want %v %v", test.name, grew, ok, test.grew, test.known)
		}
		if len(p.lags) > maxLagPoints {
			t.Errorf("%s: %d points", test.name, len(p.lags))
		}
	}
}

func rising(n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = int64(i * 10)
	}
	return out
}

// watchedReader is a group on one partition that commits now and then what it has read, and is looked at now and then.
type watchedReader struct {
	look, commit, late time.Duration // between looks and commits, and how much later than that a commit may come
	arrive, read       float64       // records a second
	burst              time.Duration // records come in bursts so far apart; 0 is evenly
}

// watch plays a reader for some time after a calm minute and returns the share of looks that saw growth, and when it was
// first seen.
func (r watchedReader) watch(rng *rand.Rand, long time.Duration) (share float64, first time.Duration) {
	part := &partTrack{}
	gaps := gapRing{}
	var p *groupPart
	var head, done, committed float64
	last, looked, grown := time.Duration(0), 0, 0
	next, commit := time.Duration(0), r.commit
	const tick = 100 * time.Millisecond
	calm := time.Minute
	for now := time.Duration(0); now < calm+long; now += tick {
		if r.burst == 0 {
			head += r.arrive * tick.Seconds()
		} else if now%r.burst == 0 {
			head += r.arrive * r.burst.Seconds()
		}
		speed := r.read
		if now < calm {
			speed = 1e6
		}
		done = min(head, done+speed*tick.Seconds())
		if now >= commit {
			committed = done
			commit += r.commit + time.Duration(rng.Float64()*float64(r.late))
		}
		if now < next {
			continue
		}
		next += r.look
		at := epoch.Add(now)
		part.heads.add(at, int64(head))
		if p == nil {
			part.head = int64(head)
			p = newGroupPart(part, at, int64(committed))
			continue
		}
		if s := p.advance(at, epoch.Add(last), int64(committed), int64(head)); s.gap > 0 {
			gaps.add(s.gap)
		}
		gaps.settle()
		p.trend(at, gaps.window())
		last = now
		if now < calm {
			continue
		}
		looked++
		if grew, _ := p.grew(at, &gaps); grew {
			grown++
			if first == 0 {
				first = now - calm
			}
		}
	}
	return float64(grown) / float64(looked), first
}

// A group that keeps up does not grow, however looks, commits, bursts and a busy machine fall together; one that reads
// less than arrives does.
func TestGrowthExceedsNoise(t *testing.T) {
	const rate = 60
	for _, test := range []struct {
		name string
		r    watchedReader
		most float64       // share of looks of a group that keeps up
		by   time.Duration // when growth is seen at the latest; 0 never
	}{
		{"looks each 2 s", watchedReader{look: 2 * time.Second, commit: 5 * time.Second, read: 1e6}, 0, 0},
		{"looks that beat with commits", watchedReader{look: 15 * time.Second, commit: 5050 * time.Millisecond, read: 1e6}, 0, 0},
		{"a busy machine delays commits", watchedReader{look: 2 * time.Second, commit: 5 * time.Second, late: 8 * time.Second, read: 1e6}, .01, 0},
		{"bursts each 10 s", watchedReader{look: 2 * time.Second, commit: 5 * time.Second, late: time.Second, read: 1e6, burst: 10 * time.Second}, 0, 0},
		{"reads just as fast as records arrive", watchedReader{look: 2 * time.Second, commit: 5 * time.Second, late: 3 * time.Second, read: 1.02 * rate}, .01, 0},
		{"reads a fifth less", watchedReader{look: 2 * time.Second, commit: 5 * time.Second, late: time.Second, read: .8 * rate}, 1, time.Minute},
		{"reads half as much, looked at each 15 s", watchedReader{look: 15 * time.Second, commit: 5 * time.Second, read: .5 * rate}, 1, time.Minute},
		{"reads nothing", watchedReader{look: 5 * time.Second, commit: 5 * time.Second}, 1, 25 * time.Second},
	} {
		test.r.arrive = rate
		for seed := range uint64(20) {
			share, first := test.r.watch(rand.New(rand.NewPCG(seed, 1)), 10*time.Minute)
			switch {
			case test.by == 0 && share > test.most:
				t.Errorf("%s, seed %d: %.1f %% of the looks see growth", test.name, seed, 100*share)
			case test.by > 0 && (first == 0 || first > test.by || share < .8):
				t.Errorf("%s, seed %d: growth is first seen after %s, in %.0f %% of the looks", test.name, seed, first, 100*share)
			}
		}
	}
}

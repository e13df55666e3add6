package kafka

import (
	"testing"
	"time"
)

func TestFrozen(t *testing.T) {
	// Readings every 10 s as {committed, head}.
	for _, test := range []struct {
		name     string
		readings [][2]int64
		frozen   float64
		moved    bool
	}{
		{"caught up is not frozen, however long", [][2]int64{{5, 5}, {5, 5}, {5, 5}, {5, 5}}, 0, false},
		{"behind from the start: frozen since we look, the past is not ours", [][2]int64{{5, 9}, {5, 9}, {5, 9}}, 20, false},
		{"frozen since the head went ahead, not since the last commit", [][2]int64{{5, 5}, {5, 5}, {5, 5}, {5, 7}, {5, 8}}, 10, false},
		{"a move ends it, even far behind", [][2]int64{{5, 90}, {5, 95}, {6, 99}}, 0, true},
		{"and it begins anew after the move", [][2]int64{{5, 90}, {5, 95}, {6, 99}, {6, 99}, {6, 99}}, 20, true},
		{"catching up ends it", [][2]int64{{5, 9}, {5, 9}, {9, 9}, {9, 9}}, 0, true},
		{"a rewind is a move", [][2]int64{{5, 9}, {5, 9}, {2, 9}, {2, 9}}, 10, true},
	} {
		var p progress
		now := epoch
		for i, r := range test.readings {
			last := now
			now = at(float64(i) * 10)
			if i == 0 {
				p = newProgress(now, r[0], r[1])
				continue
			}
			p.advance(now, last, r[0], r[1])
		}
		if got := p.frozenFor(now).Seconds(); got != test.frozen || !p.moved.IsZero() != test.moved {
			t.Errorf("%s: frozen %v s (moved %v), want %v (%v)", test.name, got, !p.moved.IsZero(), test.frozen, test.moved)
		}
	}
}

func TestSteps(t *testing.T) {
	p := newProgress(at(0), 10, 20)
	if s := p.advance(at(10), at(0), 10, 25); s.gap != 0 || s.forward != 0 || s.rewound {
		t.Errorf("standing still: %+v", s)
	}
	if s := p.advance(at(20), at(10), 15, 25); s.forward != 5 || s.gap != 20*time.Second {
		t.Errorf("%+v: the commit was waited for since the partition was behind, 20 s", s)
	}
	if s := p.advance(at(30), at(20), 25, 25); s.forward != 10 || s.gap != 10*time.Second {
		t.Errorf("%+v, want 10 s since the last move", s)
	}
	p.advance(at(500), at(30), 25, 25)
	if s := p.advance(at(510), at(500), 26, 26); s.gap != 10*time.Second {
		t.Errorf("%+v: idle time is no wait for a commit", s)
	}
	if s := p.advance(at(520), at(510), 3, 26); !s.rewound || s.forward != 0 || s.from != 26 || s.to != 3 {
		t.Errorf("%+v, want a rewind", s)
	}
}

func TestLagSkipsWhatRetentionDeleted(t *testing.T) {
	p := newProgress(at(0), 10, 100)
	for start, want := range map[int64]int64{unset: 90, 5: 90, 40: 60, 100: 0} {
		if got := p.lag(start); got != want {
			t.Errorf("lag with log start %d = %d, want %d", start, got, want)
		}
	}
}

// What stands still when we come is older than what the group goes on with elsewhere by as long as it has stood.
func TestStoodBeforeWeCame(t *testing.T) {
	group := func(stands int64) map[string]float64 {
		s := newScene(t, 3)
		s.members = map[string][]int32{"a": {0}, "b": {1, 2}}
		s.heads, s.commit = []int64{2000, 2000, 2000}, []int64{stands, 1950, 1950}
		for n := range 8 {
			s.look()
			for p := range int32(3) { // ten records a second
				part := s.track.part(partition{"t", p})
				for _, offset := range []int64{1000, 1900, 1950} {
					stamp := at(float64(offset-2000) / 10).UnixMilli()
					part.learnt().stamps.add(mark{offset, stamp, stamp})
				}
				s.heads[p] += 50
				if p > 0 && n%2 == 1 {
					s.commit[p] = s.heads[p] - 50
				}
			}
		}
		return s.series
	}
	if got := group(1000)["group_frozen_seconds"]; got < 120 || got > 135 {
		t.Errorf("%v s; it was seen to stand for 35 s, and is late by 135", got)
	}
	if got := group(1950)["group_frozen_seconds"]; got < 35 || got > 41 {
		t.Errorf("%v s; it was seen to stand for 35 s", got)
	}
}

func TestStallAfter(t *testing.T) {
	for _, test := range []struct {
		name  string
		gaps  []float64
		round float64
		want  float64
	}{
		{"nothing known: the floor", nil, 5, 30},
		{"one gap of a minute: it may commit once a minute", []float64{60}, 5, 180},
		{"a group that commits once a minute is not stalled after 30 s", []float64{60, 60, 60, 60, 60}, 5, 180},
		{"fast commits: the floor", []float64{5, 5, 5, 5, 5, 5}, 5, 30},
		{"slow rounds see four rounds at least", []float64{5, 5, 5, 5, 5, 5}, 60, 240},
		{"one long wait in twenty is still unusual", append(make([]float64, 20), 600), 5, 30},
	} {
		var g gapRing
		for _, s := range test.gaps {
			g.add(time.Duration(s * float64(time.Second)))
		}
		g.settle()
		if got := g.stallAfter(time.Duration(test.round * float64(time.Second))).Seconds(); got != test.want {
			t.Errorf("%s: %v s, want %v", test.name, got, test.want)
		}
	}
	var g gapRing
	for range 10 * maxGaps {
		g.add(time.Second)
	}
	if len(g.ms) != maxGaps {
		t.Errorf("%d gaps kept", len(g.ms))
	}
}

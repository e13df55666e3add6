package probe

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func (l *lane) counted() map[string]uint64 {
	out := map[string]uint64{}
	for i, n := range l.fates {
		if n > 0 {
			out[fateNames[i]] = n
		}
	}
	return out
}

func TestLane_Fates(t *testing.T) {
	at := func(s int) time.Time { return epoch.Add(time.Duration(s) * time.Second) }
	for name, c := range map[string]struct {
		play func(l *lane)
		want map[string]uint64
	}{
		"comes back": {func(l *lane) {
			l.acknowledged(l.send(0, at(0)), 7)
			if took, first := l.came(1, at(2)); took != 2 || !first {
				t.Error(took, first)
			}
			l.read(0, 8)
			l.settle(at(60))
		}, map[string]uint64{"sent": 1, "acknowledged": 1, "returned": 1}},
		"comes twice": {func(l *lane) {
			l.acknowledged(l.send(0, at(0)), 7)
			l.came(1, at(1))
			l.came(1, at(2))
		}, map[string]uint64{"sent": 1, "acknowledged": 1, "returned": 1, "duplicated": 1}},
		"is stepped over": {func(l *lane) {
			l.acknowledged(l.send(0, at(0)), 7)
			l.read(0, 8)
			l.settle(at(60))
		}, map[string]uint64{"sent": 1, "acknowledged": 1, "lost": 1}},
		"never comes": {func(l *lane) {
			l.acknowledged(l.send(0, at(0)), 7)
			l.settle(at(5))
			if lost, _ := l.settle(at(11)); lost != 1 {
				t.Error(lost)
			}
			l.came(1, at(12))
		}, map[string]uint64{"sent": 1, "acknowledged": 1, "lost": 1, "late": 1}},
		"not acknowledged, and stored all the same": {func(l *lane) {
			l.send(0, at(0))
			l.failed()
			l.came(1, at(4))
			l.settle(at(60))
		}, map[string]uint64{"sent": 1, "failed": 1, "late": 1}},
		"of a partition that moved away": {func(l *lane) {
			l.acknowledged(l.send(0, at(0)), 7)
			l.keep([]int32{1})
			l.settle(at(60))
		}, map[string]uint64{"sent": 1, "acknowledged": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLane(10*time.Second, false)
			c.play(l)
			if d := cmp.Diff(c.want, l.counted()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestLane_IsBounded(t *testing.T) {
	l := newLane(10*time.Second, true)
	for range 10 * maxPending {
		l.acknowledged(l.send(0, epoch), 1)
	}
	if len(l.pending) > maxPending {
		t.Errorf("%d under way", len(l.pending))
	}
}

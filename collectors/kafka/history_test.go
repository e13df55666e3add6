package kafka

import (
	"testing"
	"time"
)

var epoch = time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return epoch.Add(time.Duration(seconds * float64(time.Second))) }

// heads makes a history with one point every 10 s.
func heads(offsets ...int64) *history {
	var h history
	for i, o := range offsets {
		h.add(at(float64(i)*10), o)
	}
	return &h
}

func TestBracket(t *testing.T) {
	for _, test := range []struct {
		name   string
		h      *history
		offset int64
		want   float64
		known  bool
	}{
		{"records between two points are evenly spaced: the 1st of 10", heads(0, 10), 0, 1, true},
		{"the last of 10", heads(0, 10), 9, 10, true},
		{"a plateau before the record is no time it waited", heads(0, 100, 100, 100, 110), 100, 31, true},
		{"the record that ended a plateau came by the point that shows it", heads(5, 5, 5, 6), 5, 30, true},
		{"one written before the history began is of unknown age", heads(50, 60), 49, 0, false},
		{"the first one in it is known", heads(50, 60), 50, 1, true},
		{"one not written yet has no age", heads(0, 10), 10, 0, false},
		{"no history", heads(), 0, 0, false},
		{"one point says nothing of when", heads(10), 5, 0, false},
	} {
		got, ok := written(test.h, test.offset)
		if ok != test.known || ok && got.Sub(at(test.want)).Abs() > 2*time.Millisecond {
			t.Errorf("%s: %v %v, want %v %v", test.name, got.Sub(epoch).Seconds(), ok, test.want, test.known)
		}
	}
}

func written(h *history, offset int64) (time.Time, bool) {
	w := h.bracket(offset)
	return time.UnixMilli(w.best), w.from != unset
}

func TestHistoryStartsOver(t *testing.T) {
	h := heads(100, 200, 5, 6)
	if _, ok := written(h, 150); ok {
		t.Error("a topic made anew answers from its former life")
	}
	if got, ok := written(h, 5); !ok || !got.Equal(at(30)) {
		t.Errorf("%v %v, want the new life's time", got, ok)
	}
}

// However long it runs, the history stays bounded, ordered, and precise in proportion to the age asked for.
func TestHistoryIsBoundedAndPrecise(t *testing.T) {
	var h history
	const rounds = 10_000
	for i := range rounds {
		h.add(at(float64(i)*5), int64(i)*50)
		if len(h.points) > maxHistory {
			t.Fatalf("%d points", len(h.points))
		}
	}
	now := at(float64(rounds-1) * 5)
	for _, age := range []float64{7, 60, 600, 6000} {
		offset := int64((float64(rounds-1)*5 - age) * 10)
		got, ok := written(&h, offset)
		if off := now.Sub(got).Seconds() - age; !ok || off > .02*age+1 || off < -.02*age-1 {
			t.Errorf("age %v s: off by %v s (%v)", age, off, ok)
		}
	}
}

func TestRate(t *testing.T) {
	for _, test := range []struct {
		name  string
		h     *history
		now   float64
		want  float64
		known bool
	}{
		{"steady", heads(0, 100, 200, 300, 400, 500, 600, 700), 70, 10, true},
		{"what was before the window does not count", heads(0, 0, 9000, 9000, 9000, 9000, 9000, 9000, 9060), 80, 1, true},
		{"too little is known", heads(0, 100, 200), 20, 0, false},
		{"nothing written is a rate of zero", heads(7, 7, 7, 7, 7, 7, 7), 60, 0, true},
	} {
		got, ok := test.h.rate(at(test.now), time.Minute)
		if ok != test.known || got != test.want {
			t.Errorf("%s: %v %v, want %v %v", test.name, got, ok, test.want, test.known)
		}
	}
}

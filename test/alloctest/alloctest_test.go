package alloctest

import "testing"

var sink []byte

// silent hears whether a test would have failed.
type silent struct {
	testing.TB
	failed bool
}

func (s *silent) Helper()               {}
func (s *silent) Errorf(string, ...any) { s.failed = true }

func TestBound_FailsOnlyAboveItsFactor(t *testing.T) {
	for size, want := range map[int]bool{1000 * 4: false, 1000*4 + 2*slack: true} {
		s := &silent{TB: t}
		Bound(s, 1000, 4, func() { sink = make([]byte, size) })
		if s.failed != want {
			t.Errorf("%d bytes for an input of 1000 at a factor of 4: failed %v, want %v", size, s.failed, want)
		}
	}
}

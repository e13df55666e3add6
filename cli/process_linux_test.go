package cli

import "testing"

func TestParseCPU(t *testing.T) {
	busy, all, ok := parseCPU([]byte("cpu  100 1 20 700 79 10 40 50 5 0"))
	if !ok || busy != 221 || all != 1000 {
		t.Errorf("busy %g of %g (%v), want 221 of 1000: idle and iowait are rest, steal is not, guests count once", busy, all, ok)
	}
	for _, bad := range []string{"", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2", "cpu a b c d e f g h"} {
		if _, _, ok := parseCPU([]byte(bad)); ok {
			t.Errorf("%q is no line of /proc/stat", bad)
		}
	}
	if busy, all, ok := machineCPU(); !ok || busy <= 0 || busy > all {
		t.Errorf("this machine: busy %g of %g (%v)", busy, all, ok)
	}
}

//go:build unix

package cli

import (
	"os"
	"syscall"
)

// sameDevice reports whether two folders lie on one device. A folder that cannot be asked counts as on the
// same: copying to it would then win no space, which is the cautious guess.
func sameDevice(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	if errX != nil || errY != nil {
		return true
	}
	s, okS := x.Sys().(*syscall.Stat_t)
	t, okT := y.Sys().(*syscall.Stat_t)
	return !okS || !okT || s.Dev == t.Dev
}

//go:build unix

package cli

import (
	"os"
	"testing"
)

func TestSameDevice(t *testing.T) {
	dir := t.TempDir()
	if !sameDevice(dir, t.TempDir()) {
		t.Error("two temporary folders are on one device")
	}
	if !sameDevice(dir, dir+"/none") {
		t.Error("a folder that is not there counts as the same device")
	}
	if _, err := os.Stat("/proc/self"); err == nil && sameDevice(dir, "/proc") {
		t.Error("/proc is a device of its own")
	}
}

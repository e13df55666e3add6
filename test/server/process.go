package server

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// Process is a process's id, to measure it through /proc.
type Process int

// RSS is the resident memory in bytes, mapped files counted.
func (p Process) RSS() (int64, error) { return p.status("VmRSS:") }

// PeakRSS is the largest resident memory so far, in bytes, mapped files counted.
func (p Process) PeakRSS() (int64, error) { return p.status("VmHWM:") }

func (p Process) status(field string) (int64, error) {
	kb, err := p.field("status", field)
	return kb << 10, err
}

// Written is how many bytes it caused to be written to disk so far.
func (p Process) Written() (int64, error) { return p.field("io", "write_bytes:") }

// field is a number in one of the process's files below /proc.
func (p Process) field(file, name string) (n int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p, file))
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, name); ok {
			_, err := fmt.Sscan(rest, &n)
			return n, err
		}
	}
	return 0, fmt.Errorf("no %s in /proc", name)
}

// CPU is the processor time used so far.
func (p Process) CPU() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+2:]))
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		return 0, err
	}
	return time.Duration(user+system) * (time.Second / 100), nil // USER_HZ is 100 on Linux
}

package cli

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// killWithParent makes children end when this process is killed: a drill must not leave brokers behind.
func killWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }

// machineCPU is how long this machine's processors have worked and how long they exist, in clock ticks. What the
// hypervisor took away counts as work: it was not ours to use.
func machineCPU() (busy, all float64, ok bool) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, false
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return parseCPU(line)
}

// parseCPU reads "cpu user nice system idle iowait irq softirq steal guest guest_nice"; guests are in user already.
func parseCPU(line []byte) (busy, all float64, ok bool) {
	fields := bytes.Fields(line)
	if len(fields) < 9 || string(fields[0]) != "cpu" {
		return 0, 0, false
	}
	for i, f := range fields[1:9] {
		n, err := strconv.ParseFloat(string(f), 64)
		if err != nil {
			return 0, 0, false
		}
		all += n
		if i != 3 && i != 4 {
			busy += n
		}
	}
	return busy, all, true
}

package broker

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestOutgoing_MeetsTheClient: a near client's socket has a small buffer, any other one's stays as the system has it.
func TestOutgoing_MeetsTheClient(t *testing.T) {
	ours, client := socketPair(t)
	defer client.Close()
	defer ours.Close()
	var out outgoing
	out.init(ours)
	size := func() (n int) {
		if err := out.raw.Control(func(fd uintptr) {
			n, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := size()
	out.meet()
	want := before
	if out.near.Load() { // over loopback it is, unless the machine stood still meanwhile
		want = 2 * nearBuffer
	}
	if got := size(); !out.met || got != want {
		t.Errorf("near %v: the buffer has %d bytes, not %d", out.near.Load(), got, want)
	}
}

func TestNear(t *testing.T) {
	for rtt, want := range map[uint32]bool{0: false, 1: true, 100: true, 101: false, 20_000: false} {
		if got := near(&unix.TCPInfo{Min_rtt: rtt}); got != want {
			t.Errorf("a round trip of %d µs (0: unknown): near %v", rtt, got)
		}
	}
}

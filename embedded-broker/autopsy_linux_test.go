package broker

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sys/unix"
)

// quiet says that all the frozen client sent was acknowledged: otherwise its kernel would send it again, and be heard.
func (k *link) quiet() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.conns {
		raw, err := c.SyscallConn()
		if err != nil {
			return false
		}
		queued := 0
		err2 := raw.Control(func(fd uintptr) { queued, err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) })
		if err != nil || err2 != nil || queued > 0 {
			return false
		}
	}
	return true
}

// deafen makes the client's kernel drop what arrives for its connections, unacknowledged: to the broker the path is dead.
func (k *link) deafen(t *testing.T) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	for _, c := range k.conns {
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		err2 := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop})
		})
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
	}
}

// A dead path and a frozen process are told apart by what the peer's kernel does.
func TestLoss_DeadPath(t *testing.T) {
	t.Parallel()
	l := newGroupLab(t, quick)
	l.topic("t", 1)
	k := newLink()
	c := l.consume("g", "t", kgo.ClientID("c"), kgo.Dialer(k.dial), kgo.SessionTimeout(6*time.Second))
	l.eventually("it owns the partition", func() bool { return c.partitions() == 1 })
	k.freeze(true)
	l.eventually("the frozen client is quiet", k.quiet)
	k.deafen(t)
	defer func() { // or the client would try for long to leave in order
		k.cut(true)
		k.freeze(false)
	}()
	e := l.event("member_expired", 1)
	is(t, e, "conn_open", true)
	is(t, e, "conn_closed", "")
	if l.number(e, "unacked_bytes") == 0 && l.number(e, "keepalive_unanswered") < 2 {
		t.Errorf("neither unacknowledged bytes nor unanswered probes: %v", e.Attrs)
	}
	l.between(e, "last_ack_recv_s", 4.5, 7)
	l.between(e, "heartbeat_age_s", 5.9, 7)
}

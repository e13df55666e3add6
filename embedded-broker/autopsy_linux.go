package broker

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tcpStateOf asks the kernel about a connection; false when it will not say.
func tcpStateOf(rc syscall.RawConn) (st tcpState, ok bool) {
	err := rc.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		queued, err := unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) // sent or not, all that is unacknowledged
		if err != nil {
			return
		}
		st = tcpState{
			lastAck:             time.Duration(info.Last_ack_recv) * time.Millisecond,
			keepaliveUnanswered: int64(info.Probes),
		}
		if info.Unacked > 0 {
			st.unackedBytes = max(int64(queued)-int64(info.Notsent_bytes), 1)
		}
		ok = true
	})
	return st, ok && err == nil
}

package broker

import (
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// haveSendfile says that the kernel can send from a file.
const haveSendfile = true

// trySendfile sends the first of out.lent; false while the socket takes none.
func (out *outgoing) trySendfile(fd uintptr) bool {
	for out.lent.Len > 0 {
		n, err := unix.Sendfile(int(fd), int(out.lent.Fd()), &out.lent.Pos, int(out.lent.Len))
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return false
		case err == nil && n == 0:
			err = io.ErrUnexpectedEOF
		}
		if out.lentErr = err; err != nil {
			return true
		}
		out.lent.Len -= int64(n)
	}
	return true
}

// fileFailed tells an error of the file from one of the socket.
func fileFailed(err error) bool {
	switch err {
	case unix.EIO, unix.EINVAL, unix.ENOSYS, unix.EOVERFLOW, io.ErrUnexpectedEOF:
		return true
	}
	return false
}

const (
	nearRTT    = 100 * time.Microsecond
	nearBuffer = 128 << 10 // bytes of answers; the kernel adds as much for its own
)

// meet tells a near client from a far one, and keeps the socket's buffer small for a near one: this much suffices for
// 10 Gbit/s. Linux would let it grow to megabytes, which costs both sides more for each byte (ADR 17). Of far clients the
// buffer grows with the distance, as TCP needs it.
func (out *outgoing) meet() {
	if out.met {
		return
	}
	out.met = true
	_ = out.raw.Control(func(fd uintptr) { // fails on a closed socket only
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil && near(info) {
			out.near.Store(true)
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, nearBuffer) // else it is slower
		}
	})
}

func near(info *unix.TCPInfo) bool {
	return info.Min_rtt > 0 && time.Duration(info.Min_rtt)*time.Microsecond <= nearRTT
}

package broker

import (
	"io"
	"syscall"

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

// cork holds back packets that are not full until it is taken away: the head of an answer goes with what follows.
func cork(fd uintptr, on bool) {
	v := 0
	if on {
		v = 1
	}
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, unix.TCP_CORK, v) // without it there are more packets
}

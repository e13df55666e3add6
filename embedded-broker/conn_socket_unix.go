//go:build unix

package broker

import (
	"io"
	"syscall"
)

// haveSocket says that a connection's socket may be read and written directly, without waiting.
const haveSocket = true

// tryRead reads into an empty buffer; false when there is nothing yet.
func (in *incoming) tryRead(fd uintptr) bool {
	buf := inBufs.Get().(*[inBytes]byte)
	n, err := syscall.Read(int(fd), buf[:])
	for err == syscall.EINTR {
		n, err = syscall.Read(int(fd), buf[:])
	}
	switch {
	case err == syscall.EAGAIN:
		inBufs.Put(buf)
		return false
	case err == nil && n == 0:
		err = io.EOF
	}
	in.got(buf, n, err)
	return true
}

// tryWrite writes what the socket takes of out.unsent without waiting.
func (out *outgoing) tryWrite(fd uintptr) {
	for {
		n, err := syscall.Write(int(fd), out.unsent)
		if err == syscall.EINTR {
			continue
		}
		if n > 0 {
			out.unsent = out.unsent[n:]
		}
		return // an error comes again where one can wait for it
	}
}

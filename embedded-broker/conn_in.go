package broker

import (
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// inBytes is how much is read ahead of a connection: small requests take one read.
const inBytes = 16 << 10

var inBufs = sync.Pool{New: func() any { return new([inBytes]byte) }}

// incoming buffers what a client sent. It holds no memory while nothing is buffered, so that idle connections cost a
// goroutine each and little else. Of the reading goroutine.
type incoming struct {
	nc       net.Conn
	raw      syscall.RawConn // nil when it is no socket, or must not be read past nc
	buf      *[inBytes]byte  // nil while nothing is buffered
	from, to int
	deadline time.Time // what nc's read deadline was last set to

	try func(fd uintptr) bool // bound once, so that waiting allocates nothing
	err error                 // of the last try
}

func (in *incoming) init(nc net.Conn) {
	in.nc, in.raw, in.try = nc, rawConn(nc), in.tryRead
}

func (in *incoming) buffered() int { return in.to - in.from }

// await returns when something is buffered.
func (in *incoming) await() error {
	if in.buffered() > 0 {
		return nil
	}
	if in.raw != nil {
		if err := in.raw.Read(in.try); err != nil {
			return err
		}
		return in.err
	}
	return in.more()
}

// got notes what a read into the empty buffer brought.
func (in *incoming) got(buf *[inBytes]byte, n int, err error) {
	in.err = err
	if n > 0 {
		in.buf, in.from, in.to, in.err = buf, 0, n, nil
		return
	}
	inBufs.Put(buf)
}

// more reads behind what is buffered.
func (in *incoming) more() error {
	if in.buf == nil {
		in.buf, in.from, in.to = inBufs.Get().(*[inBytes]byte), 0, 0
	}
	if in.from > 0 {
		in.to = copy(in.buf[:], in.buf[in.from:in.to])
		in.from = 0
	}
	n, err := in.nc.Read(in.buf[in.to:])
	in.to += n
	if n > 0 {
		return nil
	}
	in.empty()
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// peek returns the next n bytes, at most inBytes, without taking them; what there is on an error.
func (in *incoming) peek(n int) ([]byte, error) {
	for in.buffered() < n {
		if err := in.more(); err != nil {
			if in.buf == nil {
				return nil, err
			}
			return in.buf[in.from:in.to], err
		}
	}
	return in.buf[in.from : in.from+n], nil
}

// skip takes n buffered bytes.
func (in *incoming) skip(n int) {
	in.from += n
	in.empty()
}

// Read implements io.Reader; what does not fit the buffer goes past it.
func (in *incoming) Read(p []byte) (int, error) {
	if in.buffered() == 0 {
		return in.nc.Read(p)
	}
	n := copy(p, in.buf[in.from:in.to])
	in.skip(n)
	return n, nil
}

// empty gives the buffer back when nothing is in it.
func (in *incoming) empty() {
	if in.buf != nil && in.from == in.to {
		inBufs.Put(in.buf)
		in.buf, in.from, in.to = nil, 0, 0
	}
}

// free gives the buffer back; nothing is read any more.
func (in *incoming) free() {
	in.from = in.to
	in.empty()
}

// rawConn gives access to the socket; nil when it is none.
func rawConn(nc net.Conn) syscall.RawConn {
	if s, ok := nc.(syscall.Conn); ok && haveSocket {
		if r, err := s.SyscallConn(); err == nil {
			return r
		}
	}
	return nil
}

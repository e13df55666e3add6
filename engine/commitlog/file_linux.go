package commitlog

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

const haveVector = true

// stretch is the most that one call writes, and where calls end. Linux makes the pages of its cache as large as a write
// lets it, and pages of megabytes cost more to find than they spare: groups of several megabytes took a fifth longer as
// one write, and a seventh more of the processor (ext4, Linux 6.18; 32 KiB to 128 KiB do equally well).
const stretch = 64 << 10

// writeVector is pwritev until everything is written. It changes pieces.
func writeVector(fd uintptr, pieces [][]byte, pos int64) error {
	for len(pieces) > 0 {
		n, err := writeSome(int(fd), pieces, pos)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case n == 0:
			return io.ErrShortWrite
		}
		pos += int64(n)
		for len(pieces) > 0 && n >= len(pieces[0]) {
			n -= len(pieces[0])
			pieces = pieces[1:]
		}
		if n > 0 {
			pieces[0] = pieces[0][n:]
		}
	}
	return nil
}

// writeSome writes up to the end of pos's stretch.
func writeSome(fd int, pieces [][]byte, pos int64) (int, error) {
	const maxPieces = 1024 // IOV_MAX
	room, last := int(stretch-pos%stretch), 0
	for last < min(len(pieces), maxPieces)-1 && len(pieces[last]) < room {
		room -= len(pieces[last])
		last++
	}
	whole := pieces[last]
	pieces[last] = whole[:min(room, len(whole))]
	n, err := unix.Pwritev(fd, pieces[:last+1], pos)
	pieces[last] = whole
	return n, err
}

package commitlog

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

const haveVector = true

// writeVector is pwritev until everything is written.
func writeVector(fd uintptr, pieces [][]byte, pos int64) error {
	const maxPieces = 1024 // IOV_MAX
	for len(pieces) > 0 {
		n, err := unix.Pwritev(int(fd), pieces[:min(len(pieces), maxPieces)], pos)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case n == 0:
			return io.ErrShortWrite
		}
		pos += int64(n)
		for n > 0 && len(pieces) > 0 {
			if n < len(pieces[0]) {
				pieces[0] = pieces[0][n:]
				break
			}
			n -= len(pieces[0])
			pieces = pieces[1:]
		}
	}
	return nil
}

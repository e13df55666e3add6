package commitlog

import "github.com/cockroachdb/pebble/v2/vfs"

// writeAt writes the pieces back to back at pos, with few system calls where the file has a descriptor.
func writeAt(f vfs.File, pieces [][]byte, pos int64) error {
	if fd := f.Fd(); haveVector && fd != vfs.InvalidFd {
		return writeVector(fd, pieces, pos)
	}
	for _, p := range pieces {
		if _, err := f.WriteAt(p, pos); err != nil {
			return err
		}
		pos += int64(len(p))
	}
	return nil
}

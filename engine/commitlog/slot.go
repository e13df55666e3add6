package commitlog

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// diskCategory labels our writes in Pebble's disk statistics.
const diskCategory vfs.DiskWriteCategory = "commit-log"

// slot is one file of the ring; segments come and go in it.
type slot struct {
	number uint32
	file   vfs.File // nil until the writer or the preparer creates it
	// touched is where blocks begin that were never written: a write there changes the file's metadata, which the next
	// sync has to write too. Of who leads the log's writing.
	touched int64
	// lent says that sockets may hold pages of the file: it is not used again, so that they send what they were given.
	lent atomic.Bool
}

func slotName(n uint32) string { return fmt.Sprintf("%06d.log", n) }

func parseSlot(name string) (uint32, bool) {
	base, ok := strings.CutSuffix(name, ".log")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(base, 10, 32)
	return uint32(n), err == nil
}

// create opens the slot's file, sets its space aside and makes its directory entry durable.
func (o *Options) create(s *slot) error {
	f, err := o.FS.OpenReadWrite(o.FS.PathJoin(o.Dir, slotName(s.number)), diskCategory)
	if err != nil {
		return fmt.Errorf("creating log file %s: %w", slotName(s.number), err)
	}
	_ = f.Preallocate(0, o.SegmentBytes) // where it cannot, the file grows as it is written
	if err := SyncDir(o.FS, o.Dir); err != nil {
		return fmt.Errorf("creating log file %s: %w", slotName(s.number), closeAfter(f, err))
	}
	s.file = f
	return nil
}

// SyncDir makes a directory's entries durable.
func SyncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("opening directory %s: %w", dir, err)
	}
	if err := d.Sync(); err != nil {
		return fmt.Errorf("syncing directory %s: %w", dir, closeAfter(d, err))
	}
	return d.Close()
}

// closeAfter closes f on a path that already failed with err, which is what the caller must hear.
func closeAfter(f vfs.File, err error) error {
	if cerr := f.Close(); cerr != nil {
		return fmt.Errorf("%w (and closing: %v)", err, cerr)
	}
	return err
}

// FileName is the name of a slot's file.
func FileName(slot uint32) string { return slotName(slot) }

package commitlog

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// diskCategory labels our writes in Pebble's disk statistics.
const diskCategory vfs.DiskWriteCategory = "commit-log"

// slot is one file of the ring; segments come and go in it.
type slot struct {
	number uint32
	file   vfs.File // nil until the writer or the preparer creates it
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

// create opens the slot's file and makes its directory entry durable.
func (o *Options) create(s *slot) error {
	f, err := o.FS.OpenReadWrite(o.FS.PathJoin(o.Dir, slotName(s.number)), diskCategory)
	if err != nil {
		return fmt.Errorf("creating log file %s: %w", slotName(s.number), err)
	}
	if err := SyncDir(o.FS, o.Dir); err != nil {
		return fmt.Errorf("creating log file %s: %w", slotName(s.number), closeAfter(f, err))
	}
	s.file = f
	return nil
}

// zeroFill writes the whole file once, so that later writes change no metadata and fdatasync stays cheap.
func (o *Options) zeroFill(s *slot) error {
	zero := make([]byte, min(o.SegmentBytes, 1<<20))
	for pos := int64(0); pos < o.SegmentBytes; pos += int64(len(zero)) {
		if _, err := s.file.WriteAt(zero[:min(int64(len(zero)), o.SegmentBytes-pos)], pos); err != nil {
			return fmt.Errorf("filling log file %s: %w", slotName(s.number), err)
		}
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("filling log file %s: %w", slotName(s.number), err)
	}
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

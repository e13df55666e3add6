package enginetest

import (
	"bytes"
	"errors"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Fault is how a disk fails. From the After-th operation of its kind on, Times of them fail, all when Times is 0.
type Fault struct {
	Kind  FaultKind
	After int
	Times int
}

// FaultKind says which operations fail, and how.
type FaultKind string

// The kinds of faults.
const (
	FailWrite  FaultKind = "write: EIO"     // half of what was written arrives
	FailSync   FaultKind = "sync: EIO"      // and later syncs of these bytes lie, as after a failed fsync on Linux
	FailSpace  FaultKind = "extend: ENOSPC" // files neither grow nor appear
	FailCreate FaultKind = "create: EIO"
	FailName   FaultKind = "rename: EIO" // links and removals, too
)

// FaultKinds are all kinds.
var FaultKinds = []FaultKind{FailWrite, FailSync, FailSpace, FailCreate, FailName}

// Fail breaks the disk in one more way, also of a disk that failed already.
func (f *FS) Fail(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, &fault)
}

// Struck counts the operations that failed, by kind and site.
func (f *FS) Struck() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]int{}
	for k, n := range f.struck {
		out[k] = n
	}
	return out
}

// Sick reports whether any operation failed.
func (f *FS) Sick() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.struck) > 0
}

var errIO = &vfsError{syscall.EIO}

// vfsError is what the system's calls return.
type vfsError struct{ error }

func (e *vfsError) Unwrap() error { return e.error }

// strike decides about one operation that is of the kinds given.
func (f *FS) strike(site string, kinds ...FaultKind) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.faults {
		for _, kind := range kinds {
			if x.Kind != kind || x.Times < 0 {
				continue
			}
			if x.After > 0 {
				x.After--
				continue
			}
			if x.Times > 0 {
				if x.Times--; x.Times == 0 {
					x.Times = -1 // spent
				}
			}
			f.struck[string(kind)+" "+site]++
			if kind == FailSpace {
				return &vfsError{syscall.ENOSPC}
			}
			return errIO
		}
	}
	return nil
}

// lost are sectors of a file whose sync failed: the system believes them to be on disk, so that no later sync brings them
// there. Who writes them again does.
type lost struct {
	old     []byte // what is on disk
	sectors map[int64]bool
}

// lose notes a failed sync of a file: what it should have made durable is lost. f.gate is held.
func (f *FS) lose(name string) {
	synced, err1 := f.synced().UnsafeGetFileDataBuffer(name)
	all, err2 := f.all().UnsafeGetFileDataBuffer(name)
	if err2 != nil {
		return
	}
	if err1 != nil {
		synced = nil
	}
	l := &lost{old: bytes.Clone(synced), sectors: map[int64]bool{}}
	for at := 0; at < len(all); at += sector {
		now := all[at:min(at+sector, len(all))]
		if at >= len(synced) || !bytes.Equal(now, synced[at:min(at+sector, len(synced))]) {
			l.sectors[int64(at/sector)] = true
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lostIn[name] = l
}

// found notes that bytes were written again.
func (f *FS) found(name string, off, n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := f.lostIn[name]; l != nil {
		for s := off / sector; s*sector < off+n; s++ {
			delete(l.sectors, s)
		}
		if len(l.sectors) == 0 {
			delete(f.lostIn, name)
		}
	}
}

func (f *FS) lostOf(name string) *lost {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lostIn[name]
}

// syncBut syncs a file except for the sectors that are lost: their old content is on disk, the new one only in memory.
func (f *FS) syncBut(l *lost, file vfs.File, name string) error {
	f.reads.Lock()
	defer f.reads.Unlock()
	h, err := f.OpenReadWriteQuietly(name)
	if err != nil {
		return file.Sync()
	}
	saved := map[int64][]byte{}
	for s := range l.sectors {
		b := make([]byte, sector)
		n, _ := h.ReadAt(b, s*sector)
		saved[s] = b[:n]
		was := make([]byte, n)
		if s*sector < int64(len(l.old)) {
			copy(was, l.old[s*sector:])
		}
		_, err = h.WriteAt(was, s*sector)
	}
	err = errors.Join(err, h.Sync())
	for s, b := range saved {
		_, werr := h.WriteAt(b, s*sector)
		err = errors.Join(err, werr)
	}
	return errors.Join(err, h.Close())
}

// OpenReadWriteQuietly opens a file past all faults.
func (f *FS) OpenReadWriteQuietly(name string) (vfs.File, error) {
	return f.MemFS.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
}

package enginetest

import "github.com/cockroachdb/pebble/v2/vfs"

// file is an open file of an FS.
type file struct {
	vfs.File
	fs   *FS
	name string
	dir  bool
}

// Write implements vfs.File.
func (f *file) Write(p []byte) (n int, err error) {
	_ = f.fs.change(func() error { n, err = f.File.Write(p); return err })
	return n, err
}

// WriteAt implements vfs.File.
func (f *file) WriteAt(p []byte, off int64) (n int, err error) {
	_ = f.fs.change(func() error { n, err = f.File.WriteAt(p, off); return err })
	return n, err
}

// Sync implements vfs.File.
func (f *file) Sync() error {
	if f.fs.sync(Site(f.name, f.dir)) {
		return nil
	}
	return f.fs.change(f.File.Sync)
}

// SyncData implements vfs.File. Its site is told from Sync's: group commits use one, recovery the other.
func (f *file) SyncData() error {
	if f.fs.sync(Site(f.name, f.dir) + ":data") {
		return nil
	}
	return f.fs.change(f.File.Sync)
}

// SyncTo implements vfs.File; it promises nothing, and does nothing.
func (f *file) SyncTo(int64) (bool, error) { return false, nil }

// Preallocate implements vfs.File.
func (f *file) Preallocate(int64, int64) error { return nil }

// Prefetch implements vfs.File.
func (f *file) Prefetch(int64, int64) error { return nil }

package guard

import "github.com/cockroachdb/pebble/v2/vfs"

// gate is the disk as a guarded database sees it: it never hears of a change that failed, and once one did, it makes no
// more. Pebble holds no lock there that readers need. Removals are left to Pebble: a file too many does no harm.
type gate struct {
	vfs.FS
	g *Guard
}

func (f gate) open(fn func() (vfs.File, error)) (vfs.File, error) {
	if err := f.g.end(f.g.Err()); err != nil {
		return nil, err
	}
	h, err := fn()
	if err := f.g.end(err); err != nil {
		return nil, err
	}
	return file{h, f.g}, nil
}

// Create implements vfs.FS.
func (f gate) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(func() (vfs.File, error) { return f.FS.Create(name, c) })
}

// ReuseForWrite implements vfs.FS.
func (f gate) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(func() (vfs.File, error) { return f.FS.ReuseForWrite(oldname, newname, c) })
}

// Link implements vfs.FS.
func (f gate) Link(oldname, newname string) error { return f.g.end(f.FS.Link(oldname, newname)) }

// Rename implements vfs.FS.
func (f gate) Rename(oldname, newname string) error { return f.g.end(f.FS.Rename(oldname, newname)) }

// OpenDir implements vfs.FS.
func (f gate) OpenDir(name string) (vfs.File, error) {
	d, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return file{d, f.g}, nil
}

// Unwrap implements vfs.FS.
func (f gate) Unwrap() vfs.FS { return f.FS }

// file is a file or directory that is changed.
type file struct {
	vfs.File
	g *Guard
}

// Write implements vfs.File.
func (f file) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.g.end(err)
}

// WriteAt implements vfs.File.
func (f file) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	return n, f.g.end(err)
}

// Sync implements vfs.File.
func (f file) Sync() error { return f.g.end(f.File.Sync()) }

// SyncData implements vfs.File.
func (f file) SyncData() error { return f.g.end(f.File.SyncData()) }

// SyncTo implements vfs.File.
func (f file) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	return full, f.g.end(err)
}

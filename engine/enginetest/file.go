package enginetest

import "github.com/cockroachdb/pebble/v2/vfs"

// file is an open file of an FS.
type file struct {
	vfs.File
	fs   *FS
	name string
	dir  bool
	at   int64 // where Write goes on
}

func (f *file) site() string { return Site(f.name, f.dir) }

// Write implements vfs.File.
func (f *file) Write(p []byte) (n int, err error) {
	n, err = f.write(p, f.at, func(p []byte) (int, error) { return f.File.Write(p) })
	f.at += int64(n)
	return n, err
}

// WriteAt implements vfs.File.
func (f *file) WriteAt(p []byte, off int64) (n int, err error) {
	return f.write(p, off, func(p []byte) (int, error) { return f.File.WriteAt(p, off) })
}

// write writes through fn, or less than all of p on a disk that fails.
func (f *file) write(p []byte, off int64, fn func([]byte) (int, error)) (n int, err error) {
	_ = f.fs.change(func() error {
		kinds := []FaultKind{FailWrite}
		if st, serr := f.File.Stat(); serr == nil && off+int64(len(p)) > st.Size() {
			kinds = append(kinds, FailSpace)
		}
		fault := f.fs.strike(f.site(), kinds...)
		if fault != nil {
			p = p[:len(p)/2/sector*sector]
		}
		if len(p) > 0 || fault == nil {
			n, err = fn(p)
		}
		f.fs.found(f.name, off, int64(n))
		if fault != nil {
			err = fault
		}
		return err
	})
	return n, err
}

// ReadAt implements vfs.File.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.fs.reads.RLock()
	defer f.fs.reads.RUnlock()
	return f.File.ReadAt(p, off)
}

// Sync implements vfs.File.
func (f *file) Sync() error { return f.sync(f.site()) }

// SyncData implements vfs.File. Its site is told from Sync's: group commits use one, recovery the other.
func (f *file) SyncData() error { return f.sync(f.site() + ":data") }

func (f *file) sync(site string) error {
	if f.fs.sync(site) {
		return nil
	}
	return f.fs.change(func() error {
		if err := f.fs.strike(site, FailSync); err != nil {
			if !f.dir {
				f.fs.lose(f.name)
			}
			return err
		}
		if l := f.fs.lostOf(f.name); l != nil && !f.dir {
			return f.fs.syncBut(l, f.File, f.name)
		}
		return f.File.Sync()
	})
}

// SyncTo implements vfs.File; it promises nothing, and does nothing.
func (f *file) SyncTo(int64) (bool, error) { return false, nil }

// Preallocate implements vfs.File.
func (f *file) Preallocate(int64, int64) error {
	return f.fs.strike(f.site(), FailSpace)
}

// Prefetch implements vfs.File.
func (f *file) Prefetch(int64, int64) error { return nil }

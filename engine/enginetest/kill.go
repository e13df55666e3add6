package enginetest

import (
	"path"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// rebuild makes dst look like all to the running system and like synced to a later power loss. The memory file system
// has no copy that keeps the difference, so files are written twice: the synced content with a sync, the rest without.
// Files whose directory entry is not durable count as synced themselves: their writers sync them first.
func rebuild(dst, synced, all *vfs.MemFS, dir string) error {
	was, err := synced.List(dir)
	if err != nil {
		was = nil // the directory itself is not durable
	}
	is, err := all.List(dir)
	if err != nil {
		return err
	}
	durable, alive := set(was), set(is)
	for _, name := range was {
		if err := copyEntry(dst, synced, path.Join(dir, name), true); err != nil {
			return err
		}
	}
	if err := syncDir(dst, dir); err != nil {
		return err
	}
	for _, name := range was {
		if !alive[name] {
			if err := dst.RemoveAll(path.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	for _, name := range is {
		full := path.Join(dir, name)
		if err := copyEntry(dst, all, full, !durable[name]); err != nil {
			return err
		}
		st, err := all.Stat(full)
		if err != nil {
			return err
		}
		if st.IsDir() {
			if err := rebuild(dst, synced, all, full); err != nil {
				return err
			}
		}
	}
	return nil
}

func set(names []string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}

// copyEntry writes one file's content from src over dst's, or makes the directory.
func copyEntry(dst, src *vfs.MemFS, name string, sync bool) error {
	st, err := src.Stat(name)
	if err != nil {
		return err
	}
	if st.IsDir() {
		return dst.MkdirAll(name, 0o755)
	}
	data, err := src.UnsafeGetFileDataBuffer(name)
	if err != nil {
		return err
	}
	f, err := dst.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if len(data) > 0 {
		if _, err = f.Write(data); err != nil {
			return err
		}
	}
	if sync {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return f.Close()
}

func syncDir(fs *vfs.MemFS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return err
	}
	return d.Close()
}

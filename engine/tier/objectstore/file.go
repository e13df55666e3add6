package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// File keeps objects as files under a directory. Put writes a temporary file,
// syncs it and links or renames it into place, then syncs the directories, so
// that an object is either absent or whole and durable, also after power loss.
type File struct {
	fs   vfs.FS
	dir  string
	next atomic.Uint64

	mu      sync.Mutex
	settled map[string]bool // directories whose own entry is durable
}

// tempDir holds unfinished puts; it is emptied by OpenFile.
const tempDir = ".tmp"

// fileCategory labels the writes in Pebble's disk statistics.
const fileCategory vfs.DiskWriteCategory = "object-store"

// OpenFile opens or creates the store in dir of a file system. Temporary files of
// an earlier process are removed, so only one process may use a directory (the
// engine's data directory lock and the fence object see to that).
func OpenFile(on vfs.FS, dir string) (*File, error) {
	dir = on.PathJoin(dir) // clean
	f := &File{fs: on, dir: dir, settled: map[string]bool{dir: true}}
	tmp := on.PathJoin(dir, tempDir)
	if err := on.RemoveAll(tmp); err != nil {
		return nil, fmt.Errorf("clearing %s: %w", tmp, err)
	}
	if err := on.MkdirAll(tmp, 0o755); err != nil {
		return nil, fmt.Errorf("creating the object store directory: %w; choose a directory this user may write, with --object-store file:///dir", err)
	}
	for _, d := range []string{dir, on.PathDir(dir)} {
		if err := f.syncDir(d); err != nil && !errors.Is(err, fs.ErrPermission) { // a parent may be closed to us
			return nil, fmt.Errorf("syncing the object store directory: %w", err)
		}
	}
	return f, nil
}

// Dir returns the store's directory, for a caller that compares devices.
func (f *File) Dir() string { return f.dir }

func (f *File) path(name string) (string, error) {
	if !fs.ValidPath(name) || name == "." || strings.HasPrefix(name, tempDir+"/") || name == tempDir {
		return "", &Error{Class: ClassOther, Err: fmt.Errorf("object name %q is not a relative path", name)}
	}
	return f.fs.PathJoin(append([]string{f.dir}, strings.Split(name, "/")...)...), nil
}

// Put implements Objects.
func (f *File) Put(ctx context.Context, name string, body io.ReadSeeker, size int64, o PutOptions) error {
	path, err := f.path(name)
	if err != nil {
		return err
	}
	tmp := f.fs.PathJoin(f.dir, tempDir, fmt.Sprintf("%d-%d", os.Getpid(), f.next.Add(1)))
	defer func() { _ = f.fs.Remove(tmp) }() // it is there only if something failed, or as a second name
	if err := f.writeSynced(ctx, tmp, body, size); err != nil {
		return fmt.Errorf("writing object %s: %w", name, err)
	}
	dir := f.fs.PathDir(path)
	if err := f.settle(dir); err != nil {
		return fmt.Errorf("creating the directory of object %s: %w", name, err)
	}
	if o.IfAbsent {
		// link(2) fails if the name exists: the one atomic put-if-absent POSIX has.
		if err := f.fs.Link(tmp, path); errors.Is(err, fs.ErrExist) {
			return &Error{Class: ClassOther, Status: 0, Code: "PreconditionFailed", Err: fmt.Errorf("object %s: %w", name, ErrExists)}
		} else if err != nil {
			return fmt.Errorf("placing object %s: %w", name, err)
		}
	} else if err := f.fs.Rename(tmp, path); err != nil {
		return fmt.Errorf("placing object %s: %w", name, err)
	}
	if err := f.syncDir(dir); err != nil {
		return fmt.Errorf("syncing the directory of object %s: %w", name, err)
	}
	return nil
}

// settle makes a directory whose entry in its parent is durable. That it exists
// does not say so: another put may be about to sync it, or a process that died.
func (f *File) settle(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.settled[dir] {
		return nil
	}
	if err := f.fs.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var missing []string
	for d := dir; !f.settled[d]; d = f.fs.PathDir(d) {
		if err := f.syncDir(f.fs.PathDir(d)); err != nil {
			return err
		}
		missing = append(missing, d)
	}
	for _, d := range missing {
		f.settled[d] = true
	}
	return nil
}

func (f *File) writeSynced(ctx context.Context, path string, body io.ReadSeeker, size int64) (err error) {
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return err
	}
	w, err := f.fs.Create(path, fileCategory)
	if err != nil {
		return err
	}
	defer func() {
		if e := w.Close(); err == nil {
			err = e
		}
	}()
	n, err := io.Copy(w, &contextReader{ctx: ctx, r: io.LimitReader(body, size)})
	if err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("body has %d of %d bytes: %w", n, size, io.ErrUnexpectedEOF)
	}
	return w.Sync()
}

// contextReader ends a copy between reads when its context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// Get implements Objects.
func (f *File) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	path, err := f.path(name)
	if err != nil {
		return nil, err
	}
	r, err := f.fs.Open(path)
	if err != nil {
		return nil, err
	}
	return &section{r: &contextReader{ctx: ctx, r: io.NewSectionReader(r, offset, length)}, c: r, left: length}, nil
}

// section turns an early end of an object into io.ErrUnexpectedEOF.
type section struct {
	r    io.Reader
	c    io.Closer
	left int64
}

func (s *section) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.left -= int64(n)
	if errors.Is(err, io.EOF) && s.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (s *section) Close() error { return s.c.Close() }

// Head implements Objects.
func (f *File) Head(_ context.Context, name string) (int64, error) {
	path, err := f.path(name)
	if err != nil {
		return 0, err
	}
	info, err := f.fs.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Delete implements Objects.
func (f *File) Delete(_ context.Context, name string) error {
	path, err := f.path(name)
	if err != nil {
		return err
	}
	if err := f.fs.Remove(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return f.syncDir(f.fs.PathDir(path))
}

// List implements Lister.
func (f *File) List(ctx context.Context, prefix string, fn func(name string, size int64) error) error {
	return f.walk(ctx, "", prefix, fn)
}

// walk lists a directory by its name in the store, "" for all.
func (f *File) walk(ctx context.Context, dir, prefix string, fn func(name string, size int64) error) error {
	entries, err := f.fs.List(f.fs.PathJoin(append([]string{f.dir}, strings.Split(dir, "/")...)...))
	if err != nil {
		return err
	}
	slices.Sort(entries)
	for _, entry := range entries {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		name := strings.TrimPrefix(dir+"/"+entry, "/")
		if name == tempDir || !strings.HasPrefix(name, prefix) && !strings.HasPrefix(prefix, name+"/") {
			continue
		}
		path, err := f.path(name)
		if err != nil {
			return err
		}
		info, err := f.fs.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // deleted meanwhile
		case err != nil:
			return err
		case info.IsDir():
			if err := f.walk(ctx, name, prefix, fn); err != nil {
				return err
			}
		case strings.HasPrefix(name, prefix):
			if err := fn(name, info.Size()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *File) syncDir(dir string) error {
	d, err := f.fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// File keeps objects as files under a directory. Put writes a temporary file,
// syncs it and links or renames it into place, then syncs the directories, so
// that an object is either absent or whole and durable, also after power loss.
type File struct {
	dir  string
	next atomic.Uint64
}

// tempDir holds unfinished puts; it is emptied by OpenFile.
const tempDir = ".tmp"

// OpenFile opens or creates the store in dir. Temporary files of an earlier
// process are removed, so only one process may use a directory (the engine's
// data directory lock and the fence object see to that).
func OpenFile(dir string) (*File, error) {
	tmp := filepath.Join(dir, tempDir)
	if err := os.RemoveAll(tmp); err != nil {
		return nil, fmt.Errorf("clearing %s: %w", tmp, err)
	}
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return nil, fmt.Errorf("creating the object store directory: %w; choose a directory this user may write, with --object-store file:///dir", err)
	}
	if err := syncDir(dir); err != nil {
		return nil, fmt.Errorf("syncing the object store directory: %w", err)
	}
	return &File{dir: dir}, nil
}

// Dir returns the store's directory, for a caller that compares devices.
func (f *File) Dir() string { return f.dir }

func (f *File) path(name string) (string, error) {
	if !fs.ValidPath(name) || name == "." || strings.HasPrefix(name, tempDir+"/") || name == tempDir {
		return "", &Error{Class: ClassOther, Err: fmt.Errorf("object name %q is not a relative path", name)}
	}
	return filepath.Join(f.dir, filepath.FromSlash(name)), nil
}

// Put implements Objects.
func (f *File) Put(ctx context.Context, name string, body io.ReadSeeker, size int64, o PutOptions) error {
	path, err := f.path(name)
	if err != nil {
		return err
	}
	tmp := filepath.Join(f.dir, tempDir, fmt.Sprintf("%d-%d", os.Getpid(), f.next.Add(1)))
	defer os.Remove(tmp)
	if err := writeSynced(ctx, tmp, body, size); err != nil {
		return fmt.Errorf("writing object %s: %w", name, err)
	}
	made, err := f.makeParents(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("creating the directory of object %s: %w", name, err)
	}
	if o.IfAbsent {
		// link(2) fails if the name exists: the one atomic put-if-absent POSIX has.
		if err := os.Link(tmp, path); errors.Is(err, fs.ErrExist) {
			return &Error{Class: ClassOther, Status: 0, Code: "PreconditionFailed", Err: fmt.Errorf("object %s: %w", name, ErrExists)}
		} else if err != nil {
			return fmt.Errorf("placing object %s: %w", name, err)
		}
	} else if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("placing object %s: %w", name, err)
	}
	for _, dir := range made {
		if err := syncDir(dir); err != nil {
			return fmt.Errorf("syncing the directory of object %s: %w", name, err)
		}
	}
	return nil
}

// makeParents creates dir and returns the directories to sync, innermost first:
// dir itself and the parents of those that were missing.
func (f *File) makeParents(dir string) ([]string, error) {
	sync := []string{dir}
	for d := dir; d != f.dir; d = filepath.Dir(d) {
		if _, err := os.Stat(d); err == nil {
			break
		}
		sync = append(sync, filepath.Dir(d))
	}
	return sync, os.MkdirAll(dir, 0o755)
}

func writeSynced(ctx context.Context, path string, body io.ReadSeeker, size int64) (err error) {
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return err
	}
	w, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
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
	r, err := os.Open(path)
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
	info, err := os.Stat(path)
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
	if err := os.Remove(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// List implements Lister.
func (f *File) List(ctx context.Context, prefix string, fn func(name string, size int64) error) error {
	return filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		rel, err := filepath.Rel(f.dir, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		if d.IsDir() {
			if name == tempDir {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasPrefix(name, prefix) {
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted meanwhile
		} else if err != nil {
			return err
		}
		return fn(name, info.Size())
	})
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

package enginetest

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/streamkeeper-io/streamkeeper/engine/tier"
)

// Store is an object store as one process sees it: when the process's file system dies, it is cut off. Objects
// themselves survive crashes, as in a real store.
type Store struct {
	tier.Objects
	fs *FS
}

// NewStore ties a store to a file system.
func NewStore(o tier.Objects, fs *FS) *Store { return &Store{Objects: o, fs: fs} }

var errGone = errors.New("the process is gone")

// call changes the store. A crash may come before it, or between the change and the answer.
func (s *Store) call(step string, fn func() error) error {
	s.fs.step("store/" + step)
	err := s.gated(fn)
	s.fs.step("store/" + step + " answer")
	return errors.Join(err, s.gated(func() error { return nil }))
}

func (s *Store) gated(fn func() error) error {
	s.fs.gate.RLock()
	defer s.fs.gate.RUnlock()
	if s.fs.dead {
		return errGone
	}
	return fn()
}

// kind is what a name's first folder says.
func kind(op, name string) string {
	folder, _, _ := strings.Cut(name, "/")
	return op + " " + folder
}

// Put implements tier.Objects.
func (s *Store) Put(ctx context.Context, name string, body io.ReadSeeker, size int64, o tier.PutOptions) error {
	// The body reads through the file system, which a waiting crash blocks; so it is read before the gate.
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	return s.call(kind("put", name), func() error { return s.Objects.Put(ctx, name, readSeeker(data), size, o) })
}

// Delete implements tier.Objects.
func (s *Store) Delete(ctx context.Context, name string) error {
	return s.call(kind("delete", name), func() error { return s.Objects.Delete(ctx, name) })
}

// List implements tier.Lister.
func (s *Store) List(ctx context.Context, prefix string, fn func(name string, size int64) error) error {
	l, ok := s.Objects.(tier.Lister)
	if !ok {
		return errors.New("the store cannot list")
	}
	return l.List(ctx, prefix, fn)
}

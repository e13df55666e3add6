// Package objectstore is the engine's view of an object store: four calls over
// named immutable objects, with a local directory (file://) and S3 (s3://)
// behind them, and errors that say which kind of failure happened.
//
// It refuses to retry, to cache and to time out by itself: each method is one
// attempt, bounded by the context it is given, so that whoever calls it (package
// tier) sees, counts and classifies every attempt.
//
// Start reading at Objects, then Open.
package objectstore

import (
	"context"
	"io"
)

// Objects is the object store. Implementations are safe for concurrent use.
// Names are slash-separated relative paths of [a-z0-9./_-] characters. Every
// error is an *Error or wraps one (see Classify); a missing object is
// ClassNotFound.
type Objects interface {
	// Put stores size bytes (at least one) of body under name, whole or not at all. With
	// IfAbsent it fails with an error that is ErrExists if name exists. The body
	// is read from its start, possibly more than once.
	Put(ctx context.Context, name string, body io.ReadSeeker, size int64, o PutOptions) error
	// Get returns length bytes from offset. The caller closes the reader; the
	// context must live until then. A body shorter than asked ends in
	// io.ErrUnexpectedEOF.
	Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
	// Head returns an object's size.
	Head(ctx context.Context, name string) (size int64, err error)
	// Delete removes an object; a missing one is no error.
	Delete(ctx context.Context, name string) error
}

// PutOptions says how Put treats an existing object.
type PutOptions struct {
	// IfAbsent refuses to replace an object (S3: If-None-Match: *).
	IfAbsent bool
}

// Lister is what a store may offer besides Objects: an on-demand scrub and a
// restore walk it; normal operation never does.
type Lister interface {
	// List calls fn for each object whose name starts with prefix, in no
	// promised order, until fn returns an error, which List returns.
	List(ctx context.Context, prefix string, fn func(name string, size int64) error) error
}

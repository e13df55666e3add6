package tiertest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/objectstore"
)

// Fault is what happens to a call instead of, or before, its effect.
type Fault struct {
	Err   error         // the call fails with it
	Delay time.Duration // before anything happens; ends with the context
	Hang  bool          // the call never answers: a black hole until the context ends
	Lost  bool          // the effect takes place, the answer is Err
	Late  time.Duration // a PUT's call fails with Err now, its effect comes after so long
	Torn  int64         // a GET's body breaks off after so many bytes
	Flip  bool          // a GET's body has a bit flipped
}

// Call describes a call to Store.Inject.
type Call struct {
	Op   string // put, get, head, delete
	Name string
	N    int // calls before this one, of all kinds
}

// Store is an object store in memory. Inject, if set, chooses each call's fault;
// it must be set before the first call, and it may be called concurrently.
type Store struct {
	Inject func(Call) Fault
	// IgnoreIfAbsent makes puts overwrite always, like stores that do not know
	// If-None-Match.
	IgnoreIfAbsent bool

	mu       sync.Mutex
	objects  map[string][]byte
	calls    int
	inFlight int
	most     int
}

// NewStore returns an empty store.
func NewStore() *Store { return &Store{objects: map[string][]byte{}} }

// Errors by class, as S3 would answer.
var (
	ErrSlowDown = &objectstore.Error{Class: objectstore.ClassThrottled, Status: 503, Code: "SlowDown", Err: fmt.Errorf("please reduce your request rate")}
	ErrDenied   = &objectstore.Error{Class: objectstore.ClassDenied, Status: 403, Code: "AccessDenied", Err: fmt.Errorf("access denied")}
	ErrInternal = &objectstore.Error{Class: objectstore.ClassDown, Status: 500, Code: "InternalError", Err: fmt.Errorf("internal error")}
	ErrRefused  = fmt.Errorf("dial tcp: connection refused")
)

func (s *Store) enter(ctx context.Context, op, name string) (Fault, error) {
	s.mu.Lock()
	call := Call{Op: op, Name: name, N: s.calls}
	s.calls++
	s.inFlight++
	s.most = max(s.most, s.inFlight)
	s.mu.Unlock()
	var f Fault
	if s.Inject != nil {
		f = s.Inject(call)
	}
	if f.Hang {
		<-ctx.Done()
		return f, context.Cause(ctx)
	}
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return f, context.Cause(ctx)
		case <-timer.C:
		}
	}
	if f.Err != nil && !f.Lost && f.Late == 0 {
		return f, f.Err
	}
	return f, nil
}

func (s *Store) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
}

// Put implements objectstore.Objects.
func (s *Store) Put(ctx context.Context, name string, body io.ReadSeeker, size int64, o objectstore.PutOptions) error {
	f, err := s.enter(ctx, "put", name)
	defer s.leave()
	if err != nil {
		return err
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return err
	}
	b, err := io.ReadAll(io.LimitReader(body, size))
	if err != nil {
		return err
	}
	if int64(len(b)) != size {
		return io.ErrUnexpectedEOF
	}
	if f.Late > 0 {
		time.AfterFunc(f.Late, func() { s.Replace(name, b) })
		return f.Err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.objects[name]; ok && o.IfAbsent && !s.IgnoreIfAbsent {
		return &objectstore.Error{Class: objectstore.ClassOther, Status: 412, Code: "PreconditionFailed", Err: objectstore.ErrExists}
	}
	s.objects[name] = b
	return f.Err
}

// Get implements objectstore.Objects.
func (s *Store) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	f, err := s.enter(ctx, "get", name)
	defer s.leave()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.objects[name]
	if !ok {
		return nil, notFound(name)
	}
	if offset < 0 || length < 0 || offset+length > int64(len(b)) {
		return nil, &objectstore.Error{Class: objectstore.ClassOther, Status: 416, Code: "InvalidRange", Err: fmt.Errorf("%d bytes from %d of %d", length, offset, len(b))}
	}
	part := slices.Clone(b[offset : offset+length])
	if f.Flip {
		part[len(part)/2] ^= 4
	}
	if f.Torn > 0 && f.Torn < length {
		return io.NopCloser(io.MultiReader(bytes.NewReader(part[:f.Torn]), broken{})), nil
	}
	return io.NopCloser(bytes.NewReader(part)), nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Head implements objectstore.Objects.
func (s *Store) Head(ctx context.Context, name string) (int64, error) {
	_, err := s.enter(ctx, "head", name)
	defer s.leave()
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.objects[name]
	if !ok {
		return 0, notFound(name)
	}
	return int64(len(b)), nil
}

// Delete implements objectstore.Objects.
func (s *Store) Delete(ctx context.Context, name string) error {
	f, err := s.enter(ctx, "delete", name)
	defer s.leave()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, name)
	return f.Err
}

func notFound(name string) error {
	return &objectstore.Error{Class: objectstore.ClassNotFound, Status: 404, Code: "NoSuchKey", Err: fmt.Errorf("no object %s", name)}
}

// Names returns the names of the objects with the prefix, sorted.
func (s *Store) Names(prefix string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range maps.Keys(s.objects) {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// List implements objectstore.Lister.
func (s *Store) List(_ context.Context, prefix string, fn func(name string, size int64) error) error {
	for _, name := range s.Names(prefix) {
		if err := fn(name, int64(len(s.Object(name)))); err != nil {
			return err
		}
	}
	return nil
}

// Object returns an object's bytes, nil if there is none.
func (s *Store) Object(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[name]
}

// Replace overwrites an object behind everybody's back.
func (s *Store) Replace(name string, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[name] = b
}

// MostInFlight is the largest number of concurrent calls so far.
func (s *Store) MostInFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

// Calls is the number of calls so far.
func (s *Store) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

package broker

import (
	"math"
	"math/rand/v2"
	"sync"
)

// Fetch sessions (KIP-227): the client names its partitions once and then only tells what changed; the broker answers
// only partitions with news.

const (
	maxSessions     = 10_000
	maxSessionParts = 500_000 // in all sessions together
)

// fetchSessions are all sessions. A session ends with the connection that used it last: a client that comes back by
// another one is told FETCH_SESSION_ID_NOT_FOUND and starts a new session, which costs it one full request.
type fetchSessions struct {
	mu    sync.Mutex
	byID  map[int32]*fetchSession
	parts int
}

// fetchSession belongs to one request at a time while busy is set; otherwise to the holder of fetchSessions.mu.
type fetchSession struct {
	id    int32
	epoch int32 // the next request's
	byID  bool  // partitions are named by topic id
	busy  bool
	conn  *conn
	parts []*askedPart
	index map[fetchKey]*askedPart
	next  int // where the next answer starts, so that all partitions get their turn
}

func newFetchSessions() *fetchSessions { return &fetchSessions{byID: map[int32]*fetchSession{}} }

// fetchContext is what a request asks for after its session was consulted.
type fetchContext struct {
	code    int16
	session *fetchSession // nil without one
	full    bool          // answer every partition
	parts   []*askedPart
}

// begin applies a request to its session.
func (s *fetchSessions) begin(r *fetchRequest, version int16, c *conn) fetchContext {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.epoch <= 0 || version < 7 {
		if old := s.byID[r.session]; old != nil && r.session != 0 {
			s.removeLocked(old)
		}
		ctx := fetchContext{full: true, parts: r.parts}
		if r.epoch == 0 && version >= 7 {
			ctx.session = s.createLocked(r, version, c)
		}
		return ctx
	}
	f := s.byID[r.session]
	switch {
	case f == nil:
		return fetchContext{code: codeFetchSessionUnknown}
	case f.busy || f.epoch != r.epoch:
		return fetchContext{code: codeFetchSessionEpoch}
	case f.byID != (version >= 13):
		return fetchContext{code: codeSessionTopicID}
	}
	if !s.updateLocked(f, r) {
		s.removeLocked(f)
		return fetchContext{full: true}
	}
	f.busy, f.conn = true, c
	f.epoch = nextEpoch(f.epoch)
	return fetchContext{session: f, parts: f.rotated()}
}

func nextEpoch(e int32) int32 {
	if e == math.MaxInt32 {
		return 1
	}
	return e + 1
}

// createLocked makes a session when there is room; without one the client simply goes on with full requests.
func (s *fetchSessions) createLocked(r *fetchRequest, version int16, c *conn) *fetchSession {
	if len(s.byID) >= maxSessions || s.parts+len(r.parts) > maxSessionParts {
		return nil
	}
	f := &fetchSession{epoch: 1, byID: version >= 13, busy: true, conn: c, index: make(map[fetchKey]*askedPart, len(r.parts))}
	for f.id == 0 || s.byID[f.id] != nil {
		f.id = 1 + rand.Int32N(math.MaxInt32-1)
	}
	for _, p := range r.parts {
		if f.index[p.fetchKey] == nil {
			f.index[p.fetchKey] = p
			f.parts = append(f.parts, p)
		}
	}
	s.byID[f.id] = f
	s.parts += len(f.parts)
	return f
}

// updateLocked applies what an incremental request changes; false when no partition is left.
func (s *fetchSessions) updateLocked(f *fetchSession, r *fetchRequest) bool {
	s.parts -= len(f.parts)
	defer func() { s.parts += len(f.parts) }()
	for _, p := range r.parts {
		old := f.index[p.fetchKey]
		if old == nil {
			f.index[p.fetchKey] = p
			f.parts = append(f.parts, p)
			continue
		}
		old.offset, old.maxBytes, old.epoch, old.lastEpoch = p.offset, p.maxBytes, p.epoch, p.lastEpoch
	}
	if len(r.forgotten) > 0 {
		for _, k := range r.forgotten {
			delete(f.index, k)
		}
		kept := make([]*askedPart, 0, len(f.index))
		for _, p := range f.parts {
			if f.index[p.fetchKey] == p {
				kept = append(kept, p)
			}
		}
		f.parts = kept
	}
	return len(f.parts) > 0 && s.parts+len(f.parts) <= maxSessionParts+maxParts
}

// rotated is the partitions from next on.
func (f *fetchSession) rotated() []*askedPart {
	if f.next >= len(f.parts) {
		f.next = 0
	}
	if f.next == 0 {
		return f.parts
	}
	list := make([]*askedPart, 0, len(f.parts))
	return append(append(list, f.parts[f.next:]...), f.parts[:f.next]...)
}

// end gives the session back after its request was answered; served is how many leading partitions had their turn.
func (s *fetchSessions) end(f *fetchSession, served int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.busy = false
	if n := len(f.parts); n > 0 {
		f.next = (f.next + served) % n
	}
}

// removeLocked forgets a session; a request that still uses it may go on.
func (s *fetchSessions) removeLocked(f *fetchSession) {
	if s.byID[f.id] == f {
		delete(s.byID, f.id)
		s.parts -= len(f.parts)
	}
}

// connClosed ends the sessions a connection used last.
func (s *fetchSessions) connClosed(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.byID {
		if f.conn == c {
			s.removeLocked(f)
		}
	}
}

func (s *fetchSessions) count() (sessions, parts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byID), s.parts
}

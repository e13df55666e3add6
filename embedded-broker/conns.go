package broker

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	closedKeep = time.Minute // how long a closed connection is remembered
	closedMax  = 4096        // how many at most
)

// How a connection ended.
const (
	connOpen  = ""      // still open
	connFIN   = "fin"   // the peer closed it in order
	connRST   = "rst"   // the peer, or something between, reset it
	connLocal = "local" // we closed it: idle, too slow, garbage, shutdown
)

// connState is what is known of a connection, open or closed, at one moment.
type connState struct {
	id                                   uint64
	host                                 string
	clientID                             string
	software, softwareVersion            string // "" when the client does not say (ApiVersions below 3)
	openedAt                             time.Time
	lastRequest                          time.Time
	lastFetch, lastHeartbeat, lastCommit time.Time       // zero = never on this connection
	tcp                                  syscall.RawConn // for TCP_INFO; nil once closed
	closed                               string          // connOpen, connFIN, connRST or connLocal
	closedAt                             time.Time
}

// conns is the registry of connections: limits, and what a loss's autopsy asks for. Safe for concurrent use.
type conns struct {
	max, perIP int
	now        func() time.Time

	mu     sync.Mutex
	open   map[*conn]struct{}
	byIP   map[string]int
	closed []connState // oldest first, bounded by closedMax and closedKeep
	nextID uint64
}

func newConns(limit, perIP int, now func() time.Time) *conns {
	return &conns{max: limit, perIP: perIP, now: now, open: map[*conn]struct{}{}, byIP: map[string]int{}}
}

// add registers a connection, or says which limit it would pass.
func (s *conns) add(c *conn) (refused string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= s.max {
		return "too many connections"
	}
	if s.byIP[c.host] >= s.perIP {
		return "too many connections from this address"
	}
	s.nextID++
	c.id = s.nextID
	s.open[c] = struct{}{}
	s.byIP[c.host]++
	return ""
}

// remove moves a connection to the closed ones.
func (s *conns) remove(c *conn, how string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.open[c]; !ok {
		return
	}
	delete(s.open, c)
	if s.byIP[c.host]--; s.byIP[c.host] == 0 {
		delete(s.byIP, c.host)
	}
	st := c.state()
	st.tcp, st.closed, st.closedAt = nil, how, s.now()
	s.forgetLocked(st.closedAt)
	if len(s.closed) >= closedMax {
		s.closed = s.closed[1:]
	}
	s.closed = append(s.closed, st)
}

func (s *conns) forgetLocked(now time.Time) {
	n := 0
	for n < len(s.closed) && now.Sub(s.closed[n].closedAt) > closedKeep {
		n++
	}
	s.closed = s.closed[n:]
}

// byClient lists the connections of a client on a host, open ones first, then those closed within the last minute, the
// latest first.
func (s *conns) byClient(clientID, host string) []connState {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetLocked(s.now())
	var found []connState
	for c := range s.open {
		if c.host == host && c.client() == clientID {
			found = append(found, c.state())
		}
	}
	for i := len(s.closed) - 1; i >= 0; i-- {
		if st := &s.closed[i]; st.host == host && st.clientID == clientID {
			found = append(found, *st)
		}
	}
	return found
}

func (s *conns) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

func (s *conns) all() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*conn, 0, len(s.open))
	for c := range s.open {
		list = append(list, c)
	}
	return list
}

// drain waits until no connection has an unanswered request, or ctx ends.
func (s *conns) drain(ctx context.Context) {
	for {
		busy := false
		for _, c := range s.all() {
			c.stopReading()
			busy = busy || c.busy()
		}
		if !busy {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (s *conns) closeAll() {
	for _, c := range s.all() {
		c.close(connLocal, "the broker stops")
	}
}

// times are a connection's last requests by kind, as Unix nanoseconds; 0 = never.
type times struct{ request, fetch, heartbeat, commit atomic.Int64 }

func timeOf(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

func hostOf(a net.Addr) string {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.IP.String()
	}
	return a.String()
}

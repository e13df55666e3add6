package broker

import (
	"sync"
	"time"
)

const (
	leaverWait = 4 * time.Second // a client that closes has closed its connection by then
	maxLeavers = 1024            // waiting at once; more in so short a time is a shutdown, not a poll timeout
)

// leavers are members that have just sent LeaveGroup. Most libraries give no reason with it: a client that closes hangs
// up right after, one whose application did not poll in time stays connected. Safe for concurrent use.
type leavers struct {
	mu      sync.Mutex
	waiting []leaver // oldest first
}

type leaver struct {
	at             time.Time
	group, member  string
	connID         uint64
	clientID, host string
	attrs          attrs
}

func (l *leavers) add(x leaver) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) < maxLeavers {
		l.waiting = append(l.waiting, x)
	}
}

// due takes those whose wait is over.
func (l *leavers) due(now time.Time) []leaver {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for n < len(l.waiting) && now.Sub(l.waiting[n].at) >= leaverWait {
		n++
	}
	out := l.waiting[:n:n]
	l.waiting = l.waiting[n:]
	return out
}

// tellStayed tells of the members that left and are still connected, with the autopsy of their loss.
func (s *groups) tellStayed(now time.Time) {
	for _, x := range s.leavers.due(now) {
		for _, c := range s.b.conns.byClient(x.clientID, x.host) {
			if c.id == x.connID && c.closed == connOpen {
				s.b.telemetry.Emit(groupEvent(now, "leaver_stayed", x.group, x.member+" left the group and is still connected", x.attrs))
			}
		}
	}
}

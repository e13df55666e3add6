package broker

import (
	"net/netip"
	"sync"
	"time"
)

const (
	peerWindow  = 15 * time.Second // losses on one host within it count as one event
	maxLosses   = 1024             // remembered per host
	natClients  = 20               // more clients than this behind one address: probably a proxy
	staleFactor = 1.5              // a heartbeat later than this many intervals is overdue
)

// hostIndex knows which members live on which host, over all groups: who shares the fate of a lost member. Safe for
// concurrent use.
type hostIndex struct {
	mu     sync.Mutex
	byHost map[string]*hostEntry
}

type hostEntry struct {
	members map[*memberTrack]struct{}
	losses  []hostLoss // oldest first
}

type hostLoss struct {
	at    time.Time
	group string
}

// peers is what happened to the other groups' members on a host.
type peers struct {
	members int // of other groups, on the host
	lost    int // of those, lost within peerWindow
	silent  int // of those, with an overdue heartbeat
}

func newHostIndex() *hostIndex { return &hostIndex{byHost: map[string]*hostEntry{}} }

func (h *hostIndex) add(m *memberTrack) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.byHost[m.host]
	if e == nil {
		e = &hostEntry{members: map[*memberTrack]struct{}{}}
		h.byHost[m.host] = e
	}
	e.members[m] = struct{}{}
}

// remove forgets a member.
func (h *hostIndex) remove(m *memberTrack) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.byHost[m.host]; e != nil {
		delete(e.members, m)
	}
}

// lost notes a loss that the member's neighbours may share.
func (h *hostIndex) lost(m *memberTrack, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.byHost[m.host]
	if e == nil {
		return
	}
	if len(e.losses) == maxLosses {
		e.losses = e.losses[1:]
	}
	e.losses = append(e.losses, hostLoss{now, m.group})
}

// peers looks at the members of other groups than group on host.
func (h *hostIndex) peers(host, group string, now time.Time) (p peers) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.byHost[host]
	if e == nil {
		return p
	}
	for m := range e.members {
		if m.group == group {
			continue
		}
		p.members++
		if m.overdue(now) {
			p.silent++
		}
	}
	for _, l := range e.losses {
		if l.group != group && now.Sub(l.at) <= peerWindow {
			p.lost++
		}
	}
	return p
}

// sharing counts the members with the same client id on the same host, m included: more than one cannot be told apart by
// client id and host.
func (h *hostIndex) sharing(clientID, host string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.byHost[host]; e != nil {
		for m := range e.members {
			if m.clientID == clientID {
				n++
			}
		}
	}
	return n
}

// others counts the members of other groups on the host, and all.
func (h *hostIndex) others(host, group string) (others, all int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.byHost[host]; e != nil {
		for m := range e.members {
			if m.group != group {
				others++
			}
		}
		all = len(e.members)
	}
	return others, all
}

// sweep drops hosts without members and recent losses.
func (h *hostIndex) sweep(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for host, e := range h.byHost {
		for len(e.losses) > 0 && now.Sub(e.losses[0].at) > peerWindow {
			e.losses = e.losses[1:]
		}
		if len(e.members) == 0 && len(e.losses) == 0 {
			delete(h.byHost, host)
		}
	}
}

// nearby says whether an address is loopback or private: no proxy of a provider stands between.
func nearby(host string) bool {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	ip = ip.Unmap()
	return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast()
}

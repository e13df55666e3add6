package broker

import (
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/group"
)

// attrs are an event's attributes: strings, float64s and bools. What is not known is left out; it never becomes zero.
type attrs map[string]any

// seconds sets a duration.
func (a attrs) seconds(name string, d time.Duration) { a[name] = d.Seconds() }

// age sets how long before at t was, if t is known.
func (a attrs) age(name string, at, t time.Time) {
	if !t.IsZero() && !t.After(at) {
		a[name] = at.Sub(t).Seconds()
	}
}

// tcpState is what the kernel knows of a connection.
type tcpState struct {
	unackedBytes        int64 // sent and not acknowledged by the peer
	lastAck             time.Duration
	keepaliveUnanswered int64 // probes since the peer last answered
}

// autopsy says what was known of a lost member at the moment of its loss: how old its signs of life were, how its
// connections ended or what the kernel knows of them, and how its neighbours on the host fare. It is taken before the
// member is forgotten.
func (s *groups) autopsy(at time.Time, m group.Member, mt *memberTrack, a attrs) {
	a.seconds("session_timeout_s", m.SessionTimeout)
	a.seconds("rebalance_timeout_s", m.RebalanceTimeout)
	a.age("heartbeat_age_s", at, m.LastHeartbeat)
	a.age("stable_for_s", at, m.StableSince)
	if m.HeartbeatInterval > 0 {
		a.seconds("heartbeat_interval_s", m.HeartbeatInterval)
	}
	near := s.hosts.peers(m.Host, mt.group, at)
	a["peers_on_host"] = float64(near.members)
	a["peers_on_host_lost_15s"] = float64(near.lost)
	a["peers_on_host_silent"] = float64(near.silent)

	mt.mu.Lock()
	fetched, committed, records := mt.lastFetch, mt.lastCommit, mt.lastRecords
	if readsAhead(mt.library) {
		records = 0 // not the batch that the application works on
	}
	mt.mu.Unlock()
	conns := s.connsOf(mt)
	for _, c := range conns {
		// A consumer that was assigned nothing, or whose fetches could not be told from another group's, still has
		// connections of its own.
		if c.lastFetch.After(fetched) {
			fetched = c.lastFetch
		}
	}
	a.age("fetch_age_s", at, fetched)
	a.age("commit_age_s", at, committed)
	if records > 0 {
		a["last_fetch_records"] = float64(records)
	}
	if !fetched.IsZero() && !m.LastHeartbeat.IsZero() {
		a["fetch_before_heartbeat_s"] = m.LastHeartbeat.Sub(fetched).Seconds()
	}
	a.connections(at, conns)
}

// connsOf lists the connections that are the member's beyond doubt, the one it speaks to the coordinator on first. With
// several members behind one client id and host only that one is known.
func (s *groups) connsOf(mt *memberTrack) []connState {
	mt.mu.Lock()
	own, ownID := mt.conn, mt.connID
	known := own != nil || ownID != 0
	last := connState{id: ownID, openedAt: mt.connOpened, closed: mt.connClosed, closedAt: mt.connClosedAt}
	mt.mu.Unlock()
	if own != nil {
		last = own.state()
	}
	alone := s.hosts.sharing(mt.clientID, mt.host) <= 1
	if !alone {
		// Its fetches may go over connections we cannot tell apart from another member's.
		last.lastFetch = time.Time{}
		if !known {
			return nil
		}
		return []connState{last}
	}
	all := s.b.conns.byClient(mt.clientID, mt.host)
	if !known {
		return all
	}
	list := []connState{last}
	for _, c := range all {
		if c.id != ownID {
			list = append(list, c)
		} else if own == nil {
			list[0] = c
		}
	}
	return list
}

// connections sets what is known of a member's connections. It sets nothing when none was ever seen, as after a restart
// of the broker.
func (a attrs) connections(at time.Time, conns []connState) {
	if len(conns) == 0 {
		return
	}
	open, latest := -1, 0
	for i, c := range conns {
		if c.closed == connOpen && open < 0 {
			open = i
		}
		if c.closedAt.After(conns[latest].closedAt) {
			latest = i
		}
	}
	a["conn_open"] = open >= 0
	if open < 0 {
		a["conn_closed"] = conns[latest].closed
		a.age("conn_closed_before_s", at, conns[latest].closedAt)
		return
	}
	a["conn_closed"] = connOpen
	a.path(conns)
}

// path sets what the kernel knows of the way to the peer. Of several open connections the one with unacknowledged bytes
// that has waited longest speaks: the path is as dead as its deadest connection.
func (a attrs) path(conns []connState) {
	var worst tcpState
	asked := false
	for _, c := range conns {
		if c.tcp == nil {
			continue
		}
		st, ok := tcpStateOf(c.tcp)
		if !ok {
			continue
		}
		probes := max(st.keepaliveUnanswered, worst.keepaliveUnanswered)
		if !asked || st.unackedBytes > 0 && (worst.unackedBytes == 0 || st.lastAck > worst.lastAck) {
			worst = st
		}
		worst.keepaliveUnanswered, asked = probes, true
	}
	if asked {
		a["unacked_bytes"] = float64(worst.unackedBytes)
		a.seconds("last_ack_recv_s", worst.lastAck)
		a["keepalive_unanswered"] = float64(worst.keepaliveUnanswered)
	}
}

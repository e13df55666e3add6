package group

import (
	"slices"
	"time"
)

// Protocol is one assignor a member can use, with its subscription in the assignor's format.
type Protocol struct {
	Name     string
	Metadata []byte
}

// Member is a copy of what the group knows about one member.
type Member struct {
	ID, InstanceID   string // InstanceID is "" for a dynamic member
	ClientID, Host   string
	SessionTimeout   time.Duration
	RebalanceTimeout time.Duration
	Metadata         []byte   // subscription under the selected protocol, nil while none is selected
	Assignment       []byte   // nil before the first assignment
	Topics           []string // subscribed topics, sorted; nil when the metadata is not a consumer's
	LastHeartbeat    time.Time
	// HeartbeatInterval is the median gap between the member's last heartbeats; 0 while fewer than two gaps are known.
	HeartbeatInterval time.Duration
	// StableSince is when the last round this member took part in became stable; zero when it never did.
	StableSince time.Time
	JoinedAt    time.Time
}

// Key names the member across restarts: its instance id, else client id and host.
func (m Member) Key() string {
	if m.InstanceID != "" {
		return m.InstanceID
	}
	return m.ClientID + "@" + m.Host
}

const heartbeatGaps = 8

type member struct {
	id, instance, client, host string
	session, rebalanceTimeout  time.Duration
	protocols                  []Protocol
	assignment                 []byte
	isNew                      bool // in its first JoinGroup: it has no session yet
	join, sync                 parked
	skipAssignment             bool // its parked JoinGroup understands skip_assignment (v9)
	expires                    time.Time

	pulse
	stableSince, joinedAt time.Time
}

// pulse is a member's signs of life.
type pulse struct {
	lastHeartbeat time.Time
	gaps          [heartbeatGaps]time.Duration
	gapCount      int
	lastGapFrom   time.Time // previous Heartbeat request; zero after a join
}

// parked is a request that waits for an answer.
type parked struct {
	token   Token
	waiting bool
}

func (m *member) key() string {
	if m.instance != "" {
		return m.instance
	}
	return m.client + "@" + m.host
}

func (m *member) metadata(protocol string) []byte {
	for _, p := range m.protocols {
		if p.Name == protocol {
			return p.Metadata
		}
	}
	return nil
}

func (m *member) supports(protocol string) bool {
	return slices.ContainsFunc(m.protocols, func(p Protocol) bool { return p.Name == protocol })
}

func (m *member) matches(protocols []Protocol) bool {
	return slices.EqualFunc(m.protocols, protocols, func(a, b Protocol) bool {
		return a.Name == b.Name && string(a.Metadata) == string(b.Metadata)
	})
}

// topics reads the subscription from the first protocol that is a consumer's; nil when there is none.
func (m *member) topics() []string {
	for _, p := range m.protocols {
		if topics, err := SubscribedTopics(p.Metadata); err == nil {
			return topics
		}
	}
	return nil
}

// beat notes a sign of life. Only Heartbeat requests make gaps: joins and syncs come at other intervals.
func (m *pulse) beat(now time.Time, heartbeat bool) {
	m.lastHeartbeat = now
	if !heartbeat {
		m.lastGapFrom = time.Time{}
		return
	}
	if !m.lastGapFrom.IsZero() && now.After(m.lastGapFrom) {
		m.gaps[m.gapCount%heartbeatGaps] = now.Sub(m.lastGapFrom)
		m.gapCount++
	}
	m.lastGapFrom = now
}

func (m *pulse) heartbeatInterval() time.Duration {
	n := min(m.gapCount, heartbeatGaps)
	if n < 2 {
		return 0
	}
	gaps := slices.Clone(m.gaps[:n])
	slices.Sort(gaps)
	return gaps[n/2]
}

func (m *member) view(protocol string) Member {
	v := Member{
		ID: m.id, InstanceID: m.instance, ClientID: m.client, Host: m.host,
		SessionTimeout: m.session, RebalanceTimeout: m.rebalanceTimeout,
		Assignment: m.assignment, Topics: m.topics(),
		LastHeartbeat: m.lastHeartbeat, HeartbeatInterval: m.heartbeatInterval(),
		StableSince: m.stableSince, JoinedAt: m.joinedAt,
	}
	if protocol != "" {
		v.Metadata = m.metadata(protocol)
	}
	return v
}

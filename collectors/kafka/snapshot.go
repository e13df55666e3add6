package kafka

import (
	"math"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// unset marks an offset that is not known.
const unset int64 = -1

// leaderUnknown is a leader that nobody told, which is different from a partition that has none.
const leaderUnknown int32 = math.MaxInt32

// snapshot is what one round read. Missing entries were not read, which is different from not existing:
// the flags say which lists are whole.
type snapshot struct {
	at         time.Time
	clusterID  string
	controller int32 // -1: none; may be any broker where a quorum keeps it to itself

	brokers      map[int32]brokerState // nil: Metadata failed
	reachable    map[int32]bool        // by node id: connected and answered
	refused      map[int32]bool        // of those that did not: the host is there, and nobody listens
	topics       map[string]*topicState
	topicsRead   bool                         // topics is the whole list
	hidden       map[streamkeeper.Entity]bool // left out of the lists, and kept from us: not deleted, as far as we can know
	groups       map[string]*groupState
	groupsRead   bool                         // groups is the whole list
	asked        int                          // partitions whose heads were asked for
	heads        int                          // and how many were told
	configs      map[string]map[string]string // by topic; nil when not read in this round
	dynamic      map[string]map[string]string // what was set on running brokers, by node id; "" is for all of them
	disks        map[int32]brokerDisks        // of the brokers whose turn it was
	quorum       *quorumState                 // nil when not read in this round
	held         map[partition]openTxn        // at the stable offsets that stand still
	quotas       map[quota]float64            // bytes a second; nil when not read in this round
	tiered       map[partition]tieredState    // of topics with tiered storage; nil when not read in this round
	quotasSet    bool                         // with quotas: somebody has one, of whatever kind
	unattributed bool                         // with quotas: some of users, of addresses, or of time
	logged       []logged                     // what coordinators wrote since the last round, each group's in order
	loggedAll    bool                         // and the group log was read to its end just now
	copied       []copied                     // what brokers wrote of the remote store since the last round, each partition's in order
	copiedAll    bool                         // and the tier log was read to its end lately
	slots        map[int32]int                // segments that a broker copies at once; nil when not known of all

	taking sync.Mutex // of groups and topics' offsets: answers come side by side

	failing sync.Mutex // of errors
	errors  []error

	exported bool                  // read from what exporters tell of the cluster
	told     map[int32]brokerState // the brokers that they name; whether one answers they do not tell
}

type brokerState struct {
	address, rack string
}

type topicState struct {
	id       [16]byte
	internal bool
	parts    []partState // by partition
	newest   time.Time   // of the record with the largest timestamp; zero when not known
}

// partState is a partition; offsets are unset when they could not be read.
type partState struct {
	leader           int32   // -1: none; leaderUnknown: nobody told
	replicas         []int32 // the nodes that should hold it
	isr              []int32 // and those that do
	start, lso, head int64
	newest           listed // the record with the latest stamp
}

type groupState struct {
	coordinator   int32  // who listed it
	state         string // Kafka's word
	kip848        bool
	assignor      string
	epoch         int32 // of a KIP-848 group: it grows with each change of members, topics or assignor
	assigned      int32 // the epoch that what members are to own was last worked out for
	behind        int   // members that have not come to the epoch yet
	moving        int   // partitions that members are to own and do not yet
	described     bool  // state and members are known
	members       []memberState
	nameless      bool // members are only counted
	count         int  // and so many they are
	committed     table[position]
	committedRead bool // committed is whole
}

type memberState struct {
	id, instance, client, host string
	assigned                   []partition
}

// partition names one partition of a topic.
type partition struct {
	topic string
	index int32
}

// fail keeps what could not be read. It is safe for concurrent use; nil is nothing.
func (s *snapshot) fail(err error) {
	if err == nil {
		return
	}
	s.failing.Lock()
	defer s.failing.Unlock()
	s.errors = append(s.errors, err)
}

// forgetOffsets leaves what Metadata told.
func (t *topicState) forgetOffsets() {
	t.newest = time.Time{}
	for i := range t.parts {
		p := &t.parts[i]
		p.start, p.lso, p.head = unset, unset, unset
		p.newest = listed{unset, unset}
	}
}

func newPartState() partState {
	return partState{leader: -1, start: unset, lso: unset, head: unset, newest: listed{unset, unset}}
}

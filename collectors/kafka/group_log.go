package kafka

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// groupLog is the topic that coordinators keep what they know of groups in: who is in them, and what was committed when.
const groupLog = "__consumer_offsets"

// logged is one thing that a coordinator wrote of a group. One of commit, roster, joined and left is set.
type logged struct {
	group string
	at    time.Time

	commit partition      // on which something was committed
	roster []loggedMember // all members of a classic group, after a rebalance: not nil, and empty when none is left
	joined *loggedMember  // of a KIP-848 group, or something of it changed
	left   string         // the id of a member of a KIP-848 group that is none any more

	generation int32 // with a roster: how many rebalances have ended
	forgotten  bool  // with a roster: there is nothing more of the classic group
}

// loggedMember is a member as its coordinator wrote it down. Timeouts are 0 when they are not told.
type loggedMember struct {
	memberState
	session, rebalance time.Duration
}

// The versions of keys, which are kinds of records. Those left out tell of a group's epochs and of what its members are to
// own, which a description tells too.
const (
	keyOfCommit  = 1 // and 0
	keyOfRoster  = 2
	keyOf848Join = 5
)

// readLogged reads what a record tells; ok is false for what is of no interest. Of a record that is not as it should be the
// error says what is wrong. It takes no more memory than some times the record.
func readLogged(r *kgo.Record) (l logged, ok bool, err error) {
	if len(r.Key) < 2 {
		return l, false, fmt.Errorf("a key of %d bytes", len(r.Key))
	}
	l.at = r.Timestamp
	key := kbin.Reader{Src: r.Key}
	switch version := key.Int16(); version {
	case keyOfCommit, 0:
		return l.readCommit(r)
	case keyOfRoster:
		return l.readRoster(r)
	case keyOf848Join:
		l.group = key.String()
		return l.read848(r, key.String(), key.Ok())
	}
	return l, false, nil
}

func (l logged) readCommit(r *kgo.Record) (logged, bool, error) {
	if r.Value == nil { // it was forgotten
		return l, false, nil
	}
	var key kmsg.OffsetCommitKey
	if err := key.ReadFrom(r.Key); err != nil {
		return l, false, fmt.Errorf("the key of a commit: %w", err)
	}
	l.group, l.commit = key.Group, partition{key.Topic, key.Partition}
	return l, true, nil
}

func (l logged) readRoster(r *kgo.Record) (logged, bool, error) {
	var key kmsg.GroupMetadataKey
	if err := key.ReadFrom(r.Key); err != nil {
		return l, false, fmt.Errorf("the key of a group: %w", err)
	}
	l.group, l.roster = key.Group, []loggedMember{}
	if r.Value == nil {
		l.forgotten = true
		return l, true, nil
	}
	var value kmsg.GroupMetadataValue
	if err := value.ReadFrom(r.Value); err != nil {
		return l, false, fmt.Errorf("members of %s: %w", key.Group, err)
	}
	if value.ProtocolType != "" && value.ProtocolType != consumerProtocol {
		return l, false, nil
	}
	l.generation = value.Generation
	for _, m := range value.Members {
		member := loggedMember{
			memberState: memberState{id: m.MemberID, client: m.ClientID, host: plainHost(m.ClientHost), assigned: assignedBy(m.Assignment)},
			session:     milliseconds(m.SessionTimeoutMillis), rebalance: milliseconds(m.RebalanceTimeoutMillis),
		}
		if m.InstanceID != nil {
			member.instance = *m.InstanceID
		}
		l.roster = append(l.roster, member)
	}
	return l, true, nil
}

// read848 reads a member of a KIP-848 group. kmsg does not know these records: their fields are in Kafka's
// ConsumerGroupMemberMetadataValue.json. What follows the rebalance timeout is of no interest.
func (l logged) read848(r *kgo.Record, id string, whole bool) (logged, bool, error) {
	switch {
	case !whole:
		return l, false, fmt.Errorf("the key of a member of %s ends early", l.group)
	case r.Value == nil:
		l.left = id
		return l, id != "", nil
	}
	b := kbin.Reader{Src: r.Value}
	b.Int16() // version
	instance := b.CompactNullableString()
	b.CompactNullableString() // rack
	m := &loggedMember{memberState: memberState{id: id, client: b.CompactString(), host: plainHost(b.CompactString())}}
	for range b.CompactArrayLen() { // topics
		if b.CompactString(); !b.Ok() {
			break
		}
	}
	b.CompactNullableString() // pattern of topics
	m.rebalance = milliseconds(b.Int32())
	if !b.Ok() {
		return l, false, fmt.Errorf("a member of %s: its record of %d bytes ends early", l.group, len(r.Value))
	}
	if instance != nil {
		m.instance = *instance
	}
	l.joined = m
	return l, true, nil
}

func milliseconds(n int32) time.Duration {
	if n <= 0 || n == math.MaxInt32 {
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

// assignedBy are the partitions that a classic group's leader gave a member, in order; nil when that cannot be read.
func assignedBy(assignment []byte) []partition {
	var a kmsg.ConsumerMemberAssignment
	if len(assignment) == 0 || a.ReadFrom(assignment) != nil {
		return nil
	}
	var out []partition
	for _, t := range a.Topics {
		out = slices.Grow(out, len(t.Partitions))
		for _, index := range t.Partitions {
			out = append(out, partition{t.Topic, index})
		}
	}
	slices.SortFunc(out, comparePartitions)
	return out
}

package broker

import (
	"fmt"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/group"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// encodeGroup makes Kafka's GroupMetadataValue.
func encodeGroup(s group.Snapshot) []byte {
	v := kmsg.NewGroupMetadataValue()
	v.Version = 3
	v.ProtocolType, v.Generation = s.ProtocolType, s.Generation
	v.Protocol, v.Leader = textOrNil(s.Protocol), textOrNil(s.Leader)
	v.CurrentStateTimestamp = s.StateSince.UnixMilli()
	for _, m := range s.Members {
		w := kmsg.NewGroupMetadataValueMember()
		w.MemberID, w.InstanceID, w.ClientID, w.ClientHost = m.ID, textOrNil(m.InstanceID), m.ClientID, m.Host
		w.SessionTimeoutMillis = int32(m.SessionTimeout / time.Millisecond)
		w.RebalanceTimeoutMillis = int32(m.RebalanceTimeout / time.Millisecond)
		w.Subscription, w.Assignment = m.Subscription, m.Assignment
		v.Members = append(v.Members, w)
	}
	return v.AppendTo(nil)
}

func decodeGroup(b []byte) (group.Snapshot, error) {
	var v kmsg.GroupMetadataValue
	if err := v.ReadFrom(b); err != nil {
		return group.Snapshot{}, fmt.Errorf("reading group metadata: %w", err)
	}
	s := group.Snapshot{
		ProtocolType: v.ProtocolType, Generation: v.Generation, Protocol: text(v.Protocol), Leader: text(v.Leader),
	}
	if v.CurrentStateTimestamp > 0 {
		s.StateSince = time.UnixMilli(v.CurrentStateTimestamp)
	}
	for _, m := range v.Members {
		s.Members = append(s.Members, group.SnapshotMember{
			ID: m.MemberID, InstanceID: text(m.InstanceID), ClientID: m.ClientID, Host: m.ClientHost,
			SessionTimeout:   time.Duration(m.SessionTimeoutMillis) * time.Millisecond,
			RebalanceTimeout: time.Duration(m.RebalanceTimeoutMillis) * time.Millisecond,
			Subscription:     m.Subscription, Assignment: m.Assignment,
		})
	}
	return s, nil
}

func engineRecords(records []group.Record) []engine.GroupRecord {
	all := make([]engine.GroupRecord, len(records))
	for i, r := range records {
		all[i] = engine.GroupRecord(r)
	}
	return all
}

// load brings back the groups of the last run. What cannot be read is reported and starts anew: its members rejoin and
// its offsets, which lie apart, stay.
func (s *groups) load() {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, b := range s.engine.LoadGroups() {
		snapshot, err := decodeGroup(b)
		var m *group.Group
		if err == nil {
			m, err = group.Restore(name, now, s.options, snapshot)
		}
		if err != nil {
			s.b.log.Warn("a stored group is unreadable and starts empty", "group", name, "error", err)
			m = group.New(name, now, s.options)
		}
		s.resume(m, now)
	}
	for _, name := range s.engine.GroupsWithRecords() {
		m, err := group.RestoreConsumer(name, now, s.consumerOptions(name), s.topics(), s.engine.LoadGroupRecords(name))
		if err != nil {
			s.b.log.Warn("a stored group is unreadable and starts empty", "group", name, "error", err)
			m = group.NewConsumer(name, now, s.consumerOptions(name), s.topics())
		}
		s.resume(m, now)
	}
	for _, name := range s.engine.GroupsWithOffsets() { // simple groups have no metadata
		if s.byName[name] == nil {
			s.insertLocked(group.New(name, now, s.options))
		}
	}
}

// resume goes on with a group of the last run. s.mu is held.
func (s *groups) resume(m machine, now time.Time) {
	c := s.insertLocked(m)
	for _, v := range m.Members() {
		c.track.join(s, v, nil)
	}
	c.track.assigned(s, m)
	c.track.observe(now, m.Unsettled(), m.Size())
	if at, ok := m.Deadline(); ok {
		s.clock.set(c, at)
	}
}

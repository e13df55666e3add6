package broker

import (
	"iter"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/group"
)

// machine is what the state machines of both protocols have in common: all that is needed to tell, track and administer a
// group. What only one protocol has is reached through coordinated.classic and coordinated.consumer.
type machine interface {
	Name() string
	State() group.State
	StateSince() time.Time
	Generation() int32
	ProtocolType() string
	Size() int
	Idle() bool
	Unsettled() bool
	Members() []group.Member
	Owned() map[string][]group.TopicPartition
	HeartbeatInterval(memberID string) time.Duration

	Leave(now time.Time, leavers []group.Leaving) ([]group.Code, group.Effects)
	Saved(now time.Time, id uint64, code group.Code) group.Effects
	Expire(now time.Time) group.Effects
	Kill(now time.Time) group.Effects
	Deadline() (time.Time, bool)

	Deletable() group.Code
	OffsetsDeletable() group.Code
	OffsetDeletable(topic string) group.Code
}

// classic is the group's machine when it is of the classic protocol, else nil. c.mu is held.
func (c *coordinated) classic() *group.Group {
	m, _ := c.machine.(*group.Group)
	return m
}

// consumer is the group's machine when it is of the consumer protocol (KIP-848), else nil. c.mu is held.
func (c *coordinated) consumer() *group.Consumer {
	m, _ := c.machine.(*group.Consumer)
	return m
}

// kind is the group's type in Kafka's words.
func (c *coordinated) kind() string {
	if c.consumer() != nil {
		return "consumer"
	}
	return "classic"
}

// conversion is the id of saves that no machine asked for: nobody waits for them.
const conversion = 0

// becomeClassic makes an empty group of the consumer protocol a classic one. c.mu is held.
func (s *groups) becomeClassic(c *coordinated, now time.Time) {
	var gone []group.Record
	for key := range s.engine.LoadGroupRecords(c.name) {
		gone = append(gone, group.Record{Key: []byte(key)})
	}
	if len(gone) > 0 {
		c.saves = append(c.saves, group.Save{ID: conversion, Records: gone})
	}
	c.machine = group.New(c.name, now, s.options)
	c.track.kip848 = false
}

// becomeConsumer makes an empty classic group one of the consumer protocol. c.mu is held.
func (s *groups) becomeConsumer(c *coordinated, now time.Time) {
	if c.classic().Generation() > 0 {
		c.saves = append(c.saves, group.Save{ID: conversion, Records: []group.Record{{Key: engine.GroupKey(c.name)}}})
	}
	c.machine = group.NewConsumer(c.name, now, s.consumerOptions(c.name), s.topics())
	c.track.kip848 = true
}

// consumerOptions are the timeouts of a group of the consumer protocol: its own, the cluster's, or those of the start.
func (s *groups) consumerOptions(name string) group.ConsumerOptions {
	cluster, own := s.b.settings(), s.engine.ResourceConfigs(engine.GroupResource, name)
	o := group.ConsumerOptions{
		SessionTimeout: s.consumerSession, HeartbeatInterval: s.consumerHeartbeat, MaxSize: s.options.MaxSize,
	}
	for _, c := range []struct {
		own     string
		cluster time.Duration
		of      *time.Duration
	}{
		{groupSession, cluster.consumerSession, &o.SessionTimeout},
		{groupHeartbeat, cluster.consumerHeartbeat, &o.HeartbeatInterval},
	} {
		if c.cluster > 0 {
			*c.of = c.cluster
		}
		if d := millis(own[c.own]); d > 0 {
			*c.of = d
		}
	}
	return o
}

// topics is what the machines of the consumer protocol see of the cluster.
func (s *groups) topics() group.Topics { return groupTopics{s.engine.TopicView()} }

type groupTopics struct{ view engine.TopicView }

func topicOf(t engine.Topic) group.Topic {
	return group.Topic{ID: group.TopicID(t.ID), Name: t.Name, Partitions: t.Partitions}
}

// Version implements group.Topics.
func (t groupTopics) Version() uint64 { return t.view.Version() }

// ByName implements group.Topics.
func (t groupTopics) ByName(name string) (group.Topic, bool) {
	topic, ok := t.view.ByName(name)
	return topicOf(topic), ok
}

// ByID implements group.Topics.
func (t groupTopics) ByID(id group.TopicID) (group.Topic, bool) {
	topic, ok := t.view.ByID(engine.TopicID(id))
	return topicOf(topic), ok
}

// All implements group.Topics.
func (t groupTopics) All() iter.Seq[group.Topic] {
	return func(yield func(group.Topic) bool) {
		for topic := range t.view.All() {
			if !yield(topicOf(topic)) {
				return
			}
		}
	}
}

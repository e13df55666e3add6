// Package group holds the state machines of one consumer group, as Apache Kafka's GroupCoordinator plays them: Group is
// the classic protocol (JoinGroup, SyncGroup, Heartbeat, LeaveGroup), Consumer is KIP-848 (ConsumerGroupHeartbeat).
//
// It is pure: no clock, no randomness, no I/O, no goroutines, no logging. Time is a parameter of every step, member ids
// are made by the caller, and timers are a deadline the caller asks for:
//
//	effects := g.Join(now, request)          // or Sync, Heartbeat, Leave, Expire, Saved
//	answer(effects.Joins, effects.Syncs)     // requests that can be answered now, by their Token
//	publish(effects.Events)                  // what happened, with Kafka's wording for the reason
//	store(effects.Saves)                     // metadata to persist; report the outcome with Saved
//	wake(g.Deadline())                       // call Expire then; calling it early does no harm
//
// Guarantees: every Token given to Join or Sync is answered exactly once, by this or a later step; a generation never
// decreases; a Group is used by one goroutine at a time (the caller locks).
//
// They refuse to keep committed offsets, or to know what a connection is. A group is of one protocol at a time: the broker
// replaces an empty one by one of the other kind; members of both in one group (Kafka's online migration) are refused.
//
// Read group.go first, then join.go, rebalance.go and sync.go; static.go is KIP-345. For KIP-848 read consumer.go,
// consumer_heartbeat.go and consumer_reconcile.go; assignor.go says who gets what, consumer_records.go how it is stored.
package group

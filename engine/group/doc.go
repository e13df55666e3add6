// Package group is the state machine of one consumer group of the classic protocol (JoinGroup, SyncGroup, Heartbeat,
// LeaveGroup), as Apache Kafka's GroupCoordinator plays it.
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
// It refuses to: assign partitions (the leader does that in this protocol), keep committed offsets, run the KIP-848
// protocol, or know what a connection is.
//
// Read group.go first, then join.go, rebalance.go and sync.go; static.go is KIP-345.
package group

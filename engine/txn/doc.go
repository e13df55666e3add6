// Package txn is the state machine of one transactional id, as Apache Kafka's TransactionCoordinator plays it: who may
// write in its name, which partitions its transaction touched, and how it ended (KIP-98, KIP-360, KIP-890).
//
// It is pure: no clock, no randomness, no I/O, no goroutines, no logging. Time and fresh producer ids are parameters. A
// step returns what the caller must write to the log, in this order and before anything of a later step:
//
//	steps, code := t.End(now, who, true, …)
//	for _, s := range steps { write(s.Save or s.Markers) }
//	answer when the last of them is durable
//
// All of it goes to one log, which a crash cuts at one place: what is durable is always a prefix. So a step need not wait
// for the disk between the decision, the markers and their completion, and a machine may be ahead of the disk: whatever
// it decided next lies behind in the log. After a crash a machine in PrepareCommit or PrepareAbort is finished with
// Finish.
//
// Guarantees: a producer's epoch never goes back under one producer id; a transaction has one outcome; a Transaction is
// used by one goroutine at a time (the caller locks).
//
// It refuses to: know records, write markers itself, or hold a clock for its timeout (ask Expired).
//
// Read transaction.go first, then init.go and end.go.
package txn

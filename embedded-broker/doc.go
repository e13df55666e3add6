// Package broker serves the Kafka protocol over an engine.
//
// It owns connections, frames, memory for requests, the codecs, consumer groups, and the telemetry a diagnosis needs. It
// stores nothing itself: records, topics and offsets belong to package engine. It refuses to replicate, to authenticate
// (listen on loopback) and to run transactions (not announced).
//
// The rules every file keeps:
//
//   - A request's memory is reserved from one budget before its bytes are read; while the budget is spent, sockets are
//     not read (budget.go, frame.go).
//   - No allocation follows a number a client claims: frames are walked before they are decoded (guard.go), and Produce
//     and Fetch have their own codecs.
//   - Requests of a connection are handled in order and answered in order; a handler may answer later, from any
//     goroutine, but exactly once (conn.go).
//   - Nothing here waits without a deadline, and no queue is without a bound.
//
// One file per API, numbered by its key: 00_produce.go, 01_fetch.go and so on. Start with broker.go, conn.go and
// handler.go, then read apis.go for the list of what is spoken.
package broker

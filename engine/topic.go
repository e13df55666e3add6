package engine

import (
	"encoding/hex"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/commitlog"
	"github.com/streamkeeper-io/streamkeeper/engine/index"
)

// TopicID is a topic's identity; it outlives nothing and is never reused.
type TopicID [16]byte

// String is the id in hexadecimal.
func (id TopicID) String() string { return hex.EncodeToString(id[:]) }

// Topic is what the metadata knows about a topic. Configs holds only what was set, never defaults. A Topic is a
// snapshot: do not modify its map.
type Topic struct {
	ID         TopicID
	Name       string
	Partitions int32
	Configs    map[string]string
	CreatedAt  time.Time
	Internal   bool
}

// OffsetKey names what a group committed an offset for.
type OffsetKey struct {
	Topic     string
	Partition int32
}

// CommittedOffset is a group's committed offset; LeaderEpoch is -1 when the client sent none.
type CommittedOffset struct {
	Offset      int64
	LeaderEpoch int32
	Metadata    string
	CommittedAt time.Time
}

// Appended is the outcome of an Append.
type Appended struct {
	BaseOffset    int64 // -1 when Err is set
	LogAppendTime int64 // -1 when the topic keeps the producer's time
	LogStart      int64
	Err           error
}

// Tier says where a read was served from.
type Tier uint8

// The tiers, from fast to slow.
const (
	Hot  Tier = iota // memory
	Warm             // the local log
	Cold             // the object store
)

// String is the tier's name.
func (t Tier) String() string { return [...]string{"hot", "warm", "cold"}[t] }

// AbortedTransaction says whose records readers of committed records skip: Producer's from First to Last, its marker.
type AbortedTransaction = index.Aborted

// Stretch is a piece of the local log's files, to be sent by the kernel.
type Stretch = commitlog.Stretch

// Read is the outcome of a Read. Bytes reference engine memory until Release. Pending means the data is cold, a
// prefetch has started and there are no bytes yet. Files, only with WithFiles, is where the batches lie when there are
// no Bytes of them.
type Read struct {
	Bytes         [][]byte
	Files         []Stretch
	HighWatermark int64
	LastStable    int64
	LogStart      int64
	NextOffset    int64 // offset to read next; equal to the one asked for when there are no bytes
	Records       int64
	Tier          Tier
	Pending       bool
	Aborted       []AbortedTransaction // of ReadCommitted, by marker

	held []commitlog.Releaser
}

// Release gives the memory back. Calling it again does nothing.
func (r *Read) Release() {
	for _, h := range r.held {
		h.Release()
	}
	r.held, r.Bytes, r.Files = nil, nil, nil
}

// Size is how many bytes of batches were read.
func (r *Read) Size() (n int) {
	for i := range r.Files {
		n += int(r.Files[i].Len)
	}
	return n + size(r.Bytes)
}

package engine

import (
	"errors"
	"fmt"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/meta"
)

// The errors callers may test with errors.Is. Everything else is wrapped around one of them or is a caller's mistake.
var (
	ErrUnknownTopic           = meta.ErrUnknownTopic
	ErrTopicExists            = meta.ErrTopicExists
	ErrUnknownPartition       = errors.New("unknown partition")
	ErrInvalidTopic           = meta.ErrInvalidTopic
	ErrInvalidConfig          = meta.ErrInvalidConfig
	ErrInvalidPartitions      = meta.ErrInvalidPartitions
	ErrOffsetOutOfRange       = errors.New("offset out of range")
	ErrStorage                = errors.New("storage failed")
	ErrOutOfOrderSequence     = errors.New("out of order sequence number")
	ErrDuplicateSequence      = errors.New("duplicate sequence number")
	ErrInvalidProducerEpoch   = errors.New("invalid producer epoch")
	ErrInvalidTxnState        = errors.New("no transaction is open for this")
	ErrCoordinatorFenced      = errors.New("a newer coordinator ended a transaction of this producer")
	ErrUnknownProducerID      = errors.New("unknown producer id")
	ErrThrottled              = errors.New("local log is full until the object store takes more")
	ErrFailFast               = fmt.Errorf("backpressure=fail_fast: the %w", ErrThrottled)
	ErrClosed                 = errors.New("engine is closed")
	ErrUnsupported            = errors.New("not supported")
	ErrCorruptBatch           = batch.ErrCorrupt
	ErrRecordTooLarge         = batch.ErrTooLarge
	ErrUnsupportedCompression = batch.ErrCodec
)

// RangeError is the ErrOffsetOutOfRange that Read returns; it says which offsets exist.
type RangeError struct {
	Offset   int64 // what was asked for
	LogStart int64 // first offset that exists
	LogEnd   int64 // offset the next record will get
}

// Error names the bounds.
func (e *RangeError) Error() string {
	return fmt.Sprintf("offset %d is outside %d..%d", e.Offset, e.LogStart, e.LogEnd)
}

// Is makes errors.Is(err, ErrOffsetOutOfRange) true.
func (e *RangeError) Is(target error) bool { return target == ErrOffsetOutOfRange }

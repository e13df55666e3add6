package broker

import (
	"errors"
	"strings"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/txn"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Kafka's error codes that this broker uses; 0 is success.
var (
	codeUnknown              = kerr.UnknownServerError.Code
	codeOffsetOutOfRange     = kerr.OffsetOutOfRange.Code
	codeCorruptMessage       = kerr.CorruptMessage.Code
	codeUnknownTopic         = kerr.UnknownTopicOrPartition.Code
	codeNotLeader            = kerr.NotLeaderForPartition.Code
	codeMessageTooLarge      = kerr.MessageTooLarge.Code
	codeInvalidTopic         = kerr.InvalidTopicException.Code
	codeNotEnoughReplicas    = kerr.NotEnoughReplicas.Code
	codeInvalidRequiredAcks  = kerr.InvalidRequiredAcks.Code
	codeUnsupportedVersion   = kerr.UnsupportedVersion.Code
	codeTopicExists          = kerr.TopicAlreadyExists.Code
	codeInvalidPartitions    = kerr.InvalidPartitions.Code
	codeInvalidReplication   = kerr.InvalidReplicationFactor.Code
	codeInvalidAssignment    = kerr.InvalidReplicaAssignment.Code
	codeInvalidConfig        = kerr.InvalidConfig.Code
	codeInvalidRequest       = kerr.InvalidRequest.Code
	codeOutOfOrderSequence   = kerr.OutOfOrderSequenceNumber.Code
	codeInvalidProducerEpoch = kerr.InvalidProducerEpoch.Code
	codeInvalidTxnState      = kerr.InvalidTxnState.Code
	codeStorage              = kerr.KafkaStorageError.Code
	codeUnknownProducerID    = kerr.UnknownProducerID.Code
	codeUnsupportedCodec     = kerr.UnsupportedCompressionType.Code
	codeFencedLeaderEpoch    = kerr.FencedLeaderEpoch.Code
	codeUnknownLeaderEpoch   = kerr.UnknownLeaderEpoch.Code
	codeFetchSessionUnknown  = kerr.FetchSessionIDNotFound.Code
	codeFetchSessionEpoch    = kerr.InvalidFetchSessionEpoch.Code
	codeInvalidRecord        = kerr.InvalidRecord.Code
	codeUnknownTopicID       = kerr.UnknownTopicID.Code
	codeSessionTopicID       = kerr.FetchSessionTopicIDError.Code
	codePolicyViolation      = kerr.PolicyViolation.Code
	codeIllegalSASLState     = kerr.IllegalSaslState.Code
	codeSecurityDisabled     = kerr.SecurityDisabled.Code
	codeUnknownSubscription  = kerr.UnknownSubscriptionID.Code
	codeTelemetryTooLarge    = kerr.TelemetryTooLarge.Code
	codeThrottlingQuota      = kerr.ThrottlingQuotaExceeded.Code
	codeTxnIDMissing         = kerr.TransactionalIDAuthorizationFailed.Code
	codeTxnAbortable         = kerr.TransactionAbortable.Code
	codeNotAttempted         = kerr.OperationNotAttempted.Code
	codeCoordinatorFenced    = kerr.TransactionCoordinatorFenced.Code
	codeUnstableOffset       = kerr.UnstableOffsetCommit.Code
)

// errVersion asks for something the request's version does not have.
var errVersion = errors.New("not in this version")

// codeTable maps the engine's errors; the first that matches wins.
var codeTable = []struct {
	err  error
	code int16
}{
	{engine.ErrUnknownTopic, codeUnknownTopic},
	{engine.ErrUnknownPartition, codeUnknownTopic},
	{engine.ErrTopicExists, codeTopicExists},
	{engine.ErrInvalidTopic, codeInvalidTopic},
	{engine.ErrInvalidConfig, codeInvalidConfig},
	{engine.ErrInvalidPartitions, codeInvalidPartitions},
	{engine.ErrOffsetOutOfRange, codeOffsetOutOfRange},
	{engine.ErrOutOfOrderSequence, codeOutOfOrderSequence},
	{engine.ErrInvalidProducerEpoch, codeInvalidProducerEpoch},
	{engine.ErrUnknownProducerID, codeUnknownProducerID},
	{engine.ErrInvalidTxnState, codeInvalidTxnState},
	{engine.ErrCoordinatorFenced, codeCoordinatorFenced},
	// The log is full because the object store does not take more. Kafka has no code for it; this one makes librdkafka,
	// Java and franz-go all retry until their delivery timeout.
	{engine.ErrThrottled, codeNotEnoughReplicas},
	{engine.ErrRecordTooLarge, codeMessageTooLarge},
	{engine.ErrUnsupportedCompression, codeUnsupportedCodec},
	{batch.ErrMagic, codeInvalidRecord},
	{engine.ErrCorruptBatch, codeCorruptMessage},
	{engine.ErrStorage, codeStorage},
	// Closing: the client looks for another leader and, after the restart, finds us again.
	{engine.ErrClosed, codeNotLeader},
	{engine.ErrUnsupported, codeInvalidRequest},
	{errVersion, codeUnsupportedVersion},
}

// codeOf is the error code that says err on the wire.
func codeOf(err error) int16 {
	if err == nil {
		return 0
	}
	var c *coded
	if errors.As(err, &c) {
		return c.code
	}
	var t txn.Code
	if errors.As(err, &t) {
		return int16(t)
	}
	for i := range codeTable {
		if errors.Is(err, codeTable[i].err) {
			return codeTable[i].code
		}
	}
	return codeUnknown
}

// codeName is an error code's name in Kafka's spelling, NONE for 0.
func codeName(code int16) string {
	if code == 0 {
		return "NONE"
	}
	if code == codeNotLeader {
		return "NOT_LEADER_OR_FOLLOWER" // kerr keeps its name from before Kafka 2.6
	}
	if e := kerr.TypedErrorForCode(code); e != nil {
		return strings.ToUpper(e.Message)
	}
	return "UNKNOWN_SERVER_ERROR"
}

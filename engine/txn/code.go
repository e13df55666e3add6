package txn

// Code is an answer's error code, with Kafka's numbers.
type Code int16

// The codes this package answers.
const (
	None                      Code = 0
	CoordinatorNotAvailable   Code = 15
	InvalidRequest            Code = 42
	InvalidProducerEpoch      Code = 47
	InvalidTxnState           Code = 48
	InvalidProducerIDMapping  Code = 49
	InvalidTransactionTimeout Code = 50
	ConcurrentTransactions    Code = 51
	ProducerFenced            Code = 90
	TransactionalIDNotFound   Code = 105
)

var codeNames = map[Code]string{
	None:                      "NONE",
	CoordinatorNotAvailable:   "COORDINATOR_NOT_AVAILABLE",
	InvalidRequest:            "INVALID_REQUEST",
	InvalidProducerEpoch:      "INVALID_PRODUCER_EPOCH",
	InvalidTxnState:           "INVALID_TXN_STATE",
	InvalidProducerIDMapping:  "INVALID_PRODUCER_ID_MAPPING",
	InvalidTransactionTimeout: "INVALID_TRANSACTION_TIMEOUT",
	ConcurrentTransactions:    "CONCURRENT_TRANSACTIONS",
	ProducerFenced:            "PRODUCER_FENCED",
	TransactionalIDNotFound:   "TRANSACTIONAL_ID_NOT_FOUND",
}

// String is the code's name in Kafka's protocol.
func (c Code) String() string {
	if s, ok := codeNames[c]; ok {
		return s
	}
	return "UNKNOWN_SERVER_ERROR"
}

// Error makes a Code an error; None is none, so never return it as one.
func (c Code) Error() string { return c.String() }

package txn

import "github.com/twmb/franz-go/pkg/kerr"

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

// String is the code's name in Kafka's protocol.
func (c Code) String() string {
	if c == None {
		return "NONE"
	}
	return kerr.TypedErrorForCode(int16(c)).Message
}

// Error makes a Code an error; None is none, so never return it as one.
func (c Code) Error() string { return c.String() }

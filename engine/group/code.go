package group

import "github.com/twmb/franz-go/pkg/kerr"

// Code is an answer's error code, with Kafka's numbers.
type Code int16

// The codes this package answers or accepts from Saved.
const (
	None                      Code = 0
	CoordinatorNotAvailable   Code = 15
	NotCoordinator            Code = 16
	IllegalGeneration         Code = 22
	InconsistentGroupProtocol Code = 23
	InvalidGroupID            Code = 24
	UnknownMemberID           Code = 25
	InvalidSessionTimeout     Code = 26
	RebalanceInProgress       Code = 27
	NonEmptyGroup             Code = 68
	GroupIDNotFound           Code = 69
	MemberIDRequired          Code = 79
	GroupMaxSizeReached       Code = 81
	FencedInstanceID          Code = 82
	GroupSubscribedToTopic    Code = 86
	StorageError              Code = 56

	// The consumer protocol's (KIP-848).
	UnsupportedVersion       Code = 35
	InvalidRequest           Code = 42
	FencedMemberEpoch        Code = 110
	UnreleasedInstanceID     Code = 111
	UnsupportedAssignor      Code = 112
	StaleMemberEpoch         Code = 113
	InvalidRegularExpression Code = 128
)

// String is the code's name in Kafka's protocol.
func (c Code) String() string {
	if c == None {
		return "NONE"
	}
	return kerr.TypedErrorForCode(int16(c)).Message
}

package streamkeeper

// State says what is known of a value or a condition. The zero State is Unknown: a forgotten
// assignment can therefore never pass for an absent symptom.
type State uint8

// The four states. Unknown and NotApplicable are different: an unknown fact lowers the share that was
// assessed, a fact that does not apply is no part of the question.
const (
	Unknown State = iota
	Absent
	Present
	NotApplicable
)

// String is the state's word, as in JSON and YAML.
func (s State) String() string {
	switch s {
	case Absent:
		return "absent"
	case Present:
		return "present"
	case NotApplicable:
		return "not applicable"
	default:
		return "unknown"
	}
}

// MarshalText writes the state's word.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Why a value is unknown.
const (
	WhyMissing   = "missing"    // no series, no source for it
	WhyStale     = "stale"      // older than 2.5 intervals
	WhyPending   = "pending"    // not asked yet, or an effect whose delay has not passed
	WhyWarmingUp = "warming up" // the window is not filled yet
	WhyPartial   = "partial"    // a sum that lacks more than 10 % of its expected parts
	WhyNaN       = "not a number"
)

// Value is a number with its state. Number is meaningful only when State is Present.
type Value struct {
	State  State
	Number float64
	Why    string // one of the Why constants when State is Unknown
}

// Known makes a present value.
func Known(n float64) Value { return Value{State: Present, Number: n} }

// NotKnown makes an unknown value with its reason.
func NotKnown(why string) Value { return Value{State: Unknown, Why: why} }

// Pointer gives the number, or nil when it is not known: JSON's null.
func (v Value) Pointer() *float64 {
	if v.State != Present {
		return nil
	}
	n := v.Number
	return &n
}

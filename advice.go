package streamkeeper

// Advice is one thing to do. Do holds a computed value or, when an input is missing, the formula and
// where to find the input: never a default.
type Advice struct {
	Do      string  `json:"do"`
	Why     string  `json:"why"`
	Risk    string  `json:"risk"`
	Command string  `json:"command,omitempty"`
	Verify  *Verify `json:"verify,omitempty"`
}

// Verify is how to see that advice has worked.
type Verify struct {
	Clears        string  `json:"clears"` // symptom id
	WithinSeconds float64 `json:"within_seconds"`
	Text          string  `json:"text"`
}

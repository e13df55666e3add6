package streamkeeper

import "time"

// Event is a dated fact. Kind and attribute names are listed in docs/telemetry.md; attribute values are
// string, float64 or bool, so that an event survives JSON unchanged.
type Event struct {
	Seq    uint64         `json:"seq,omitempty"` // position in its source's ring; 0 when the source has none
	At     time.Time      `json:"at"`
	Kind   string         `json:"kind"`
	Entity Entity         `json:"entity"`
	Source string         `json:"source"`
	Text   string         `json:"text"`
	Attrs  map[string]any `json:"attrs,omitempty"`
}

// String returns a string attribute, "" when it is absent or of another type.
func (e Event) String(name string) string {
	s, _ := e.Attrs[name].(string)
	return s
}

// Number returns a number attribute; ok is false when it is absent: absent is not zero.
func (e Event) Number(name string) (n float64, ok bool) {
	n, ok = e.Attrs[name].(float64)
	return n, ok
}

// Watermark says up to when a source has told everything it knows: an event of that source that is
// not there before Through did not happen. Heartbeat is when the source last spoke.
type Watermark struct {
	Source    string    `json:"source"`
	Cluster   string    `json:"cluster"`
	From      time.Time `json:"from"` // the oldest moment still covered
	Through   time.Time `json:"through"`
	Heartbeat time.Time `json:"heartbeat"`
}

package streamkeeper

import "time"

// TrackStage is one stage in the way of a record. At is nil when it is not known; PlusMinusSeconds
// bounds its error.
type TrackStage struct {
	Stage            string     `json:"stage"` // produced, stored, offloaded, fetched, committed
	At               *time.Time `json:"at"`
	PlusMinusSeconds float64    `json:"plus_minus_seconds"`
	By               string     `json:"by,omitempty"`
}

// Track is the way of one record.
type Track struct {
	Topic     string       `json:"topic"`
	Partition int32        `json:"partition"`
	Offset    int64        `json:"offset"`
	Stages    []TrackStage `json:"stages"`
}

package loki

import "time"

// Limits bound what a push may ask of us. The defaults leave room for several times what Promtail and Alloy send.
type Limits struct {
	BodyBytes       int // of a body as it comes; 413 above
	DecodedBytes    int // of a body decompressed; 413 above
	JSONBytes       int // of a JSON body decompressed: JSON costs more; 413 above
	LineBytes       int // of one line; 400 for that line
	LabelNames      int // of one stream; 400 for that stream
	LabelNameBytes  int
	LabelValueBytes int
	Streams         int           // that are remembered; 429 for new ones above
	StreamIdle      time.Duration // after which a stream is forgotten
	MaxAge          time.Duration // of a line; 400 for older ones
	MaxAhead        time.Duration // of a line's time before ours; 400 beyond
	Pushes          int           // read at the same time; the next wait a little, then 429
	PushWait        time.Duration
	Hits            int // relevant lines that wait for a cluster's next round
}

// DefaultLimits are the limits in use.
func DefaultLimits() Limits {
	return Limits{
		BodyBytes: 4 << 20, DecodedBytes: 16 << 20, JSONBytes: 8 << 20, LineBytes: 256 << 10,
		LabelNames: 64, LabelNameBytes: 1024, LabelValueBytes: 4096,
		Streams: 10_000, StreamIdle: time.Hour, MaxAge: 24 * time.Hour, MaxAhead: 10 * time.Minute,
		Pushes: 2, PushWait: 5 * time.Second, Hits: 20_000,
	}
}

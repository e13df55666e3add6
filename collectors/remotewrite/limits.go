package remotewrite

import "time"

// Limits bound what a request may ask of us. The defaults leave room for many times what a Prometheus sends at once.
type Limits struct {
	BodyBytes       int // of a body as it comes; 413 above
	DecodedBytes    int // of a body decompressed; 413 above
	Samples         int // of one request; 400 above
	Symbols         int // of one request of 2.0; 400 above
	LabelNames      int // of one series; 400 for that series, as for the next two
	LabelNameBytes  int
	LabelValueBytes int
	Series          int           // that are taken; 400 for new ones above
	SeriesIdle      time.Duration // after which one is forgotten
	MaxAge          time.Duration // of a sample; 400 for older ones
	MaxAhead        time.Duration // of a sample's time before ours; 400 beyond
	Requests        int           // read at the same time; the next wait a little, then 503, which senders try again
	Wait            time.Duration
}

// DefaultLimits are the limits in use.
func DefaultLimits() Limits {
	return Limits{
		BodyBytes: 8 << 20, DecodedBytes: 32 << 20, Samples: 500_000, Symbols: 200_000,
		LabelNames: 64, LabelNameBytes: 1024, LabelValueBytes: 4096,
		Series: 100_000, SeriesIdle: time.Hour, MaxAge: 6 * time.Hour, MaxAhead: 10 * time.Minute,
		Requests: 2, Wait: 5 * time.Second,
	}
}

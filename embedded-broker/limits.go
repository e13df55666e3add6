package broker

import "time"

const (
	defaultMaxFrame = 4 << 20   // largest request of every API but Produce
	produceMaxFrame = 100 << 20 // Kafka's socket.request.max.bytes
	minBudget       = 128 << 20
	minWindow       = 256 << 10   // bytes the first Fetch of a connection is answered
	provenWindow    = 8 << 20     // the window of a client that proved that it reads
	writeChunk      = 64 << 10    // bytes written under one deadline, at first and while the client takes them slowly
	maxWriteChunk   = 1 << 20     // likewise, to a client that takes them fast
	crowdedStall    = time.Second // a client that does not take a piece for so long is dropped when others wait for memory
)

// limits bound one connection in time and space. Tests shorten them.
type limits struct {
	idle       time.Duration // a connection without requests is closed after this
	frameStall time.Duration // no byte of a started frame for so long closes the connection
	writeStall time.Duration // a client that takes no byte of its answer for so long is dropped
	writeRate  int64         // bytes per second an answer must leave at, on average, after writeStall
	inFlight   int           // unanswered requests per connection; more stay in the socket
	outBytes   int64         // bytes of finished, unwritten responses; above it nothing more is read
}

const (
	readRate  = 64 << 10 // bytes per second a frame must arrive at, on average, after frameStall
	tokenRate = 2 << 20  // the same while the frame lives on the budget's reserve
	maxUnsent = 4        // answers a client has not read yet, before no more of its questions are handled
)

func defaultLimits() limits {
	return limits{
		idle: 10 * time.Minute, frameStall: 10 * time.Second, writeStall: 10 * time.Second, writeRate: 1 << 20,
		inFlight: 128, outBytes: 8 << 20,
	}
}

// slowest is how long n bytes may take at rate bytes per second on top of grace.
func slowest(grace time.Duration, n, rate int64) time.Duration {
	return grace + time.Duration(float64(n)/float64(rate)*float64(time.Second))
}

package drill

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// Role is what a worker process does.
type Role string

// The roles.
const (
	RoleConsumer Role = "consumer"
	RoleProducer Role = "producer"
	RoleStore    Role = "store"
	// RoleTransaction opens a transaction and leaves it open.
	RoleTransaction Role = "transaction"
)

// Spec is what a worker is started with: the first line of its standard input, as JSON.
type Spec struct {
	Role     Role     `json:"role"`
	Brokers  []string `json:"brokers"`
	Topics   []string `json:"topics"`
	ClientID string   `json:"client_id"`

	Group          string  `json:"group,omitempty"`
	InstanceID     string  `json:"instance_id,omitempty"`
	SessionSeconds float64 `json:"session_seconds,omitempty"`
	PollSeconds    float64 `json:"poll_seconds,omitempty"` // max.poll.interval
	MaxPollRecords int     `json:"max_poll_records,omitempty"`
	FromEnd        bool    `json:"from_end,omitempty"` // a new group begins with what comes, not with what is there
	Away           bool    `json:"away,omitempty"`     // runs on the host of its own that Lab.Network can cut off

	Committed             bool    `json:"committed,omitempty"`              // consumer: reads committed records only
	TransactionSeconds    float64 `json:"transaction_seconds,omitempty"`    // transaction: its timeout
	TransactionPartitions int32   `json:"transaction_partitions,omitempty"` // transaction: the first ones of the topic

	Listen  string `json:"listen,omitempty"`  // store: where it is reached
	Backend string `json:"backend,omitempty"` // store: the real S3 server behind it

	Start Behaviour `json:"start"`
}

// Behaviour is what a worker does right now: each further line of its standard input replaces it whole.
type Behaviour struct {
	// Consumer.
	RecordMillis float64  `json:"record_millis,omitempty"` // processing time per record
	NoCommit     bool     `json:"no_commit,omitempty"`
	Paused       bool     `json:"paused,omitempty"` // stops fetching, goes on heartbeating
	Topics       []string `json:"topics,omitempty"` // subscription, when it differs from the start's
	Poison       *Poison  `json:"poison,omitempty"`
	// Producer: what goes to each topic.
	Streams map[string]Stream `json:"streams,omitempty"`
	// Store.
	Store       string  `json:"store,omitempty"`        // one of the Store constants; empty is healthy
	StoreMillis float64 `json:"store_millis,omitempty"` // delay of each answer with StoreSlow
	StoreShare  float64 `json:"store_share,omitempty"`  // share of the calls refused with StoreThrottle
}

// Stream is what a producer sends to one topic.
type Stream struct {
	Partitions int32   `json:"partitions"`
	Rate       float64 `json:"rate"`       // records a second
	ValueSize  int     `json:"value_size"` // bytes
	HotShare   float64 `json:"hot_share,omitempty"`
	HotPart    int32   `json:"hot_part,omitempty"` // gets HotShare of the records
}

// Poison is a record that the consumer cannot get past: it fails and is tried again for ever.
type Poison struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
}

// Positions are offsets by topic and partition.
type Positions map[string]map[int32]int64

// Stats is what a worker tells once a second, one JSON line on standard output.
type Stats struct {
	Records   int64  `json:"records"` // handled well: processed, acknowledged, answered
	Errors    int64  `json:"errors"`
	LastError string `json:"last_error,omitempty"`
	Assigned  int    `json:"assigned"`
	Revoked   int64  `json:"revoked"` // how often partitions were taken away
	// Positions of a consumer are the next offsets to process, of a producer the offsets after what was
	// acknowledged.
	Positions Positions `json:"positions,omitempty"`
}

// counters is what the running worker keeps; read by the stats printer.
type counters struct {
	records, errors, assigned, revoked atomic.Int64
	lastError                          atomic.Value

	mu        sync.Mutex
	positions Positions
}

func (c *counters) failed(err error) {
	c.errors.Add(1)
	c.lastError.Store(err.Error())
}

// reached counts a record and notes the offset after it.
func (c *counters) reached(topic string, partition int32, next int64) {
	c.records.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.positions == nil {
		c.positions = Positions{}
	}
	if c.positions[topic] == nil {
		c.positions[topic] = map[int32]int64{}
	}
	c.positions[topic][partition] = max(next, c.positions[topic][partition])
}

func (c *counters) stats() Stats {
	last, _ := c.lastError.Load().(string)
	s := Stats{
		Records: c.records.Load(), Errors: c.errors.Load(), LastError: last,
		Assigned: int(c.assigned.Load()), Revoked: c.revoked.Load(),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Positions = make(Positions, len(c.positions))
	for topic, parts := range c.positions {
		s.Positions[topic] = maps.Clone(parts)
	}
	return s
}

// Work is the main of a worker process: it reads its Spec and then Behaviours from in, and tells Stats
// on out, until in ends (a clean close), ctx ends, or the client fails for good (an error).
func Work(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		return errors.New("read the worker's spec: no line on standard input")
	}
	var spec Spec
	if err := json.Unmarshal(lines.Bytes(), &spec); err != nil {
		return fmt.Errorf("read the worker's spec: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	behave := new(atomic.Pointer[Behaviour])
	behave.Store(&spec.Start)
	go func() {
		defer cancel()
		for lines.Scan() {
			var b Behaviour
			if json.Unmarshal(lines.Bytes(), &b) == nil {
				behave.Store(&b)
			}
		}
	}()
	var c counters
	told := make(chan struct{})
	go func() {
		defer close(told)
		tell(ctx, out, &c)
	}()
	var err error
	switch spec.Role {
	case RoleConsumer:
		err = consume(ctx, spec, behave, &c)
	case RoleProducer:
		err = produce(ctx, spec, behave, &c)
	case RoleStore:
		err = serveStore(ctx, spec, behave, &c)
	case RoleTransaction:
		err = transact(ctx, spec, &c)
	default:
		err = fmt.Errorf("worker role %q: want consumer, producer, store or transaction", spec.Role)
	}
	cancel()
	<-told
	return errors.Join(err, json.NewEncoder(out).Encode(c.stats())) // the last word: where it ended
}

func tell(ctx context.Context, out io.Writer, c *counters) {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	e := json.NewEncoder(out)
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			if e.Encode(c.stats()) != nil {
				return
			}
		}
	}
}

package drill

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
)

// Spec is what a worker is started with: the first line of its standard input, as JSON.
type Spec struct {
	Role       Role     `json:"role"`
	Brokers    []string `json:"brokers"`
	Topics     []string `json:"topics"`
	ClientID   string   `json:"client_id"`
	Partitions int32    `json:"partitions,omitempty"` // producer: of the first topic

	Group           string  `json:"group,omitempty"`
	InstanceID      string  `json:"instance_id,omitempty"`
	SessionSeconds  float64 `json:"session_seconds,omitempty"`
	PollSeconds     float64 `json:"poll_seconds,omitempty"` // max.poll.interval
	MaxPollRecords  int     `json:"max_poll_records,omitempty"`
	FromStart       bool    `json:"from_start,omitempty"`
	MaxFetchRecords int     `json:"max_fetch_records,omitempty"`

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
	// Producer.
	Rate      float64 `json:"rate,omitempty"`       // records a second
	ValueSize int     `json:"value_size,omitempty"` // bytes
	HotShare  float64 `json:"hot_share,omitempty"`  // share of the records that goes to HotPart
	HotPart   int32   `json:"hot_part,omitempty"`
	// Store.
	Store       string  `json:"store,omitempty"`        // one of the Store constants; empty is healthy
	StoreMillis float64 `json:"store_millis,omitempty"` // delay of each answer with StoreSlow
	StoreShare  float64 `json:"store_share,omitempty"`  // share of the calls refused with StoreThrottle
}

// Poison is a record that the consumer cannot get past: it fails and is tried again for ever.
type Poison struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
}

// Stats is what a worker tells once a second, one JSON line on standard output.
type Stats struct {
	Records      int64   `json:"records"`
	Errors       int64   `json:"errors"`
	LastError    string  `json:"last_error,omitempty"`
	DelaySeconds float64 `json:"delay_seconds"` // age of the newest record processed, or of the oldest not acknowledged
	Assigned     int     `json:"assigned"`
	Offset       int64   `json:"offset,omitempty"`    // of the newest record of Partition
	Partition    int32   `json:"partition,omitempty"` // a partition it owns
}

// counters is what the running worker keeps; read by the stats printer.
type counters struct {
	records, errors, assigned, offset atomic.Int64
	partition                         atomic.Int32
	delayMillis                       atomic.Int64
	lastError                         atomic.Value
}

func (c *counters) failed(err error) {
	c.errors.Add(1)
	c.lastError.Store(err.Error())
}

func (c *counters) stats() Stats {
	last, _ := c.lastError.Load().(string)
	return Stats{
		Records: c.records.Load(), Errors: c.errors.Load(), LastError: last,
		DelaySeconds: float64(c.delayMillis.Load()) / 1000, Assigned: int(c.assigned.Load()),
		Offset: c.offset.Load(), Partition: c.partition.Load(),
	}
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
	go tell(ctx, out, &c)
	switch spec.Role {
	case RoleConsumer:
		return consume(ctx, spec, behave, &c)
	case RoleProducer:
		return produce(ctx, spec, behave, &c)
	case RoleStore:
		return serveStore(ctx, spec, behave, &c)
	default:
		return fmt.Errorf("worker role %q: want consumer, producer or store", spec.Role)
	}
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

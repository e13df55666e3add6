package series

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/compression"
)

// Limits and sizes. Queries beyond them fail with an error that names the limit.
const (
	DefaultRetention    = 72 * time.Hour
	DefaultMaxBytes     = 2 << 30
	DefaultMaxSeries    = 200_000
	DefaultQueryTimeout = 10 * time.Second
	DefaultMaxSamples   = 5_000_000 // loaded by one query: 80 MB at most
	Lookback            = 5 * time.Minute

	blockRange = 30 * time.Minute // the head holds at most 1.5 of it
	replayDays = 60
	maxFuture  = 10 * time.Minute
)

// Options configure a Store. Only Dir is required, and not even that for Memory.
type Options struct {
	Dir          string
	Retention    time.Duration // older blocks are deleted; 0 means DefaultRetention
	MaxBytes     int64         // of all blocks; 0 means DefaultMaxBytes
	MaxSeries    int           // new series beyond it are refused; 0 means DefaultMaxSeries
	OutOfOrder   time.Duration // how late a sample may come; 0 means five minutes
	QueryTimeout time.Duration // of one query; 0 means DefaultQueryTimeout
	MaxSamples   int           // loaded by one query; 0 means DefaultMaxSamples
	// Interval is how often samples usually come; it is the default step of subqueries. 0 means 15 s.
	Interval time.Duration
	// Now is the clock of HTTP queries that name no time, and the guard against samples from the future.
	// Nil means time.Now.
	Now    func() time.Time
	Logger *slog.Logger // the database's own messages; nil is silent
}

// Store holds series on disk: a bounded head in memory with a write-ahead log, and blocks. It is safe for
// concurrent use. A crash loses at most what the operating system had not written yet.
type Store struct {
	o      Options
	db     *tsdb.DB
	engine *promql.Engine
	parser parser.Parser
	slots  chan struct{} // HTTP queries at a time
	refs   refCache
	temp   string // removed by Close
}

// Open opens or creates the store in o.Dir. A log cut short by a crash is repaired; the error says what
// to do about anything else.
func Open(o Options) (*Store, error) {
	if o.Dir == "" {
		return nil, errors.New("opening the series store: no directory given")
	}
	o = o.withDefaults()
	db, err := tsdb.Open(o.Dir, o.Logger, nil, o.database(), nil)
	if err != nil {
		return nil, fmt.Errorf("opening the series store in %s (is another process using it? else move the folder away to start empty): %w", o.Dir, err)
	}
	return newStore(o, db), nil
}

// Memory opens a store for recordings and tests: in a temporary folder that Close removes, without a log,
// taking samples in any order over sixty days and never deleting any.
func Memory(o Options) (*Store, error) {
	dir, err := os.MkdirTemp("", "streamkeeper-series-")
	if err != nil {
		return nil, fmt.Errorf("opening a temporary series store: %w", err)
	}
	replayed := o.Now == nil
	o.Dir = dir
	o = o.withDefaults()
	if replayed {
		o.Now = nil // a recording's clock is not ours: nothing in it is from the future
	}
	d := o.database()
	d.WALSegmentSize = -1
	d.NoLockfile = true
	d.RetentionDuration = 0
	d.MaxBytes = 0
	d.MinBlockDuration = (2 * replayDays * 24 * time.Hour).Milliseconds()
	d.MaxBlockDuration = d.MinBlockDuration
	d.OutOfOrderTimeWindow = (replayDays * 24 * time.Hour).Milliseconds()
	d.StripeSize = 1 << 8
	db, err := tsdb.Open(dir, o.Logger, nil, d, nil)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening a temporary series store in %s: %w", dir, err), os.RemoveAll(dir))
	}
	db.DisableCompactions()
	s := newStore(o, db)
	s.temp = dir
	return s, nil
}

// Close flushes and closes the store; a Memory store is deleted. No other call may follow.
func (s *Store) Close() error {
	err := errors.Join(s.engine.Close(), s.db.Close())
	if s.temp != "" {
		err = errors.Join(err, os.RemoveAll(s.temp))
	}
	if err != nil {
		return fmt.Errorf("closing the series store: %w", err)
	}
	return nil
}

func newStore(o Options, db *tsdb.DB) *Store {
	p := newParser()
	return &Store{
		o: o, db: db, parser: p, slots: make(chan struct{}, 4),
		engine: promql.NewEngine(promql.EngineOpts{
			Logger: o.Logger, MaxSamples: o.MaxSamples, Timeout: o.QueryTimeout, LookbackDelta: Lookback,
			EnableAtModifier: true, EnableNegativeOffset: true, Parser: p,
			NoStepSubqueryIntervalFn: func(int64) int64 { return o.Interval.Milliseconds() },
		}),
	}
}

func (o Options) withDefaults() Options {
	orDefault(&o.Retention, DefaultRetention)
	orDefault(&o.MaxBytes, DefaultMaxBytes)
	orDefault(&o.MaxSeries, DefaultMaxSeries)
	orDefault(&o.OutOfOrder, 5*time.Minute)
	orDefault(&o.QueryTimeout, DefaultQueryTimeout)
	orDefault(&o.MaxSamples, DefaultMaxSamples)
	orDefault(&o.Interval, 15*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// database sizes Prometheus' database for one machine among other work rather than for a server of its
// own: small stripes, small log segments, short blocks.
func (o Options) database() *tsdb.Options {
	d := tsdb.DefaultOptions()
	d.RetentionDuration = o.Retention.Milliseconds()
	d.MaxBytes = o.MaxBytes
	d.MinBlockDuration = blockRange.Milliseconds()
	d.MaxBlockDuration = max(blockRange, o.Retention/10).Milliseconds()
	d.OutOfOrderTimeWindow = o.OutOfOrder.Milliseconds()
	d.WALSegmentSize = 8 << 20
	d.WALCompression = compression.Snappy
	d.StripeSize = 1 << 10
	d.HeadChunksWriteBufferSize = 1 << 20
	d.HeadChunksWriteQueueSize = 0
	return d
}

func orDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

func newParser() parser.Parser {
	return parser.NewParser(parser.Options{EnableExperimentalFunctions: true})
}

// CheckQuery says whether text is valid PromQL. The error holds the position.
func CheckQuery(text string) error {
	if _, err := newParser().ParseExpr(text); err != nil {
		return fmt.Errorf("reading the query %q: %w", text, err)
	}
	return nil
}

package drill

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// Drill is one fault with a known cause, or one benign episode that must raise nothing.
type Drill struct {
	ID         string
	Cause      string // the truth: a cause id of the catalog
	EntityKind streamkeeper.EntityKind
	Benign     bool
	Targets    []string
	Store      bool // needs an object store that can fail
	Title      string
	Baseline   time.Duration // healthy time before the fault
	Hold       time.Duration // how long the fault lasts
	Floor      time.Duration // the mechanism's own floor: timeout, or period × count
	// Accept names causes that are the same answer told from further up or down a declared chain.
	Accept []string
	Layout func(r *rand.Rand) Layout
	// Inject starts the fault and returns when it has begun; what goes on in the background ends with ctx.
	Inject func(ctx context.Context, s *Stage) error
	Clear  func(ctx context.Context, s *Stage) error // nil: set every worker back to its start
}

// Layout is the workload that a drill runs on; a seed varies it.
type Layout struct {
	Members      int
	Partitions   int32
	Rate         float64 // records a second
	RecordMillis float64 // healthy processing time
	Session      float64 // seconds
	Poll         float64 // seconds
	Static       bool
	ValueSize    int
}

// Setup is what a target must offer.
type Setup struct {
	Store bool
}

// Site is a running target: a broker and a diagnoser in processes of their own. Addresses are HOST:PORT.
type Site struct {
	Target   string // embedded or kafka
	Cluster  string // the name the diagnoser gives it
	Kafka    string
	Diagnose string
	StoreID  string // the store entity's name, with Setup.Store
}

// Lab starts targets and workers. It is implemented by the cli; the drill package only sees addresses.
type Lab interface {
	// Open starts a fresh target and returns once it serves.
	Open(ctx context.Context, s Setup) (*Site, error)
	// Work starts a worker process.
	Work(ctx context.Context, s Spec) (Worker, error)
	// Store gives the control of the target's store, nil without one.
	Store() Worker
	// Restart stops the target's broker cleanly and starts it again on the same data and ports.
	Restart(ctx context.Context) error
	// Record saves what the diagnoser saw since a time to a file, and returns its path.
	Record(ctx context.Context, since time.Time, r *Result) (string, error)
	// Close ends every process.
	Close() error
}

// Worker is a child process under command.
type Worker interface {
	Set(b Behaviour) error
	Stats() Stats
	Freeze() error // SIGSTOP
	Thaw() error   // SIGCONT
	Kill() error   // SIGKILL, waits for the end
	Stop() error   // a clean close, waits for the end
	Done() <-chan struct{}
}

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
	Network    bool // needs a host of its own that can be cut off
	Title      string
	Baseline   time.Duration // healthy time before the fault
	Hold       time.Duration // how long the fault lasts
	Floor      time.Duration // the mechanism's own floor: timeout, or period × count
	// Accept names causes that are the same answer told from further up or down a declared chain.
	Accept []string
	Layout func(r *rand.Rand) Layout
	// Hurt tells how the fault hurts, nil while it does not; without it, what the clients feel counts. A run in
	// which nobody is hurt is no measurement.
	Hurt func(ctx context.Context, s *Stage, now time.Time) *Impact
	// Inject starts the fault and returns when it has begun; what goes on in the background ends with ctx.
	Inject func(ctx context.Context, s *Stage) error
	Clear  func(ctx context.Context, s *Stage) error // nil: set every worker back to its start
}

func (d Drill) hurt(ctx context.Context, s *Stage, now time.Time) *Impact {
	if d.Hurt != nil {
		return d.Hurt(ctx, s, now)
	}
	return s.clientsHurt(now)
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
	Committed    bool // members read committed records only
	ValueSize    int
	Away         bool // the first member runs on the second host
}

// Setup is what a target must offer.
type Setup struct {
	Store   bool // an object store that can be made to fail
	Network bool // a second host, whose road to the broker can be cut
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
	// Network gives the control of the second host's road, nil without one.
	Network() Network
	// Restart stops the target's broker cleanly and starts it again on the same data and ports.
	Restart(ctx context.Context) error
	// Record saves what the diagnoser saw since a time to a file, and returns its path.
	Record(ctx context.Context, since time.Time, r *Result) (string, error)
	// Close ends every process.
	Close() error
}

// Network is the road between the broker and the second host. Cut packets vanish in both directions: nobody
// is told, as with a broken switch.
type Network interface {
	Cut(ctx context.Context) error
	Heal(ctx context.Context) error
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

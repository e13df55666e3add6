// Package notify tells receivers about incidents: one file per kind of receiver.
//
// Notifier takes what a tick published and returns at once. Each receiver has its own bounded queue and
// goroutine, so that one that hangs delays no other and no tick; calls have a deadline, failures are tried
// again with growing, jittered pauses. Bodies carry the incident's id and the moment of the update, so
// that a receiver can drop repetitions. When a queue is full the oldest update of the same incident gives
// way, then the oldest of all; a resolution or a roll-up is never dropped for an update.
//
// The package decides nothing about what is worth telling.
//
// Start with Sender and Notifier, then webhook.go.
package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// Sender tells one receiver about one incident, or about many at once. Both must be idempotent on the receiver's side: Send by
// the incident's id and update time, SendRollup by the roll-up's id. An error that wraps ErrPermanent is not tried again.
type Sender interface {
	Name() string
	Send(ctx context.Context, i streamkeeper.Incident) error
	SendRollup(ctx context.Context, r streamkeeper.Rollup) error
}

// Repeater is a Sender whose receiver forgets what it is not told again: open incidents are re-sent so
// often.
type Repeater interface {
	Every() time.Duration
}

// ErrPermanent marks a failure that trying again cannot mend: the receiver refuses this body.
var ErrPermanent = errors.New("the receiver refuses it")

// Options are the limits of telling. The zero value of a field means its default.
type Options struct {
	Queue    int            // incidents waiting per receiver; default 100
	Deadline time.Duration  // per call; default 10 s
	First    time.Duration  // pause after the first failure; default 1 s, doubled each time
	Longest  time.Duration  // longest pause; default 1 minute
	GiveUp   time.Duration  // after so long an update is dropped; default 1 hour
	Jitter   func() float64 // in [0,1): spreads the pauses; required
	Logger   *slog.Logger   // nil: nothing is logged
}

func (o Options) withDefaults() Options {
	set := func(at *time.Duration, d time.Duration) {
		if *at <= 0 {
			*at = d
		}
	}
	set(&o.Deadline, 10*time.Second)
	set(&o.First, time.Second)
	set(&o.Longest, time.Minute)
	set(&o.GiveUp, time.Hour)
	if o.Queue <= 0 {
		o.Queue = 100
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Notifier hands incidents to all receivers. It is a diagnose.Publisher and safe for concurrent use.
type Notifier struct {
	opt   Options
	boxes []*outbox
}

// New makes a notifier that keeps what it is given until Run. Jitter must be set.
func New(opt Options, senders ...Sender) (*Notifier, error) {
	if opt.Jitter == nil {
		return nil, errors.New("notify: Options.Jitter is required")
	}
	n := &Notifier{opt: opt.withDefaults()}
	for _, s := range senders {
		n.boxes = append(n.boxes, newOutbox(s, n.opt))
	}
	return n, nil
}

// Publish queues the incidents for all receivers. It never blocks and never fails: what does not get
// through is logged by the receiver's own goroutine.
func (n *Notifier) Publish(_ context.Context, _ streamkeeper.Report, incidents []streamkeeper.Incident) error {
	for _, b := range n.boxes {
		for _, i := range incidents {
			b.put(i)
		}
	}
	return nil
}

// Rollup queues a roll-up for all receivers. Like Publish it never blocks and never fails.
func (n *Notifier) Rollup(_ context.Context, r streamkeeper.Rollup) error {
	for _, b := range n.boxes {
		b.putRollup(r)
	}
	return nil
}

// Run sends until ctx ends, then tries each waiting update once more within one deadline.
func (n *Notifier) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, b := range n.boxes {
		wg.Go(func() { b.run(ctx) })
	}
	wg.Wait()
	return nil
}

// refused makes an error of an HTTP status: client errors are permanent, except those that ask for
// patience.
func refused(status int, body string) error {
	err := fmt.Errorf("status %d: %s", status, body)
	if status >= 400 && status < 500 && status != 408 && status != 425 && status != 429 {
		return fmt.Errorf("%w: %w", ErrPermanent, err)
	}
	return err
}

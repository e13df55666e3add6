// Package guard keeps a Pebble database that cannot write any more from taking the process with it.
//
// When its manifest, write-ahead log or a directory cannot be written or synced, Pebble panics or calls its logger's
// Fatalf and expects not to come back; when a table cannot be written, it tries again at once, for ever. A Guard stands
// between Pebble and the disk: the first change that fails ends the database. The goroutine that met it stops for good,
// since Pebble must neither go on nor clean up, and whoever waits in Do comes back with an error. Nothing is written
// afterwards: a failed sync is never tried again, only a restart recovers.
package guard

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// ErrFailed is what every use of a failed database returns.
var ErrFailed = errors.New("the database failed; restart the broker to recover")

// Guard watches over one database. It is safe for concurrent use.
type Guard struct {
	what   string
	report func(error)
	once   sync.Once
	err    error
	failed chan struct{}
}

// New returns the guard of the database that holds what. report is told when it fails, and of each damaged file that is
// met; it is called on goroutines of Pebble's that may hold locks, so it must not use the database.
func New(what string, report func(error)) *Guard {
	return &Guard{what: what, report: report, failed: make(chan struct{})}
}

// Configure makes the guard watch over the database that is opened with o, in Do.
func (g *Guard) Configure(o *pebble.Options) *pebble.Options {
	o.Logger = logger{g}
	o.EventListener = &pebble.EventListener{
		DataCorruption:  func(i pebble.DataCorruptionInfo) { g.report(fmt.Errorf("%s: %s: %w", g.what, i.Path, i.Details)) },
		BackgroundError: func(err error) { g.fail(err.Error()) },
	}
	o.FS = gate{o.FS, g}
	return o
}

// Failed is closed when the database fails.
func (g *Guard) Failed() <-chan struct{} { return g.failed }

// Err is nil until the database fails.
func (g *Guard) Err() error {
	select {
	case <-g.failed:
		return g.err
	default:
		return nil
	}
}

// Do runs fn, which may write to the database. Once the database failed, fn is not run any more. When it fails meanwhile,
// Do returns although fn is stuck for ever: what fn uses must be left to it if Err is not nil.
func (g *Guard) Do(fn func() error) error {
	if err := g.Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- fn() }()
	select {
	case err := <-done:
		return err
	case <-g.failed:
		return g.err
	}
}

// Close runs close, unless the database failed: what it waits for does not end then, and the process is to end anyway.
func (g *Guard) Close(close func() error) error {
	if g.Err() != nil {
		return nil // whoever used it was told
	}
	return g.Do(close)
}

func (g *Guard) fail(why string) {
	g.once.Do(func() {
		g.err = fmt.Errorf("%s: %w: %s", g.what, ErrFailed, why)
		g.report(g.err) // before anybody comes back and goes on
		close(g.failed)
	})
}

// end fails the database for good, if a change of it failed.
func (g *Guard) end(err error) error {
	if err != nil {
		g.fail(err.Error())
		select {}
	}
	return nil
}

// logger is Pebble's.
type logger struct{ g *Guard }

// Infof drops Pebble's chatter.
func (logger) Infof(string, ...any) {}

// Errorf drops it too: errors come back from Pebble's calls.
func (logger) Errorf(string, ...any) {}

// Fatalf fails the database. It does not return.
func (l logger) Fatalf(format string, args ...any) { _ = l.g.end(fmt.Errorf(format, args...)) }

package engine

import (
	"context"
	"errors"
	"slices"

	"github.com/streamkeeper-io/streamkeeper/engine/tier"
)

// Abandon stops the engine's goroutines without the courtesies of Close: the process died.
func (e *Engine) Abandon() error {
	e.closed.Store(true)
	e.stop()
	e.topics.close()
	err := e.drain(context.Background())
	_, _ = e.log.Close() // a failed log is what some tests are about
	e.sealed.close()
	e.indexer.Wait()
	return errors.Join(err, e.index.Abandon(), e.meta.Close(), e.lock.Close())
}

// RetainNow applies retention without waiting for its turn.
func (e *Engine) RetainNow() error { return e.retain(context.Background(), e.o.Clock.Now()) }

// CompactNow runs a round of compaction without waiting for its turn; the loop must not run meanwhile.
func (e *Engine) CompactNow() error {
	return (&compactor{e: e, clean: map[uint32]int64{}}).round(context.Background())
}

// LiveObjects are the objects that the journal calls live.
func (x *Offline) LiveObjects() []string {
	names := make([]string, 0, len(x.tier.Objects))
	for _, o := range x.tier.Objects {
		names = append(names, tier.ObjectName(o.ID))
	}
	slices.Sort(names)
	return names
}

// Package workers runs the drills' clients inside a black-box test: producers and consumers whose processing can be
// slowed, paused and broken.
package workers

import (
	"context"
	"encoding/json"
	"io"
	"sync"

	"github.com/streamkeeper-io/streamkeeper/cli/drill"
)

// Worker is one client in this process.
type Worker struct{ in *io.PipeWriter }

// Start starts a client; wg is done when it has ended, failed hears why if that was not asked for.
func Start(ctx context.Context, wg *sync.WaitGroup, spec drill.Spec, failed func(error)) (*Worker, error) {
	in, out := io.Pipe()
	wg.Go(func() {
		if err := drill.Work(ctx, in, io.Discard); err != nil && ctx.Err() == nil {
			failed(err)
		}
		_ = in.Close()
	})
	return &Worker{out}, json.NewEncoder(out).Encode(spec)
}

// Set changes what the client does.
func (w *Worker) Set(b drill.Behaviour) { _ = json.NewEncoder(w.in).Encode(b) }

// Stop asks it to end.
func (w *Worker) Stop() { _ = w.in.Close() }

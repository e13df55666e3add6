package broker

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

func takeNow(t *testing.T, l *lease, n int64) {
	t.Helper()
	if err := l.take(t.Context(), n); err != nil {
		t.Fatal(err)
	}
}

// blocked reports whether taking waits; it takes nothing when it does.
func blocked(l *lease, n int64) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	return errors.Is(l.take(ctx, n), context.DeadlineExceeded)
}

func TestBudgetKeepsSmallFramesGoing(t *testing.T) {
	b := newBudget(minBudget)
	a, c, d := b.lease(20<<20), b.lease(20<<20), b.lease(20<<20)
	takeNow(t, &a, b.largePart) // all that large frames may have of the pool
	takeNow(t, &c, 20<<20)      // the reserve
	if !c.onToken() {
		t.Error("the frame that passed the pool does not hold the token")
	}
	if !blocked(&d, 1) {
		t.Error("a third large frame got memory")
	}
	small := b.lease(1 << 20)
	if blocked(&small, 1<<20) {
		t.Error("large frames shut out a small one")
	}
	done := make(chan error, 1)
	go func() { done <- d.take(context.Background(), 1<<20) }()
	c.release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestBudgetNeverExceeded lets frames grow step by step, as readers do, and holds that they all finish and that the
// account never passes its limit.
func TestBudgetNeverExceeded(t *testing.T) {
	b := newBudget(minBudget)
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for range 20 {
				size := 1 + r.IntN(defaultMaxFrame)
				if r.IntN(3) == 0 {
					size = defaultMaxFrame + r.IntN(int(b.maxLarge)-defaultMaxFrame)
				}
				l := b.lease(size)
				for have := 0; have < size; {
					want := min(size, max(have*growth, firstChunk))
					if l.take(t.Context(), int64(want)) != nil {
						return
					}
					l.give(int64(have))
					have = want
				}
				if small, large, _ := b.usage(); small+large > b.limit+b.limit/4 {
					t.Errorf("%d bytes reserved, the limit is %d", small+large, b.limit)
				}
				l.release()
			}
		})
	}
	wg.Wait()
	if small, large, waiting := b.usage(); small != 0 || large != 0 || waiting != 0 {
		t.Errorf("left over: %d, %d, %d waiting", small, large, waiting)
	}
}

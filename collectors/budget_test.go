package collectors

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// take waits for a request of no length.
func take(t *testing.T, b *Budget) {
	t.Helper()
	if err := b.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Sent()
	b.Answered()
}

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(10, nil)
		start := time.Now()
		for range 30 {
			take(t, b)
		}
		if took := time.Since(start); took < 1900*time.Millisecond || took > 2100*time.Millisecond {
			t.Errorf("30 requests at 10 a second after a burst of 10 took %s, want 2 s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		now := time.Now()
		if err := b.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) || !time.Now().Equal(now) {
			t.Errorf("%v after %s: a hopeless wait must end at once", err, time.Since(now))
		}
		time.Sleep(time.Hour)
		for range 10 {
			take(t, b)
		}
		now = time.Now()
		take(t, b)
		if time.Since(now) < 90*time.Millisecond {
			t.Error("an hour of rest allows more than one second's burst")
		}
	})
	var none *Budget
	if err := none.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// However long a request is on its way to the cluster and back, and whoever waits at the same time, the cluster sees no more
// in a second than are allowed.
func TestBudgetHoldsWhereRequestsArrive(t *testing.T) {
	const most = 20
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(most, nil)
		rnd := rand.New(rand.NewPCG(3, 4))
		arrived := make(chan time.Time, 10_000)
		var clients []chan struct{}
		for range 4 {
			done, there, back := make(chan struct{}), rnd.Int64N(300), rnd.Int64N(300)
			clients = append(clients, done)
			go func() {
				defer close(done)
				for i := range int64(100) {
					if err := b.Wait(t.Context()); err != nil {
						t.Error(err)
						return
					}
					time.Sleep(time.Duration(i*there%300) * time.Millisecond) // bunches them up
					arrived <- time.Now()
					b.Sent()
					time.Sleep(time.Duration(i*back%300) * time.Millisecond)
					b.Answered()
				}
			}()
		}
		for _, done := range clients {
			<-done
		}
		close(arrived)
		var seen []time.Time
		for at := range arrived {
			seen = append(seen, at)
		}
		slices.SortFunc(seen, time.Time.Compare)
		for i := most; i < len(seen); i++ {
			if within := seen[i].Sub(seen[i-most]); within < time.Second {
				t.Errorf("%d requests arrived within %s", most+1, within)
			}
		}
		if took := seen[len(seen)-1].Sub(seen[0]); took > 60*time.Second {
			t.Errorf("400 requests took %s", took)
		}
	})
}

// A request that is never answered does not take its place for ever, and one that never left not for longer than a window.
func TestBudgetOutlivesSilence(t *testing.T) {
	for _, c := range []struct {
		sent  bool
		after time.Duration
	}{{true, 11 * time.Second}, {false, 1100 * time.Millisecond}} {
		synctest.Test(t, func(t *testing.T) {
			b := NewBudget(2, nil)
			for range 2 {
				if err := b.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				if c.sent {
					b.Sent()
				}
			}
			time.Sleep(c.after)
			start := time.Now()
			for range 4 {
				take(t, b)
			}
			if took := time.Since(start); took > 1500*time.Millisecond {
				t.Errorf("sent %v, %s later: 4 requests took %s", c.sent, c.after, took)
			}
		})
	}
}

// What is sent without having been allowed is charged: who waits then waits for it too.
func TestBudgetChargesWhatNobodyWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(2, nil)
		if err := b.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 2 { // tried twice
			b.Sent()
			b.Answered()
		}
		start := time.Now()
		take(t, b)
		if took := time.Since(start); took != time.Second {
			t.Errorf("the third within a second waited for %s", took)
		}
	})
}

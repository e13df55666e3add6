package engine_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/streamkeeper-io/streamkeeper/engine"
)

var (
	crashSeeds = flag.Int("crash.seeds", envInt("CRASH_SEEDS", 50), "seeds of TestCrash (environment: CRASH_SEEDS)")
	crashSeed  = flag.Uint64("crash.seed", 0, "run only this seed, -crash.tries times: it decides what is done, not how goroutines run")
	crashTries = flag.Int("crash.tries", 20, "how often -crash.seed is run")
)

func envInt(name string, def int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return def
}

// TestCrash loads an engine, takes its power or its process away at a random step, opens what is left and checks every
// promise, several times per seed. In some lives the disk fails first.
func TestCrash(t *testing.T) {
	var seeds []uint64
	for s := range uint64(*crashSeeds) {
		seeds = append(seeds, s+1)
	}
	if *crashSeed != 0 {
		seeds = slices.Repeat([]uint64{*crashSeed}, *crashTries)
	}
	var all tally
	var failed atomic.Int64
	next := make(chan uint64)
	var wg sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) { // a run mostly waits for its own goroutines
		wg.Go(func() {
			for s := range next {
				c := newCrash(s, "")
				if err := c.run(); err != nil {
					failed.Add(1)
					t.Errorf("seed %d: %v\nagain: go test ./engine -run 'TestCrash$' -crash.seed=%d\n%s", s, err, s, c.story())
				}
				all.add(c.tally)
			}
		})
	}
	for _, s := range seeds {
		next <- s
	}
	close(next)
	wg.Wait()
	all.print(t)
	if *crashSeed == 0 && *crashSeeds >= 50 {
		all.reaches(t)
	}
	last, err := json.Marshal(map[string]any{
		"seeds": len(seeds), "crashes": all.sum("crash"), "lives": all.sum("life"), "faults": all.sum("fault"), "failed": failed.Load(),
	})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(string(last))
}

// TestCrash_WeakerFlushModesStayWhole: without fsync records may be lost, but what is left must open, be contiguous and
// agree with the index and the store.
func TestCrash_WeakerFlushModesStayWhole(t *testing.T) {
	for seed := range uint64(max(*crashSeeds/6, 10)) {
		for _, mode := range []engine.Flushing{engine.FlushInterval, engine.FlushOS} {
			c := newCrash(seed+1, "")
			c.flush = mode
			if err := c.run(); err != nil {
				t.Errorf("%s, seed %d: %v", mode, seed+1, err)
			}
		}
	}
}

// tally counts what a test did, as "group: what". It is safe for concurrent use.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (t *tally) count(group, what string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = map[string]int{}
	}
	t.n[group+": "+what] += n
}

func (t *tally) add(o *tally) {
	o.mu.Lock()
	n := maps.Clone(o.n)
	o.mu.Unlock()
	for k, v := range n {
		group, what, _ := strings.Cut(k, ": ")
		t.count(group, what, v)
	}
}

// sum adds up a group.
func (t *tally) sum(group string) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, v := range t.n {
		if strings.HasPrefix(k, group+": ") {
			n += v
		}
	}
	return n
}

func (t *tally) of(key string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n[key]
}

func (t *tally) print(tb testing.TB) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(t.n)) {
		tb.Logf("%7d %s", t.n[k], k)
	}
}

// reaches makes sure that the test does what it is for.
func (t *tally) reaches(tb testing.TB) {
	for _, key := range []string{
		"crash: power", "crash: process", "work: objects rewritten", "work: objects deleted", "work: records compacted away",
		"work: transactions committed", "work: group commits", "work: offsets committed", "work: records deleted", "work: topics deleted",
		"work: restored from the bucket", "life: failed to open",
	} {
		if t.of(key) == 0 {
			tb.Errorf("never: %s", key)
		}
	}
	for _, group := range []string{"fault", "crash in recovery", "crash at"} {
		if t.sum(group) == 0 {
			tb.Errorf("never: %s", group)
		}
	}
}

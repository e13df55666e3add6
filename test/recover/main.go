// Command recover is `task test:recover`: it fills the local log of a broker to each of some sizes, kills the broker
// with -9 under load, and measures how long the next start takes until it has taken a record and given an old one
// back. Then it kills it again and again after lives of a few seconds, which a checkpoint once a minute never sees. After
// each start it checks that nothing acknowledged is lost. How long a start takes must not depend on how large the log is.
//
// It prints a line for each kill, a table, and last one JSON object.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type options struct {
	binary string
	dir    string
	sizes  []float64 // GiB of the local log
	kills  int
	life   time.Duration
	rate   float64 // bytes a second of the load that is killed
	batch  int
	within time.Duration
	spread float64
}

func main() {
	o := options{}
	flag.StringVar(&o.binary, "binary", ".bin/streamkeeper", "path of the program")
	flag.StringVar(&o.dir, "dir", "", "folder for the data, about the largest size plus the load of all lives (default: the temporary folder)")
	sizes := flag.String("sizes", "5,20", "sizes of the local log in GiB, the smallest first")
	flag.IntVar(&o.kills, "kills", 5, "kills after the first one, of each size")
	flag.DurationVar(&o.life, "life", 4*time.Second, "how long the broker lives between them")
	rate := flag.Float64("rate", 100, "MB/s of the load that is killed")
	flag.IntVar(&o.batch, "batch", 64<<10, "bytes of a batch")
	flag.DurationVar(&o.within, "within", 15*time.Second, "how long a start may take")
	flag.Float64Var(&o.spread, "spread", 0.2, "by how much the median start of the largest log may differ from the smallest's; 0: any")
	flag.Parse()
	o.rate = *rate * 1e6
	for f := range strings.SplitSeq(*sizes, ",") {
		gib, err := strconv.ParseFloat(f, 64)
		if err != nil || gib <= 0 {
			fmt.Fprintf(os.Stderr, "recover: -sizes %q: want GiB, as 5,20\n", *sizes)
			os.Exit(2)
		}
		o.sizes = append(o.sizes, gib)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		}
		fmt.Fprintln(os.Stderr, "recover:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	var all []sizeResult
	for _, gib := range o.sizes {
		r, err := measure(ctx, o, gib)
		if err != nil {
			return fmt.Errorf("%g GiB: %w", gib, err)
		}
		all = append(all, r)
	}
	return report(o, all)
}

// sizeResult is what one size gave.
type sizeResult struct {
	GiB    float64 `json:"gib"`   // of the log at the first kill
	Starts []start `json:"-"`     // the first is the one after the long life
	First  float64 `json:"first"` // seconds until a record was taken and an old one given back, after the long life
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
	Acked  int64   `json:"acked"` // records acknowledged in all lives; none is lost
}

// start is one restart; times count from when the process was started.
type start struct {
	Listening, Produced, Fetched float64
	Ready                        float64 // all of `up`, the diagnosis too
	Replayed                     int64
	LogBytes                     int64
}

func (s start) serving() float64 { return max(s.Produced, s.Fetched) }

func (r *sizeResult) sum() {
	all := make([]float64, 0, len(r.Starts))
	for _, s := range r.Starts {
		all = append(all, s.serving())
	}
	r.First, r.Max = round(all[0]), round(slices.Max(all))
	slices.Sort(all)
	r.Median = round((all[(len(all)-1)/2] + all[len(all)/2]) / 2)
}

func round(x float64) float64 { return math.Round(x*1000) / 1000 }

func report(o options, all []sizeResult) error {
	fmt.Printf("\n%8s  %6s  %9s  %9s  %9s  %12s\n", "log", "starts", "first", "median", "slowest", "replayed")
	for i := range all {
		r := &all[i]
		r.sum()
		most := slices.MaxFunc(r.Starts, func(a, b start) int { return cmp.Compare(a.Replayed, b.Replayed) })
		fmt.Printf("%6.1f G  %6d  %7.2f s  %7.2f s  %7.2f s  %5.0f MiB max\n", r.GiB, len(r.Starts), r.First, r.Median, r.Max, float64(most.Replayed)/(1<<20))
	}
	ratio := round(all[len(all)-1].Median / all[0].Median)
	line, err := json.Marshal(map[string]any{"sizes": all, "largest_over_smallest": ratio, "lost": 0})
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	for _, r := range all {
		if r.Max > o.within.Seconds() {
			err = errors.Join(err, fmt.Errorf("a start with %.1f GiB took %.1f s, allowed are %v", r.GiB, r.Max, o.within))
		}
	}
	if o.spread > 0 && math.Abs(ratio-1) > o.spread {
		err = errors.Join(err, fmt.Errorf("the largest log takes %.2f times as long as the smallest, allowed is a difference of %.0f %%", ratio, 100*o.spread))
	}
	return err
}

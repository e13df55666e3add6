package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/streamkeeper-io/streamkeeper/test/load"
)

// ratios is the last line. Unknown is null.
type ratios struct {
	Replay       *float64 `json:"replay_ratio"`
	TailP99      *float64 `json:"tail_p99_ratio"`
	SliceGain    *float64 `json:"slice_gain"`
	PrefetchGain *float64 `json:"prefetch_gain"`
	ColdOverWarm *float64 `json:"cold_over_warm"`
}

func (l *lab) ratios() ratios {
	return ratios{
		Replay:       over(median(l.replay), median(l.bare)),
		TailP99:      over(deliveryP99(l.tails[1]), deliveryP99(l.tails[0])),
		SliceGain:    over(sums(l.mixed[sliced]), sums(l.mixed[wholeFiles])),
		PrefetchGain: over(sums(l.mixed[sliced]), sums(l.mixed[noReadAhead])),
		ColdOverWarm: over(median(l.replay), median(l.warm)),
	}
}

// over is a ÷ b, nil where either is unknown.
func over(a, b float64) *float64 {
	x := a / b
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

// median is NaN where there is nothing.
func median(all []float64) float64 {
	if len(all) == 0 {
		return math.NaN()
	}
	all = slices.Sorted(slices.Values(all))
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2
}

// deliveryP99 is the median over the rounds, in seconds.
func deliveryP99(tails []load.Tail) float64 {
	return overTails(tails, func(t *load.Tail) *load.Quantiles { return &t.Delivery }, 0.99)
}

func overTails(tails []load.Tail, of func(*load.Tail) *load.Quantiles, share float64) float64 {
	var all []float64
	for i := range tails {
		all = append(all, of(&tails[i]).At(share).Seconds())
	}
	return median(all)
}

func sums(mixes []mix) float64 {
	var all []float64
	for _, m := range mixes {
		all = append(all, m.sum())
	}
	return median(all)
}

// broken says which promise a replay broke, whatever its speed.
func (l *lab) broken() error {
	var errs []error
	if l.disk > l.bytes/100 {
		errs = append(errs, fmt.Errorf("a replay of %d MiB made the broker write %d MiB to disk", l.bytes/mib, l.disk/mib))
	}
	if w := l.watch; w != nil && w.used > w.limit {
		errs = append(errs, fmt.Errorf("the pool of slices took %d bytes, its limit is %d", w.used, w.limit))
	}
	return errors.Join(errs...)
}

func (l *lab) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "\n%d rounds, %d MiB, %d partitions, %d-byte records; medians\n", l.rounds, l.bytes/mib, l.partitions, l.record)
	row := func(name string, value float64, show func(float64) string) {
		text := "not measured"
		if !math.IsNaN(value) {
			text = show(value)
		}
		fmt.Fprintf(w, "%s\t%s\n", name, text)
	}
	row("read back from the local log", median(l.warm), perSecond)
	row("bare GETs", median(l.bare), perSecond)
	row("replay", median(l.replay), perSecond)
	for i, name := range []string{"bare GETs", "a replay"} {
		for _, share := range []float64{0.5, 0.99} {
			row(fmt.Sprintf("tail delivery p%.0f beside %s at %s", 100*share, name, perSecond(float64(l.replayRate))),
				overTails(l.tails[i], func(t *load.Tail) *load.Quantiles { return &t.Delivery }, share), duration)
			row(fmt.Sprintf("tail acknowledgement p%.0f", 100*share),
				overTails(l.tails[i], func(t *load.Tail) *load.Quantiles { return &t.Produced.Latency }, share), duration)
		}
	}
	for i, name := range modeNames {
		row("tail + replay, "+name, sums(l.mixed[i]), perSecond)
	}
	if l.watch != nil {
		fmt.Fprintf(w, "pool of slices at most\t%d of %d MiB\nwritten to disk by a replay at most\t%d KiB\n", l.watch.used/mib, l.watch.limit/mib, l.disk/kib)
	}
	w.Flush()
}

func perSecond(x float64) string { return fmt.Sprintf("%.0f MB/s", x/1e6) }

func duration(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(10 * time.Microsecond).String()
}

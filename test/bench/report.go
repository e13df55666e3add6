package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/streamkeeper-io/streamkeeper/test/load"
)

// collected is all that was measured: pairs of ours and Kafka's.
type collected struct {
	ceiling float64
	disk    float64 // bytes a second without a broker
	pairs   [][2]measured
	raw     []load.Quantiles // of a sync without a broker, before each pair

	telemetry *cost // nil: not measured
	shipped   int64 // peak RSS of ours with all that it ships
}

// ratios is the last line. Unknown is null.
type ratios struct {
	Throughput        *float64 `json:"throughput_ratio"`
	Consume           *float64 `json:"consume_ratio"`
	CPUPerGiB         *float64 `json:"cpu_per_gib_ratio"`
	RSS               *float64 `json:"rss_ratio"`
	RSSShipped        *float64 `json:"rss_ratio_shipped"`
	SyncP99           *float64 `json:"sync_p99_ratio"`
	SyncOverFdatasync *float64 `json:"sync_p99_over_fdatasync"`
	TelemetryCost     *float64 `json:"telemetry_cost"`
}

func (c *collected) ratios() ratios {
	p99 := func(m measured) float64 { return float64(m.sync.At(0.99)) }
	var telemetry *float64
	if c.telemetry != nil {
		telemetry = &c.telemetry.median
	}
	return ratios{
		TelemetryCost: telemetry,

		Throughput: c.ratio(func(m measured) float64 { return m.produce }),
		Consume:    c.ratio(func(m measured) float64 { return m.consume }),
		CPUPerGiB:  c.ratio(func(m measured) float64 { return m.cpuPerGiB }),
		RSS:        c.ratio(func(m measured) float64 { return float64(m.rss) }),
		RSSShipped: c.medianOf(func(pair [2]measured) (float64, bool) {
			return float64(c.shipped) / float64(pair[1].rss), pair[1].rss > 0
		}),
		SyncP99:           c.ratio(p99),
		SyncOverFdatasync: c.overRaw(p99),
	}
}

// ratio is the median of ours ÷ Kafka's.
func (c *collected) ratio(of func(measured) float64) *float64 {
	return c.medianOf(func(pair [2]measured) (float64, bool) {
		ours, theirs := of(pair[0]), of(pair[1])
		return ours / theirs, theirs > 0
	})
}

// overRaw is the median of ours ÷ the disk's own p99, each measured in the same minutes.
func (c *collected) overRaw(of func(measured) float64) *float64 {
	var all []float64
	for i, pair := range c.pairs {
		all = append(all, of(pair[0])/float64(c.raw[i].At(0.99)))
	}
	if len(all) == 0 {
		return nil
	}
	m := median(all)
	return &m
}

func (c *collected) medianOf(of func([2]measured) (float64, bool)) *float64 {
	var all []float64
	for _, pair := range c.pairs {
		if x, ok := of(pair); ok {
			all = append(all, x)
		}
	}
	if len(all) == 0 {
		return nil
	}
	m := median(all)
	return &m
}

func median(all []float64) float64 {
	slices.Sort(all)
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2
}

// print writes the table: medians over the pairs, latencies over all their records.
func (c *collected) print(out io.Writer, p plan) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "\n%d pairs, %d partitions, %d-byte records, acks=all, %d MiB a run; medians\n", p.pairs, p.partitions, p.record, p.bytes/mib)
	fmt.Fprintln(w, "measure\tours\tkafka\tours ÷ kafka")
	row := func(name string, of func(measured) float64, show func(float64) string) {
		both := [2]float64{}
		for i := range both {
			both[i] = *c.medianOf(func(pair [2]measured) (float64, bool) { return of(pair[i]), true })
		}
		ratio := "unknown"
		if r := c.ratio(of); r != nil {
			ratio = fmt.Sprintf("%.2f", *r)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", name, show(both[0]), show(both[1]), ratio)
	}
	at := func(of func(*measured) *load.Quantiles, share float64) func(measured) float64 {
		return func(m measured) float64 { return float64(of(&m).At(share)) }
	}
	row("produce", func(m measured) float64 { return m.produce }, rate)
	row("produce p99", at(func(m *measured) *load.Quantiles { return &m.produceLatency }, 0.99), duration)
	row("consume", func(m measured) float64 { return m.consume }, rate)
	row("CPU seconds per GiB at "+rate(float64(p.rate)), func(m measured) float64 { return m.cpuPerGiB }, func(x float64) string { return fmt.Sprintf("%.2f", x) })
	row("p99 at that rate", at(func(m *measured) *load.Quantiles { return &m.steadyLatency }, 0.99), duration)
	row("peak RSS", func(m measured) float64 { return float64(m.rss) }, func(x float64) string { return fmt.Sprintf("%.0f MiB", x/mib) })
	for _, share := range []float64{0.5, 0.99} {
		row(fmt.Sprintf("single record, synced, p%.0f", share*100), at(func(m *measured) *load.Quantiles { return &m.sync }, share), duration)
	}
	for i, v := range c.pairs[0][0].variants {
		row(v.name, func(m measured) float64 { return m.variants[i].rate }, rate)
		for _, share := range []float64{0.5, 0.99} {
			row(fmt.Sprintf("  p%.0f", share*100), at(func(m *measured) *load.Quantiles { return &m.variants[i].latency }, share), duration)
		}
	}
	fmt.Fprintf(w, "peak RSS of up as shipped\t%d MiB\n", c.shipped/mib)
	if t := c.telemetry; t != nil {
		fmt.Fprintf(w, "telemetry\t%+.1f %% CPU per GiB, below %+.1f %% with 95 %% confidence (%d pairs)\n", 100*t.median, 100*t.upper, p.telemetryPairs)
	}
	var raw load.Quantiles
	for i := range c.raw {
		raw.Merge(&c.raw[i])
	}
	fmt.Fprintf(w, "client ceiling\t%s\nraw disk with fdatasync\t%s\nraw fdatasync p50, p99\t%v, %v\n", rate(c.ceiling), rate(c.disk), raw.At(0.5), raw.At(0.99))
	faster := 0.0
	for side := range 2 {
		faster = max(faster, *c.medianOf(func(pair [2]measured) (float64, bool) { return pair[side].produce, true }))
	}
	fmt.Fprintf(w, "the faster side produces at\t%.0f %% of the client's ceiling, %.0f %% of the disk's\n", 100*faster/c.ceiling, 100*faster/c.disk)
	w.Flush()
}

func rate(x float64) string { return fmt.Sprintf("%.0f MiB/s", x/mib) }

func duration(x float64) string { return time.Duration(x).Round(10 * time.Microsecond).String() }

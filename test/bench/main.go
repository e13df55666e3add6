// Command bench is `task bench:broker`: the bundled broker and Apache Kafka under the same load, on the same machine
// and disk, in turn. It prints a table, and as its last line one JSON object of ratios, ours ÷ Kafka's, each the median
// of the pairs. docs/benchmarks.md tells the method.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/streamkeeper-io/streamkeeper/test/kafka"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// plan is how large the benchmark is.
type plan struct {
	binary      string
	dir         string
	pairs       int
	warmup      time.Duration
	bytes       int64 // of each throughput run
	rate        int64 // bytes a second of the run at a fixed rate
	steady      time.Duration
	syncs       int // runs of single-record sends
	syncRecords int
	partitions  int
	record      int
	batch       int
	connections int
	window      int
	variants    bool

	plain          string // our program built without telemetry
	telemetryPairs int
	telemetryBytes int64 // of each run of a pair
}

// quick makes every measure small: a smoke run, whose numbers say little.
func (p *plan) quick() {
	p.pairs, p.warmup, p.bytes = 1, 2*time.Second, 512*mib
	p.steady, p.syncs, p.syncRecords = 5*time.Second, 1, 500
	p.telemetryPairs = 1
}

func main() {
	p := plan{}
	quick := flag.Bool("quick", false, "a smoke run: one pair, 512 MiB; larger numbers may follow it")
	flag.StringVar(&p.binary, "binary", ".bin/streamkeeper", "path of the program")
	flag.StringVar(&p.dir, "dir", "", "folder on the disk to measure (a temporary one below it is used)")
	flag.IntVar(&p.pairs, "pairs", 5, "how often both are measured, in the order ours, Kafka, Kafka, ours, …")
	flag.DurationVar(&p.warmup, "warmup", 60*time.Second, "load before each measurement, discarded")
	flag.Int64Var(&p.bytes, "bytes", 8*gib, "record bytes of each throughput run")
	flag.Int64Var(&p.rate, "rate", 50*mib, "bytes a second of the run at a fixed offered rate")
	flag.DurationVar(&p.steady, "steady", 60*time.Second, "how long the run at a fixed rate is")
	flag.IntVar(&p.syncs, "sync-runs", 5, "runs of single-record sends")
	flag.IntVar(&p.syncRecords, "sync-records", 5000, "sends of each such run")
	flag.IntVar(&p.partitions, "partitions", 6, "partitions of the topic")
	flag.IntVar(&p.record, "record-bytes", kib, "size of a record")
	flag.IntVar(&p.batch, "batch-bytes", 64*kib, "size of a batch of one partition")
	flag.IntVar(&p.connections, "connections", 2, "connections of producers and of consumers")
	flag.IntVar(&p.window, "window", 5, "unanswered requests of a connection")
	flag.BoolVar(&p.variants, "variants", true, "also lz4, 100-byte records, and 200 producers that send record by record")
	flag.StringVar(&p.plain, "plain", "", "path of the program built with -tags notelemetry; without it telemetry_cost is null")
	flag.IntVar(&p.telemetryPairs, "telemetry-pairs", 20, "how often the program is measured beside the plain one")
	flag.Int64Var(&p.telemetryBytes, "telemetry-bytes", gib, "record bytes of each such run")
	flag.Parse()
	if *quick {
		p.quick()
		flag.Parse() // what was said beside -quick counts
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, p); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, p plan) (err error) {
	dist, err := kafka.Resolve(ctx)
	if err != nil {
		return err
	}
	if p.dir, err = os.MkdirTemp(p.dir, "streamkeeper-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(p.dir)) }()
	var c collected
	if c.ceiling, err = p.ceiling(ctx); err != nil {
		return fmt.Errorf("measure the client: %w", err)
	}
	if c.disk, err = rawRate(p.dir, p.bytes); err != nil {
		return fmt.Errorf("measure the disk: %w", err)
	}
	fmt.Printf("client ceiling %s, disk with fdatasync %s\n", rate(c.ceiling), rate(c.disk))
	sides := [2]side{ours{p.binary}, theirs{dist}}
	for pair := range p.pairs {
		order := [2]int{0, 1}
		if pair%2 == 1 { // ABBA: what drifts hits both alike
			order = [2]int{1, 0}
		}
		var got [2]measured
		raw, err := rawSync(p.dir, p.syncRecords)
		if err != nil {
			return fmt.Errorf("measure the disk: %w", err)
		}
		fmt.Printf("pair %d: raw fdatasync p50 %v p99 %v\n", pair+1, raw.At(0.5), raw.At(0.99))
		for _, i := range order {
			dropCaches()
			if got[i], err = p.measure(ctx, sides[i]); err != nil {
				return fmt.Errorf("pair %d: %s: %w", pair+1, sides[i].name(), err)
			}
			fmt.Printf("pair %d: %-12s %s\n", pair+1, sides[i].name(), got[i])
		}
		c.pairs = append(c.pairs, got)
		c.raw = append(c.raw, raw)
	}
	if c.telemetry, err = p.telemetryCost(ctx); err != nil {
		return err
	}
	if c.shipped, err = p.shippedRSS(ctx); err != nil {
		return fmt.Errorf("up as shipped: %w", err)
	}
	c.print(os.Stdout, p)
	line, err := json.Marshal(c.ratios())
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	return nil
}

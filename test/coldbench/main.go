// Command coldbench is `task bench:cold`: how fast, and at what cost to the tail, the broker reads old records back from
// an object store (versitygw on the same machine). It prints a table, and as its last line one JSON object.
// docs/benchmarks.md tells the method.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// plan is how large the benchmark is.
type plan struct {
	binary, s3  string
	dir         string
	measures    string
	rounds      int
	bytes       int64 // record bytes that are replayed
	tailRate    int64 // bytes a second of the tail load beside a capped replay
	replayRate  int64 // bytes a second of that replay
	tailFor     time.Duration
	partitions  int
	record      int
	batch       int
	connections int
	controlGet  int64 // bytes of each bare GET beside the tail; 0 = whole objects
}

// quick makes every measure small: a smoke run, whose numbers say little.
func (p *plan) quick() {
	p.rounds, p.bytes, p.tailFor = 1, 512*mib, 6*time.Second
}

func (p *plan) wants(measure string) bool {
	return p.measures == "" || strings.Contains(","+p.measures+",", ","+measure+",")
}

func main() {
	p := plan{}
	quick := flag.Bool("quick", false, "a smoke run: one round, 512 MiB; larger numbers may follow it")
	flag.StringVar(&p.binary, "binary", ".bin/streamkeeper", "path of the program")
	flag.StringVar(&p.s3, "s3", ".bin/versitygw", "path of the S3 server")
	flag.StringVar(&p.dir, "dir", "", "folder on the disk to measure (a temporary one below it is used)")
	flag.StringVar(&p.measures, "measures", "", "some of replay,tail,mixed (all when empty); what is left out is null")
	flag.IntVar(&p.rounds, "rounds", 3, "how often each is measured; medians count")
	flag.Int64Var(&p.bytes, "bytes", 2*gib, "record bytes that are replayed")
	flag.Int64Var(&p.tailRate, "tail-rate", 20e6, "bytes a second of the tail load beside a capped replay")
	flag.Int64Var(&p.replayRate, "replay-rate", 100e6, "bytes a second of that replay, and of the bare GETs it is compared with")
	flag.DurationVar(&p.tailFor, "tail-for", 20*time.Second, "how long that load is")
	flag.IntVar(&p.partitions, "partitions", 6, "partitions of the topics")
	flag.IntVar(&p.record, "record-bytes", kib, "size of a record")
	flag.IntVar(&p.batch, "batch-bytes", 64*kib, "size of a batch of one partition")
	flag.IntVar(&p.connections, "connections", 2, "connections of the replaying consumer")
	flag.Int64Var(&p.controlGet, "control-get", 0, "bytes of each bare GET that the tail's control makes; whole objects when 0")
	flag.Parse()
	if *quick {
		p.quick()
		flag.Parse() // what was said beside -quick counts
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, p); err != nil {
		fmt.Fprintln(os.Stderr, "coldbench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, p plan) (err error) {
	if p.dir, err = os.MkdirTemp(p.dir, "streamkeeper-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(p.dir)) }()
	s, err := startStore(ctx, p.s3, p.dir)
	if err != nil {
		return fmt.Errorf("the S3 server: %w", err)
	}
	defer s.Close()
	b, err := newBroker(p, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Stop(), b.Remove()) }()
	l := lab{plan: p, store: s, broker: b}
	if err := l.all(ctx); err != nil {
		return fmt.Errorf("%w; the broker's log ends with: %s", err, b.Log())
	}
	l.print(os.Stdout)
	line, err := json.Marshal(l.ratios())
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	return l.broken()
}

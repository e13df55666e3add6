// Command collectbench is `task bench:collect`: what it costs to watch a cluster through the Kafka protocol.
//
// The fleet: it lets the program watch 10,000 groups over 100,000 partitions, played by a server that computes its
// answers, and holds it to its bounds. The grid: a real Apache Kafka on which 50 groups have committed on each of 2,000
// partitions, watched by the program as an exporter and by the kminion that $KMINION names, in turns. The last line is
// JSON of ratios, ours over kminion's, null without one.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

type options struct {
	binary, kminion, dir string
	measures             string

	fleet   shape
	lasting time.Duration

	grid    grid
	pairs   int
	scrapes int
	every   time.Duration
}

func main() {
	o := options{kminion: os.Getenv("KMINION")}
	flag.StringVar(&o.binary, "binary", ".bin/streamkeeper", "path of the program")
	flag.StringVar(&o.dir, "dir", "", "where data lies; the temporary folder when empty")
	flag.StringVar(&o.measures, "measures", "fleet,grid", "which of them")
	flag.DurationVar(&o.lasting, "for", 150*time.Second, "how long the fleet is watched")
	flag.IntVar(&o.fleet.brokers, "brokers", 3, "of the fleet")
	flag.IntVar(&o.fleet.topics, "topics", 5000, "of the fleet")
	flag.IntVar(&o.fleet.partitions, "partitions", 20, "of each topic of the fleet")
	flag.IntVar(&o.fleet.groups, "groups", 10_000, "of the fleet, each reads one topic")
	flag.IntVar(&o.fleet.members, "members", 2, "of each group of the fleet")
	flag.IntVar(&o.grid.topics, "grid-topics", 200, "of the grid")
	flag.IntVar(&o.grid.partitions, "grid-partitions", 10, "of each topic of the grid")
	flag.IntVar(&o.grid.groups, "grid-groups", 50, "of the grid, each reads all topics")
	flag.IntVar(&o.pairs, "pairs", 9, "cold cycles of each on the grid, after two that do not count")
	flag.IntVar(&o.scrapes, "scrapes", 4, "of each on the grid, once it runs")
	flag.DurationVar(&o.every, "every", 15*time.Second, "between those scrapes")
	flag.Parse()
	if err := bench(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "collectbench:", err)
		os.Exit(1)
	}
}

// errBounds says that something costs more than it may; what was printed shows what.
var errBounds = errors.New("not within the bounds")

func bench(ctx context.Context, o options) (err error) {
	programs, err := os.MkdirTemp(o.dir, "collectbench-programs-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(programs)) }()
	for _, path := range []*string{&o.binary, &o.kminion} {
		if *path == "" {
			continue
		}
		if *path, err = install(*path, programs); err != nil {
			return err
		}
	}
	passed := true
	out := json.NewEncoder(os.Stdout)
	if strings.Contains(o.measures, "fleet") {
		r, err := watchFleet(ctx, o)
		if err != nil {
			return err
		}
		if err := out.Encode(r); err != nil {
			return err
		}
		passed = passed && r.Passed
	}
	if strings.Contains(o.measures, "grid") {
		if o.kminion == "" {
			say("KMINION names no kminion: ours is alone, and there are no ratios")
		}
		r, err := watchGrid(ctx, o)
		if err != nil {
			return err
		}
		if err := out.Encode(r); err != nil {
			return err
		}
		passed = passed && r.passed()
	}
	if !passed {
		return errBounds
	}
	return nil
}

// install copies a program. What a linker has just written may lie in the page cache in huge pages, each of which counts
// whole as resident once a byte of it is touched: 30 MB more than of a program that was installed.
func install(program, dir string) (path string, err error) {
	from, err := os.Open(program)
	if err != nil {
		return "", err
	}
	defer from.Close()
	path = filepath.Join(dir, filepath.Base(program))
	to, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from}) // in small writes
	return path, errors.Join(err, to.Sync(), to.Close())
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// Command foreign is `task test:kafka`: faults are injected with real clients into a real Apache Kafka, several groups
// side by side, and `diagnose --brokers` must name each of them, without history and without anything but the Kafka
// protocol. One cluster lets the diagnosis describe only: it must say what it may not see, and write nothing. With -logs also
// faults that need the logs of brokers and clients, which are pushed to a server that watches; with -tiered instead faults
// of an object store behind tiered storage, and of quotas, with JMX and logs. With -blind these two are watched without logs and
// JMX: then a fault may stay unnamed, but for those of the store, or be named less surely, and nothing else may be said surely.
// With -dark the faults of tiered storage and quotas are those of three brokers, and the JMX of one is lost. With -history
// instead those that take ten minutes of history to be told apart.
// The last line is JSON: {"right", "of"}.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/streamkeeper-io/streamkeeper/test/kafka"
)

type options struct {
	binary, only, record string
	brokers              int
	runs                 int
	least                float64
	window               time.Duration
	show, why            bool
	logs, tiered         bool
	blind, dark          bool
	history              bool
	s3                   string
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", ".bin/streamkeeper", "path of the program")
	flag.IntVar(&o.brokers, "brokers", 3, "brokers of the cluster, 1 or 3; faults of brokers need 3")
	flag.StringVar(&o.only, "run", "", "run only the scenarios whose name contains one of these, comma-separated")
	flag.IntVar(&o.runs, "runs", 1, "how often, each on a new cluster")
	flag.Float64Var(&o.least, "least", 0.9, "share of right answers below which the test fails")
	flag.DurationVar(&o.window, "for", time.Minute, "how long diagnose observes")
	flag.StringVar(&o.record, "record", "", "folder that keeps a recording of each diagnosis")
	flag.BoolVar(&o.logs, "logs", false, "also the faults that need logs, of brokers and clients, pushed to a server that watches")
	flag.BoolVar(&o.tiered, "tiered", false, "instead the faults of tiered storage and quotas, on one broker with a JMX exporter, watched by a server")
	flag.BoolVar(&o.blind, "blind", false, "with -logs or -tiered: without logs and JMX; nothing wrong may be said with 90 % or more")
	flag.BoolVar(&o.dark, "dark", false, "with -tiered: on three brokers, and the JMX exporter of one does not answer; the same may be said")
	flag.BoolVar(&o.history, "history", false, "instead the faults that need ten minutes of history to be told apart")
	flag.StringVar(&o.s3, "s3", ".bin/versitygw", "path of the S3 server of tiered storage")
	flag.BoolVar(&o.why, "why", false, "print the evidence of right answers too")
	flag.BoolVar(&o.show, "show", false, "print each diagnosis whole")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "foreign:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	dist, err := kafka.Resolve(ctx)
	if err != nil {
		return err
	}
	play := once
	switch {
	case o.tiered:
		play = onceTiered
	case matches(readOnlyName, o.only):
		if err := readOnly(ctx, dist, o); err != nil {
			return fmt.Errorf("%s: %w", readOnlyName, err)
		}
		if o.only == readOnlyName {
			return nil
		}
	}
	right, of := 0, 0
	for i := range o.runs {
		if o.runs > 1 {
			fmt.Printf("-- run %d\n", i+1)
		}
		r, n, err := play(ctx, dist, o)
		if err != nil {
			return err
		}
		right, of = right+r, of+n
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]int{"right": right, "of": of}); err != nil {
		return err
	}
	if of == 0 {
		return fmt.Errorf("no scenario is called %q", o.only)
	}
	if float64(right) < o.least*float64(of) {
		return fmt.Errorf("%d of %d right, want %.0f %%", right, of, 100*o.least)
	}
	return nil
}

// phase is scenarios that are played side by side, and how.
type phase struct {
	scenarios []scenario
	play      func(context.Context, []scenario) (right int, err error)
}

// once plays all scenarios on a new cluster: those of groups first, then those of brokers.
func once(ctx context.Context, dist *kafka.Dist, o options) (right, of int, err error) {
	l, err := openLab(ctx, dist, o, kafka.Options{
		Brokers: o.brokers, Heap: brokerHeap, Set: map[string]string{"log.retention.check.interval.ms": strconv.FormatInt(raceCheck.Milliseconds(), 10)},
	})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	phases := []phase{{groupScenarios, l.play}, {brokerScenarios, l.play}}
	switch {
	case o.history:
		phases = []phase{{agedScenarios, l.watch}}
	case o.logs && o.blind: // the others have neither anyway
		phases = []phase{{loggedScenarios, l.watch}}
	case o.logs: // before a broker is lost for good
		phases = slices.Insert(phases, 1, phase{loggedScenarios, l.watch})
	}
	for _, phase := range phases {
		chosen := choose(phase.scenarios, o)
		if len(chosen) == 0 {
			continue
		}
		r, err := phase.play(ctx, chosen)
		if err != nil {
			return right, of, err
		}
		right, of = right+r, of+len(chosen)
	}
	return right, of, nil
}

func choose(all []scenario, o options) []scenario {
	var out []scenario
	for _, s := range all {
		if s.brokers > o.brokers {
			fmt.Printf("left  %s: needs %d brokers\n", s.name, s.brokers)
			continue
		}
		if matches(s.name, o.only) {
			out = append(out, s)
		}
	}
	return out
}

// matches reports whether a name contains one of the words, comma-separated.
func matches(name, words string) bool {
	for word := range strings.SplitSeq(words, ",") {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// Command kafkatools is `task test:kafka-tools`: it runs Apache Kafka's own command-line tools, from its own jars,
// against the bundled broker and checks what they print. The same checks run against Apache Kafka itself with
// -target kafka: a check that fails there is wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/streamkeeper-io/streamkeeper/test/kafka"
	"github.com/streamkeeper-io/streamkeeper/test/server"
)

func main() {
	binary := flag.String("binary", ".bin/streamkeeper", "path of the program")
	target := flag.String("target", "ours", "what to run the tools against: ours, kafka (one broker) or kafka3 (three brokers)")
	only := flag.String("run", "", "run only the checks whose name contains this")
	parallel := flag.Int("parallel", 2, "checks at a time; each is a process of its own")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *binary, *target, *only, *parallel); err != nil {
		fmt.Fprintln(os.Stderr, "kafkatools:", err)
		os.Exit(1)
	}
}

// trial is where a check runs.
type trial struct {
	*kafka.Dist
	brokers string
}

type check struct {
	name string
	run  func(context.Context, *trial) error
}

var checks = []check{
	{"kafka-topics: create, describe, list, alter, delete", topicsLife},
	{"kafka-topics: refusals", topicsRefusals},
	{"kafka-console-producer and -consumer: every codec", console},
	{"kafka-consumer-groups: list, describe, members, state", groupsDescribe},
	{"kafka-consumer-groups: reset-offsets, delete-offsets, delete", groupsReset},
	{"kafka-consumer-groups and kafka-configs: a group of the KIP-848 protocol", groupsNextGen},
	{"kafka-configs: topics", configsTopic},
	{"kafka-configs: brokers", configsBroker},
	{"kafka-client-metrics: alter, list, describe, delete", clientMetrics},
	{"kafka-get-offsets and kafka-delete-records", offsets},
	{"kafka-verifiable-producer and -consumer", verifiable},
	{"kafka-transactions: perf test in transactions, list, describe, describe-producers, find-hanging", transactions},
	{"kafka-producer-perf-test and kafka-consumer-perf-test", perf},
	{"kafka-broker-api-versions, -features, -log-dirs, -metadata-quorum, -cluster, -groups", clusterWide},
}

func run(ctx context.Context, binary, target, only string, parallel int) error {
	dist, err := kafka.Resolve(ctx)
	if err != nil {
		return err
	}
	brokers, stop, err := start(ctx, dist, binary, target)
	if err != nil {
		return err
	}
	failed, total := runChecks(ctx, &trial{dist, brokers}, only, parallel)
	log, err := stop()
	fmt.Printf("%d passed, %d failed\n", total-failed, failed)
	if failed > 0 {
		return errors.Join(errors.New("Kafka's tools do not work against "+target+"; its log ends with: "+log), err)
	}
	return err
}

// start starts what the tools run against; stop ends it and returns the end of its log.
func start(ctx context.Context, dist *kafka.Dist, binary, target string) (brokers string, stop func() (string, error), err error) {
	switch target {
	case "kafka", "kafka3":
		o := kafka.Options{Brokers: 1, Heap: "512m"}
		if target == "kafka3" {
			o.Brokers = 3
		}
		c, err := dist.Start(ctx, o)
		if err != nil {
			return "", nil, err
		}
		return c.Bootstrap(), func() (string, error) { log := c.Log(); return log, c.Stop() }, nil
	case "ours":
		s, err := server.New(binary, "--set", "log.level=warn", "--set", "broker.group.initial_rebalance_delay=100ms")
		if err != nil {
			return "", nil, err
		}
		if err := s.Start(ctx); err != nil {
			return "", nil, errors.Join(err, s.Remove())
		}
		return s.Kafka, func() (string, error) { err := s.Stop(); return s.Log(), errors.Join(err, s.Remove()) }, nil
	}
	return "", nil, fmt.Errorf("-target %s: want ours, kafka or kafka3", target)
}

func runChecks(ctx context.Context, t *trial, only string, parallel int) (failed, total int) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, max(parallel, 1))
	for _, c := range checks {
		if !strings.Contains(c.name, only) {
			continue
		}
		total++
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			began := time.Now()
			err := c.run(ctx, t)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed++
				fmt.Printf("FAIL  %s: %v\n", c.name, err)
				return
			}
			fmt.Printf("ok    %s (%.0f s)\n", c.name, time.Since(began).Seconds())
		})
	}
	wg.Wait()
	return failed, total
}

// tool runs one of Kafka's tools against the brokers.
func (t *trial) tool(ctx context.Context, class string, args ...string) (string, error) {
	return t.Run(ctx, "", class, append([]string{"--bootstrap-server", t.brokers}, args...)...)
}

// expect runs a tool and wants each of these in what it prints.
func (t *trial) expect(ctx context.Context, class string, args []string, want ...string) error {
	out, err := t.tool(ctx, class, args...)
	if err != nil {
		return err
	}
	return contains(args, out, want...)
}

func contains(what []string, out string, want ...string) error {
	flat := strings.Join(strings.Fields(out), " ") // tools align columns
	for _, w := range want {
		if !strings.Contains(flat, w) {
			return fmt.Errorf("%s: want %q in:\n%s", strings.Join(what, " "), w, out)
		}
	}
	return nil
}

// refuse runs a tool and wants it to fail, saying this.
func (t *trial) refuse(ctx context.Context, class string, args []string, want string) error {
	out, err := t.tool(ctx, class, args...)
	if err == nil {
		// Some tools print the error and exit with 0.
		return contains(args, out, want)
	}
	return contains(args, err.Error(), want)
}

// args splits a command line at blanks.
func args(line string) []string { return strings.Fields(line) }

// create makes a topic.
func (t *trial) create(ctx context.Context, topic string, partitions int) error {
	return t.expect(ctx, kafka.Topics, args(fmt.Sprintf("--create --topic %s --partitions %d", topic, partitions)), "Created topic "+topic+".")
}

// Command kill is `task test:kill`: it kills a broker under load again and again, and checks after each
// restart that nothing acknowledged is lost, that no offset changes its content once read, and that no
// committed offset goes back.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper/test/ledger"
	"github.com/streamkeeper-io/streamkeeper/test/server"
)

func main() {
	binary := flag.String("binary", ".bin/streamkeeper", "path of the program")
	kills := flag.Int("kills", 20, "how many times")
	seed := flag.Uint64("seed", 1, "varies the moments")
	flag.Parse()
	if err := run(context.Background(), *binary, *kills, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "kill:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary string, kills int, seed uint64) error {
	s, err := server.New(binary, "--set", "diagnose.enabled=false", "--set", "log.level=warn",
		"--set", "broker.log.segment_bytes=1MiB", "--set", "broker.tier.offload_after=2s", "--set", "broker.group.initial_rebalance_delay=100ms")
	if err != nil {
		return err
	}
	defer func() { _ = s.Remove() }()
	if err := s.Start(ctx); err != nil {
		return err
	}
	defer func() { _ = s.Kill() }()
	l, err := ledger.New(ctx, s.Kafka)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(seed, 1))
	slowest := time.Duration(0)
	for n := range kills {
		life := time.Duration(1500+random.IntN(2500)) * time.Millisecond // the moment of the kill is what varies
		if err := liveAndDie(ctx, s, l, uint64(n*10), life); err != nil {
			return err
		}
		began := time.Now()
		if err := s.Start(ctx); err != nil {
			return err
		}
		serving := time.Since(began)
		slowest = max(slowest, serving)
		began = time.Now()
		if err := l.Check(ctx, s.Kafka); err != nil {
			return err
		}
		acked, read := l.Counts()
		fmt.Printf("kill %3d: %d acknowledged, %d read; serving after %.2f s, all read back in %.1f s\n",
			n+1, acked, read, serving.Seconds(), time.Since(began).Seconds())
		if err := l.Err(); err != nil {
			return err
		}
	}
	fmt.Printf("%d passed, 0 failed; serving after %.2f s at most\n", kills, slowest.Seconds())
	return nil
}

// liveAndDie loads the server for a while and kills it under the load.
func liveAndDie(ctx context.Context, s *server.Server, l *ledger.Ledger, seed uint64, life time.Duration) error {
	load, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() { l.Produce(load, s.Kafka, seed+uint64(i), 5, time.Millisecond) })
	}
	wg.Go(func() { l.Consume(load, s.Kafka) })
	time.Sleep(life)
	err := s.Kill()
	stop()
	wg.Wait()
	return err
}

// Command steps is `task test:steps`: the offered load is stepped up by 10,000 messages/s within one second, five times
// from 1,000. No request may fail, and p99 must be back under twice the steady value within five seconds of each step.
// It prints p99 over time and, as last line, one JSON object.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamkeeper-io/streamkeeper/test/load"
	"github.com/streamkeeper-io/streamkeeper/test/server"
)

const (
	topic      = "steps"
	partitions = 6
	first      = 1000.0  // messages a second
	rise       = 10000.0 // per step
	steps      = 5
	ramp       = time.Second
	settleIn   = 5 * time.Second
	maxRatio   = 2
)

func main() {
	binary := flag.String("binary", ".bin/streamkeeper", "path of the program")
	dir := flag.String("dir", "", "where data lies; the temporary folder when empty")
	hold := flag.Duration("hold", 15*time.Second, "how long each load is held")
	size := flag.Int("record", 1024, "bytes of a record")
	perBatch := flag.Int("batch", 10, "records of a batch")
	flag.Parse()
	r, err := run(context.Background(), *binary, *dir, *hold, *size, *perBatch)
	if err != nil {
		fmt.Fprintln(os.Stderr, "steps:", err)
		os.Exit(1)
	}
	line, err := json.Marshal(r)
	if err != nil {
		fmt.Fprintln(os.Stderr, "steps:", err)
		os.Exit(1)
	}
	fmt.Println(string(line))
	if !r.Passed {
		os.Exit(1)
	}
}

// result is what was measured.
type result struct {
	Steps   []step `json:"steps"`
	Errors  int    `json:"errors"`
	Dropped int64  `json:"dropped"`
	Passed  bool   `json:"passed"`
}

// step is one level of the load.
type step struct {
	Rate    float64  `json:"messages_per_second"`
	Steady  float64  `json:"steady_p99_seconds"` // of the level's second half
	Settled *float64 `json:"settled_seconds"`    // after its load began to rise; null: not within the level
	Ratio   float64  `json:"ratio_at_5s"`
}

// bySecond is the latency by second since the start.
type bySecond struct {
	mu      sync.Mutex
	began   time.Time
	latency []load.Quantiles
	errors  int
}

func (s *bySecond) answer(a load.Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.Code != 0 {
		s.errors++
		return
	}
	at := int(a.Due.Sub(s.began) / time.Second)
	for len(s.latency) <= at {
		s.latency = append(s.latency, load.Quantiles{})
	}
	s.latency[max(at, 0)].Add(a.At.Sub(a.Due))
}

// offered is the load at a time: each level is held, and the next is reached within ramp.
func offered(since, hold time.Duration) float64 {
	level := min(int(since/hold), steps)
	rate := first + rise*float64(level)
	if into := since - time.Duration(level)*hold; level > 0 && into < ramp {
		rate -= rise * (1 - into.Seconds()/ramp.Seconds())
	}
	return rate
}

func run(ctx context.Context, binary, dir string, hold time.Duration, size, perBatch int) (r result, err error) {
	s, err := server.NewIn(dir, binary, "--set", "log.level=error")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.Stop(), s.Remove()) }()
	if err := s.Start(ctx); err != nil {
		return r, err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Kafka))
	if err != nil {
		return r, err
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
		return r, err
	}
	spec := load.Spec{Address: s.Kafka, Topic: topic, Partitions: partitions, RecordBytes: size, BatchBytes: size * perBatch, Connections: 4, Window: 5, Acks: -1}
	warm, stop := context.WithTimeout(ctx, hold)
	defer stop()
	if _, err := load.Stream(warm, spec, func(time.Duration) float64 { return first * float64(size) }, func(load.Answer) {}); err != nil {
		return r, err
	}
	seen := &bySecond{began: time.Now()}
	rise, end := context.WithTimeout(ctx, (steps+1)*hold)
	defer end()
	r.Dropped, err = load.Stream(rise, spec, func(since time.Duration) float64 { return offered(since, hold) * float64(size) }, seen.answer)
	if err != nil {
		return r, err
	}
	r.Errors = seen.errors
	r.judge(seen.latency, hold)
	return r, nil
}

// judge prints the seconds and says what of it passes.
func (r *result) judge(latency []load.Quantiles, hold time.Duration) {
	r.Passed = r.Errors == 0 && r.Dropped == 0
	per := int(hold / time.Second)
	for level := range steps + 1 {
		seconds := latency[min(level*per, len(latency)):min((level+1)*per, len(latency))]
		var steady load.Quantiles
		for i := len(seconds) / 2; i < len(seconds); i++ {
			steady.Merge(&seconds[i])
		}
		st := step{Rate: first + rise*float64(level), Steady: steady.At(0.99).Seconds()}
		fmt.Printf("%6.0f/s  steady p99 %6.1f ms, by second:", st.Rate, 1000*st.Steady)
		for i := range seconds {
			p99 := seconds[i].At(0.99).Seconds()
			fmt.Printf(" %.1f", 1000*p99)
			if p99 <= maxRatio*st.Steady && st.Settled == nil {
				at := float64(i)
				st.Settled = &at
			}
			if i == int(settleIn.Seconds()) {
				st.Ratio = p99 / st.Steady
			}
		}
		fmt.Println()
		r.Passed = r.Passed && st.Settled != nil && *st.Settled <= settleIn.Seconds()
		r.Steps = append(r.Steps, st)
	}
	fmt.Printf("%d errors, %d requests not sent in time\n", r.Errors, r.Dropped)
}

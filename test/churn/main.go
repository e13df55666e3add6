// Command churn is `task test:churn`: topics come, are filled and go, others keep what they get for a short time or a
// few bytes only, one is compacted. Once this has settled, the bucket may hold at most 1.3 times what somebody may still
// read. It prints the way there and, as last line, one JSON object.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamkeeper-io/streamkeeper/test/server"
)

const maxRatio = 1.3

type churn struct {
	server *server.Server
	store  *server.Store
	client *kgo.Client
	admin  *kadm.Client
	random *rand.Rand
	round  int64 // bytes of a round
}

func main() {
	binary := flag.String("binary", ".bin/streamkeeper", "path of the program")
	s3 := flag.String("s3", ".bin/versitygw", "path of the S3 server")
	dir := flag.String("dir", "", "where data lies; the temporary folder when empty")
	rounds := flag.Int("rounds", 20, "how often topics come and go")
	bytes := flag.Int64("round-bytes", 32<<20, "what each round writes")
	settle := flag.Duration("settle", 5*time.Minute, "how long it may take to settle")
	seed := flag.Uint64("seed", 1, "varies sizes")
	flag.Parse()
	c := &churn{random: rand.New(rand.NewPCG(*seed, 0)), round: *bytes}
	if err := c.run(context.Background(), *binary, *s3, *dir, *rounds, *settle); err != nil {
		fmt.Fprintln(os.Stderr, "churn:", err)
		os.Exit(1)
	}
}

func (c *churn) run(ctx context.Context, binary, s3, dir string, rounds int, settle time.Duration) (err error) {
	if c.server, err = server.NewIn(dir, binary, "--set", "log.level=error", "--set", "diagnose.enabled=false",
		"--set", "broker.log.segment_bytes=8MiB", "--set", "broker.tier.offload_after=2s"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.server.Stop(), c.server.Remove()) }()
	if c.store, err = server.StartStore(ctx, c.server, s3); err != nil {
		return err
	}
	defer c.store.Close()
	if err := c.server.Start(ctx); err != nil {
		return err
	}
	if c.client, err = kgo.NewClient(kgo.SeedBrokers(c.server.Kafka), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.UnknownTopicRetries(-1)); err != nil {
		return err
	}
	defer c.client.Close()
	c.admin = kadm.NewClient(c.client)
	if err := c.steady(ctx); err != nil {
		return err
	}
	for i := range rounds {
		if err := c.once(ctx, i); err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
	}
	return c.settle(ctx, settle)
}

// steady makes the topics that stay, each with another retention.
func (c *churn) steady(ctx context.Context) error {
	some, short, policy := fmt.Sprint(c.round), "20000", "compact"
	for name, configs := range map[string]map[string]*string{
		"kept": nil, "by-size": {"retention.bytes": &some}, "by-time": {"retention.ms": &short}, "by-key": {"cleanup.policy": &policy},
	} {
		if _, err := c.admin.CreateTopic(ctx, 3, 1, configs, name); err != nil {
			return err
		}
	}
	return nil
}

// once fills two new topics and the steady ones in shares that vary, and deletes what came three rounds ago.
func (c *churn) once(ctx context.Context, i int) error {
	fresh := []string{fmt.Sprintf("short-%d", i), fmt.Sprintf("long-%d", i)}
	if _, err := c.admin.CreateTopics(ctx, 4, 1, nil, fresh...); err != nil {
		return err
	}
	names := append(fresh, "kept", "by-size", "by-time", "by-key")
	shares := make([]float64, len(names))
	total := 0.0
	for j := range shares {
		shares[j] = 0.1 + c.random.Float64()
		total += shares[j]
	}
	const size = 2000
	var failed error
	for j, name := range names {
		for range int(shares[j] / total * float64(c.round) / size) {
			value := make([]byte, size)
			for k := 0; k < size; k += 8 {
				value[k] = byte(c.random.Uint32())
			}
			key := fmt.Appendf(nil, "key-%d", c.random.IntN(500))
			c.client.Produce(ctx, &kgo.Record{Topic: name, Key: key, Value: value}, func(_ *kgo.Record, err error) {
				if err != nil {
					failed = err
				}
			})
		}
	}
	if err := c.client.Flush(ctx); err != nil || failed != nil {
		return errors.Join(err, failed)
	}
	var old []string
	if i >= 1 {
		old = append(old, fmt.Sprintf("short-%d", i-1))
	}
	if i >= 3 {
		old = append(old, fmt.Sprintf("long-%d", i-3))
	}
	if len(old) == 0 {
		return nil
	}
	_, err := c.admin.DeleteTopics(ctx, old...)
	return err
}

// figures are bytes of the bucket as it lies on disk, and of what the engine says.
type figures struct {
	Bucket  int64   `json:"bucket_bytes"`
	Stored  int64   `json:"stored_bytes"`
	Live    int64   `json:"live_bytes"`
	Objects int64   `json:"objects"`
	Ratio   float64 `json:"bucket_over_live"`
	Worst   float64 `json:"worst_ratio"`
	Settled float64 `json:"settled_seconds"`
	Passed  bool    `json:"passed"`
}

func (c *churn) look(ctx context.Context) (f figures, err error) {
	if f.Bucket, err = c.store.Bytes(); err != nil {
		return f, err
	}
	for _, x := range []struct {
		to   *int64
		name string
		kind []string
	}{
		{&f.Stored, "object_bytes", []string{`kind="dead"`}},
		{&f.Live, "object_bytes", []string{`kind="live"`}},
		{&f.Objects, "objects", nil},
	} {
		v, err := c.server.Metric(ctx, "streamkeeper_broker_"+x.name, x.kind...)
		if err != nil {
			return f, err
		}
		*x.to = int64(v)
	}
	f.Stored += f.Live
	f.Ratio = float64(f.Bucket) / float64(max(f.Live, 1))
	return f, nil
}

// settle waits until the ratio stays within bounds for a while.
func (c *churn) settle(ctx context.Context, most time.Duration) error {
	began, worst := time.Now(), 0.0
	var good time.Time
	var f figures
	var last time.Time
	for ; time.Since(began) < most; time.Sleep(time.Second) { // between looks at a condition
		var err error
		if f, err = c.look(ctx); err != nil {
			return err
		}
		worst = max(worst, f.Ratio)
		if time.Since(last) >= 10*time.Second {
			last = time.Now()
			fmt.Printf("after %3.0f s: %d MiB in the bucket, %d MiB stored, %d MiB live in %d objects: %.2f\n",
				time.Since(began).Seconds(), f.Bucket>>20, f.Stored>>20, f.Live>>20, f.Objects, f.Ratio)
		}
		pending, err := c.server.Metric(ctx, "streamkeeper_broker_offload_pending_bytes")
		if err != nil {
			return err
		}
		switch settled := f.Ratio <= maxRatio && pending == 0; {
		case !settled:
			good = time.Time{}
		case good.IsZero():
			good = time.Now()
		}
		if !good.IsZero() && time.Since(good) >= 30*time.Second {
			break
		}
	}
	f.Worst, f.Passed = worst, !good.IsZero()
	if f.Passed {
		f.Settled = good.Sub(began).Seconds()
	}
	line, err := json.Marshal(f)
	if err != nil {
		return err
	}
	fmt.Println(string(line))
	if !f.Passed {
		return fmt.Errorf("the bucket holds %.2f times what is live; at most %.1f was expected", f.Ratio, maxRatio)
	}
	return nil
}

// Command lag is `task test:lag`: how true the seconds of lag are. Producers that keep when they sent each record write to
// idle, bursty, compacted, transactional and restarted partitions of a real Apache Kafka (or, with -target embedded, of the
// program's own broker), groups commit offsets that are known, and a server that has never seen the cluster watches. Each
// sample of the lag in seconds is compared with the truth. The last line is JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/streamkeeper-io/streamkeeper/test/kafka"
	"github.com/streamkeeper-io/streamkeeper/test/server"
)

type options struct {
	binary, target string
	brokers        int
	before, watch  time.Duration
	every          time.Duration
	show           bool
	least          float64
}

// The limits.
const (
	relativeError = 0.05
	absoluteError = time.Second
	leastKnown    = 0.95
	settledAfter  = 60 * time.Second // what is known is counted from then on
)

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", ".bin/streamkeeper", "path of the program")
	flag.StringVar(&o.target, "target", "kafka", "kafka or embedded")
	flag.IntVar(&o.brokers, "brokers", 3, "brokers of the Kafka cluster, 1 or 3")
	flag.DurationVar(&o.before, "before", 25*time.Second, "how long there is traffic before anybody watches")
	flag.DurationVar(&o.watch, "for", 110*time.Second, "how long is watched")
	flag.DurationVar(&o.every, "every", 5*time.Second, "how often the server looks at a Kafka; its own broker it looks at every 5s")
	flag.Float64Var(&o.least, "least", 1, "the share of samples that must lie within the limits")
	flag.BoolVar(&o.show, "show", false, "print the samples that are off")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "lag:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	began := time.Now()
	l, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	fmt.Printf("%s serves after %.0f s\n", o.target, time.Since(began).Seconds())
	if err := l.play(ctx); err != nil {
		return err
	}
	samples, err := l.read(ctx)
	if err != nil {
		return err
	}
	if o.show {
		fmt.Println(l.watcher.Log())
	}
	return l.judge(samples)
}

// lab is a cluster, what happens on it, and who watches.
type lab struct {
	o         options
	addresses []string
	dist      *kafka.Dist
	cluster   *kafka.Cluster // nil with -target embedded
	watcher   *server.Server
	scenes    []*scene
	watched   time.Time // since when

	wg   sync.WaitGroup
	mu   sync.Mutex
	errs []error
}

func open(ctx context.Context, o options) (l *lab, err error) {
	l = &lab{o: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	switch o.target {
	case "kafka":
		if l.dist, err = kafka.Resolve(ctx); err != nil {
			return l, err
		}
		l.cluster, err = l.dist.Start(ctx, kafka.Options{Brokers: o.brokers, Heap: brokerHeap, Set: map[string]string{"log.cleaner.backoff.ms": "1000"}})
		if err != nil {
			return l, err
		}
		l.addresses = l.cluster.Addresses()
		brokers := "['" + strings.Join(l.addresses, "', '") + "']"
		l.watcher, err = server.New(o.binary, "--set", "broker.enabled=false", "--set", fmt.Sprintf("clusters=[{name: %s, brokers: %s, scrape: %s}]", clusterName, brokers, o.every))
	case "embedded":
		if l.watcher, err = server.New(o.binary, "--set", "broker.name="+clusterName); err != nil {
			return l, err
		}
		l.addresses = []string{l.watcher.Kafka}
		err = l.watcher.Start(ctx)
	default:
		err = fmt.Errorf("no target %q: kafka or embedded", o.target)
	}
	return l, err
}

const (
	brokerHeap  = "384m"
	clusterName = "lag"
)

func (l *lab) close() error {
	var errs []error
	for _, s := range l.scenes {
		s.client.Close()
	}
	if l.watcher != nil {
		errs = append(errs, l.watcher.Stop(), l.watcher.Remove())
	}
	if l.cluster != nil {
		errs = append(errs, l.cluster.Stop())
	}
	return errors.Join(errs...)
}

// play has traffic before anybody watches, and while somebody does; in the midst of it a broker is restarted.
func (l *lab) play(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer l.wg.Wait()
	defer stop()
	for _, kind := range kinds {
		s, err := l.stage(ctx, kind)
		if err != nil {
			return fmt.Errorf("stage %s partitions: %w", kind.name, err)
		}
		l.scenes = append(l.scenes, s)
	}
	for _, s := range l.scenes {
		s.start(ctx, l)
	}
	if !pause(ctx, l.o.before) {
		return ctx.Err()
	}
	l.watched = time.Now()
	if l.cluster != nil {
		if err := l.watcher.Start(ctx); err != nil {
			return err
		}
	}
	if !pause(ctx, l.o.watch/2) {
		return ctx.Err()
	}
	if err := l.restart(ctx); err != nil {
		return err
	}
	pause(ctx, time.Until(l.watched.Add(l.o.watch)))
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(append(l.errs, ctx.Err())...)
}

// restart stops a broker as an operator does and starts it again. Our own broker takes its watcher with it.
func (l *lab) restart(ctx context.Context) error {
	began := time.Now()
	defer func() { fmt.Printf("a broker was restarted within %.0f s\n", time.Since(began).Seconds()) }()
	if l.cluster == nil {
		return errors.Join(l.watcher.Stop(), l.watcher.Start(ctx))
	}
	if err := l.cluster.StopBroker(1); err != nil {
		fmt.Println("       ", err) // a crash is as good
	}
	return l.cluster.StartBroker(l.dist, 1, brokerHeap)
}

// failed keeps what went wrong in the background: the test is worth nothing then.
func (l *lab) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
}

// pause waits; false when the context ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// row is one group on one partition at one time.
type row struct {
	group, topic, partition string
	at                      int64 // milliseconds
}

// read asks the watcher for all samples: what was committed as it saw it, and the lag in seconds where it knew that.
func (l *lab) read(ctx context.Context) (map[row]sample, error) {
	out := map[row]sample{}
	for name, take := range map[string]func(*sample, float64){
		"streamkeeper_group_partition_committed_offset": func(s *sample, v float64) { s.committed, s.seen = int64(v), true },
		"streamkeeper_group_partition_lag_seconds":      func(s *sample, v float64) { s.lag, s.known = v, true },
	} {
		var answer struct {
			Data struct {
				Result []struct {
					Metric map[string]string `json:"metric"`
					Values [][2]json.RawMessage
				} `json:"result"`
			} `json:"data"`
		}
		if err := l.watcher.Get(ctx, "/prometheus/api/v1/query?query="+name+"%7Bcluster%3D%22"+clusterName+"%22%7D%5B15m%5D", &answer); err != nil {
			return nil, err
		}
		for _, series := range answer.Data.Result {
			for _, value := range series.Values {
				at, v, err := point(value)
				if err != nil {
					return nil, err
				}
				if math.IsNaN(v) {
					continue
				}
				r := row{series.Metric["group"], series.Metric["topic"], series.Metric["partition"], at}
				s := out[r]
				take(&s, v)
				out[r] = s
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the watcher has no samples: %s", l.watcher.Log())
	}
	return out, nil
}

// point reads a time in milliseconds and a value.
func point(v [2]json.RawMessage) (at int64, value float64, err error) {
	var seconds float64
	var text string
	if err := errors.Join(json.Unmarshal(v[0], &seconds), json.Unmarshal(v[1], &text)); err != nil {
		return 0, 0, err
	}
	_, err = fmt.Sscan(text, &value)
	return int64(seconds*1000 + .5), value, err
}

// rounds are the times at which the watcher looked, in order.
func rounds(samples map[row]sample) []int64 {
	var out []int64
	seen := map[int64]bool{}
	for r := range samples {
		if !seen[r.at] {
			seen[r.at] = true
			out = append(out, r.at)
		}
	}
	slices.Sort(out)
	return out
}

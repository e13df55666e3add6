package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamkeeper-io/streamkeeper/test/ledger"
	"github.com/streamkeeper-io/streamkeeper/test/load"
	"github.com/streamkeeper-io/streamkeeper/test/server"
)

const (
	bulkTopic  = "bulk"
	probeTopic = "probe"
	partitions = 6
	// startLimit ends a start that hangs; what is allowed is judged at the end.
	startLimit = 5 * time.Minute
)

// lab is one broker with its accounts.
type lab struct {
	o      options
	server *server.Server
	ledger *ledger.Ledger
	bulk   *bulk
	lives  uint64
}

// measure fills a log, kills it, and kills it again after short lives.
func measure(ctx context.Context, o options, gib float64) (r sizeResult, err error) {
	// Nothing may leave the local log: offload begins at half the budget.
	budget := int(4*gib) + 40
	s, err := server.NewIn(o.dir, o.binary, "--set", "broker.tier.offload_after=240h",
		"--set", fmt.Sprintf("broker.tier.local_bytes=%dGiB", budget), "--set", fmt.Sprintf("broker.tier.hard_local_bytes=%dGiB", 2*budget))
	if err != nil {
		return r, err
	}
	l := &lab{o: o, server: s}
	defer func() {
		err = errors.Join(err, s.Kill(), s.Remove())
	}()
	if err := s.Start(ctx); err != nil {
		return r, err
	}
	if err := l.open(ctx); err != nil {
		return r, err
	}
	began := time.Now()
	if err := l.bulk.fill(ctx, int64(gib*(1<<30))); err != nil {
		return r, fmt.Errorf("filling: %w", err)
	}
	fmt.Printf("%g GiB filled in %.0f s\n", gib, time.Since(began).Seconds())
	if err := l.bulk.sample(ctx); err != nil {
		return r, err
	}
	for n := range o.kills + 1 {
		st, err := l.killAndStart(ctx)
		if err != nil {
			return r, fmt.Errorf("kill %d: %w", n+1, err)
		}
		r.Starts = append(r.Starts, st)
		if n == 0 {
			r.GiB = round(float64(st.LogBytes) / (1 << 30))
		}
		fmt.Printf("%6.1f G  kill %2d: listening %.2f s, produced %.2f s, old data %.2f s, all ready %.2f s; %3.0f MiB replayed\n",
			float64(st.LogBytes)/(1<<30), n+1, st.Listening, st.Produced, st.Fetched, st.Ready, float64(st.Replayed)/(1<<20))
	}
	r.Acked = l.bulk.acked
	acked, _ := l.ledger.Counts()
	r.Acked += int64(acked)
	return r, nil
}

func (l *lab) open(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(l.server.Kafka))
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopics(ctx, partitions, 1, nil, bulkTopic, probeTopic); err != nil {
		return err
	}
	if l.ledger, err = ledger.New(ctx, l.server.Kafka); err != nil {
		return err
	}
	l.bulk = &bulk{spec: load.Spec{
		Address: l.server.Kafka, Topic: bulkTopic, Partitions: partitions, RecordBytes: 1 << 10, BatchBytes: l.o.batch, Spread: 1,
		Connections: 2, Window: 8, Acks: -1,
	}}
	return nil
}

// killAndStart lives under load, dies, starts again, and checks every account.
func (l *lab) killAndStart(ctx context.Context) (start, error) {
	l.lives++
	run, stop := context.WithCancel(ctx)
	defer stop()
	early := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { early <- l.bulk.load(run, l.o.rate) })
	wg.Go(func() { l.ledger.Produce(run, l.server.Kafka, l.lives, 10, 5*time.Millisecond) })
	wg.Go(func() { l.ledger.Consume(run, l.server.Kafka) })
	var failed error
	select {
	case <-time.After(l.o.life):
	case err := <-early:
		failed = fmt.Errorf("the load ended before the broker: %w", err)
	case <-ctx.Done():
		failed = ctx.Err()
	}
	err := errors.Join(failed, l.server.Kill())
	stop()
	wg.Wait()
	if err != nil {
		return start{}, err
	}
	st, err := l.start(ctx)
	if err != nil {
		return st, err
	}
	if err := l.bulk.check(ctx); err != nil {
		return st, err
	}
	if err := l.ledger.Check(ctx, l.server.Kafka); err != nil {
		return st, err
	}
	return st, l.ledger.Err()
}

// start starts the process and asks it from the first moment on, as clients do that wait for it.
func (l *lab) start(ctx context.Context) (start, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var st start
	began := time.Now()
	ready := make(chan error, 1)
	go func() {
		err := l.server.Start(ctx)
		st.Ready = time.Since(began).Seconds()
		ready <- err
		if err != nil {
			cancel()
		}
	}()
	err := l.ask(ctx, began, &st)
	if rerr := <-ready; rerr != nil {
		return st, rerr
	}
	if err != nil {
		return st, err
	}
	if st.Replayed, err = l.replayed(ctx); err != nil {
		return st, err
	}
	st.LogBytes, err = l.logBytes(ctx)
	return st, err
}

func (l *lab) ask(ctx context.Context, began time.Time, st *start) error {
	for {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", l.server.Kafka)
		if err == nil {
			_ = conn.Close()
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nobody listens: %w", ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
	st.Listening = time.Since(began).Seconds()
	var wg sync.WaitGroup
	var produced, fetched error
	wg.Go(func() {
		produced = l.produceOne(ctx)
		st.Produced = time.Since(began).Seconds()
	})
	wg.Go(func() {
		fetched = l.bulk.fetchOld(ctx)
		st.Fetched = time.Since(began).Seconds()
	})
	wg.Wait()
	return errors.Join(produced, fetched)
}

func (l *lab) produceOne(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(l.server.Kafka), kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond }))
	if err != nil {
		return err
	}
	defer client.Close()
	return client.ProduceSync(ctx, &kgo.Record{Topic: probeTopic, Value: []byte("are you there?")}).FirstErr()
}

// replayed is what the broker says of its recovery.
func (l *lab) replayed(ctx context.Context) (int64, error) {
	var page struct {
		Events []struct {
			Kind  string
			Attrs map[string]any
		}
	}
	if err := l.server.Get(ctx, "/api/v1/broker/events?limit=5000", &page); err != nil {
		return 0, fmt.Errorf("the broker's events: %w", err)
	}
	for _, e := range page.Events {
		if n, ok := e.Attrs["replayed_bytes"].(float64); ok && e.Kind == "recovered" {
			return int64(n), nil
		}
	}
	return 0, errors.New("the broker tells nothing of its recovery")
}

func (l *lab) logBytes(ctx context.Context) (int64, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(l.server.Kafka))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	dirs, err := kadm.NewClient(client).DescribeAllLogDirs(ctx, nil)
	if err != nil {
		return 0, err
	}
	var n int64
	dirs.Each(func(d kadm.DescribedLogDir) { n += d.Size() })
	return n, nil
}

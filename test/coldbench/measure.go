package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/streamkeeper-io/streamkeeper/test/load"
	"github.com/streamkeeper-io/streamkeeper/test/server"
)

// lab is the machinery, and what was measured so far. Rates are bytes a second.
type lab struct {
	plan
	store   *store
	broker  *broker
	objects []object
	topics  int

	warm   []float64
	bare   []float64 // the fastest way of each round
	replay []float64
	disk   int64 // most that a replay made the broker write, in bytes
	watch  *poolWatch
	tails  [2][]load.Tail // beside bare GETs, beside the replay
	mixed  [modes][]mix
}

// The ways to read cold data beside a tail load that goes as fast as answered.
const (
	sliced = iota
	noReadAhead
	wholeFiles
	modes
)

// mix is what a mixed load did, in bytes a second.
type mix struct{ tail, replay float64 }

func (m mix) sum() float64 { return m.tail + m.replay }

func (l *lab) all(ctx context.Context) error {
	if err := l.fill(ctx); err != nil {
		return fmt.Errorf("fill the store: %w", err)
	}
	if l.wants("replay") {
		if err := l.replays(ctx); err != nil {
			return fmt.Errorf("replay: %w", err)
		}
	}
	if l.wants("tail") {
		for round := range l.rounds {
			for n := range 2 {
				if err := l.tailBeside(ctx, (round+n)%2); err != nil {
					return fmt.Errorf("tail: %w", err)
				}
			}
		}
	}
	if l.wants("mixed") {
		for round := range l.rounds {
			for n := range modes {
				if err := l.mix(ctx, (round+n)%modes); err != nil {
					return fmt.Errorf("mixed load: %w", err)
				}
			}
		}
	}
	return nil
}

// fill writes the history, reads it while it is local, and sees to it that it is in the store only.
func (l *lab) fill(ctx context.Context) error {
	if err := l.broker.restart(ctx, filling); err != nil {
		return err
	}
	if err := l.broker.create(ctx, topic, l.partitions); err != nil {
		return err
	}
	if _, err := load.Produce(ctx, l.spec(l.broker.Kafka, topic), load.Limit{Bytes: l.bytes}); err != nil {
		return err
	}
	if err := l.broker.awaits(ctx, l.partitions, "the data to be in the store", pending); err != nil {
		return err
	}
	for range l.rounds {
		r, err := l.read(ctx, 0)
		if err != nil {
			return err
		}
		l.warm = append(l.warm, r.Rate())
	}
	if err := l.broker.restart(ctx, emptying); err != nil {
		return err
	}
	if err := l.broker.create(ctx, "push", l.partitions); err != nil {
		return err
	}
	if _, err := load.Produce(ctx, l.spec(l.broker.Kafka, "push"), load.Limit{Bytes: 512 * mib}); err != nil {
		return err
	}
	if err := l.broker.awaits(ctx, l.partitions, "the data to leave the local log", localStart); err != nil {
		return err
	}
	if err := l.broker.restart(ctx, serving); err != nil {
		return err
	}
	syscall.Sync() // what was written to get here would be written back during the first measurements
	var err error
	if l.objects, err = l.store.objects(ctx); err != nil {
		return err
	}
	_, err = pull{connections: 4}.run(ctx, l.store, l.objects) // the store's page cache is warm for all
	return err
}

// read reads the history once.
func (l *lab) read(ctx context.Context, rate float64) (load.Result, error) {
	s := l.spec(l.broker.Kafka, topic)
	s.Rate = rate
	r, _, err := load.Consume(ctx, s, l.records(), nil)
	return r, err
}

// records is how many were written: whole requests.
func (l *lab) records() int64 {
	request := int64(max(l.batch/l.record, 1) * l.partitions)
	return max(l.bytes/(request*int64(l.record)), 1) * request
}

// ways are how bare GETs are tried; the fastest is what the replay is compared with.
func (l *lab) ways() []pull {
	return []pull{{connections: 2}, {connections: 4}, {connections: 8}, {connections: 8, piece: 8 * mib}}
}

// replays compares the replay with bare GETs, with nothing beside.
func (l *lab) replays(ctx context.Context) error {
	for round := range l.rounds {
		if round%2 == 1 { // ABBA: what drifts hits both alike
			if err := l.plainReplay(ctx); err != nil {
				return err
			}
		}
		best := 0.0
		for _, way := range l.ways() {
			rate, err := way.run(ctx, l.store, l.objects)
			if err != nil {
				return err
			}
			fmt.Printf("round %d: bare GETs, %s: %s\n", round+1, way, perSecond(rate))
			best = max(best, rate)
		}
		l.bare = append(l.bare, best)
		if round%2 == 0 {
			if err := l.plainReplay(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *lab) plainReplay(ctx context.Context) error {
	process := server.Process(l.broker.PID())
	before, err := process.Written()
	if err != nil {
		return err
	}
	watch := l.watchPool(ctx)
	cpu, err := process.CPU()
	if err != nil {
		return err
	}
	r, err := l.read(ctx, 0)
	if err = errors.Join(err, watch.stop()); err != nil {
		return err
	}
	after, err := process.Written()
	if err != nil {
		return err
	}
	spent, err := process.CPU()
	if err != nil {
		return err
	}
	l.replay = append(l.replay, r.Rate())
	l.disk = max(l.disk, after-before)
	l.watch = watch.merge(l.watch)
	fmt.Printf("replay: %s, %.2f CPU s/GiB, %d KiB written to disk, pool at most %d of %d MiB\n", perSecond(r.Rate()),
		(spent-cpu).Seconds()/(float64(r.Bytes)/gib), (after-before)/kib, watch.used/mib, watch.limit/mib)
	return nil
}

// tail starts a load on a topic of its own.
func (l *lab) tail(ctx context.Context, rate float64) (*load.Follower, error) {
	l.topics++
	name := fmt.Sprintf("tail-%d", l.topics)
	if err := l.broker.create(ctx, name, l.partitions); err != nil {
		return nil, err
	}
	s := l.spec(l.broker.Kafka, name)
	s.Rate = rate
	if rate > 0 {
		s.BatchBytes = 16 * kib // as a service sends, not as a copy does
	}
	return load.Follow(ctx, s)
}

// tailBeside measures a tail at a steady rate beside bare GETs (0) or beside a replay (1) of one and the same rate.
func (l *lab) tailBeside(ctx context.Context, replay int) error {
	f, err := l.tail(ctx, float64(l.tailRate))
	if err != nil {
		return err
	}
	beside, cancel := context.WithTimeout(ctx, l.tailFor)
	defer cancel()
	rate := 0.0
	if replay == 0 {
		rate, err = pull{connections: l.connections, piece: l.controlGet, rate: float64(l.replayRate)}.run(beside, l.store, l.objects)
	} else {
		rate, err = l.replayFor(beside)
	}
	t, failed := f.Stop()
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	l.tails[replay] = append(l.tails[replay], t)
	fmt.Printf("tail at %s beside %s of %s: delivery p50 %v p99 %v, acknowledged p50 %v p99 %v\n", perSecond(float64(l.tailRate)), perSecond(rate),
		[]string{"bare GETs", "replay"}[replay], t.Delivery.At(0.5), t.Delivery.At(0.99), t.Produced.Latency.At(0.5), t.Produced.Latency.At(0.99))
	return nil
}

// replayFor reads the history at the capped rate, again and again, until ctx ends.
func (l *lab) replayFor(ctx context.Context) (float64, error) {
	var bytes int64
	began := time.Now()
	for ctx.Err() == nil {
		r, err := l.read(ctx, float64(l.replayRate))
		bytes += r.Bytes
		if err != nil && ctx.Err() == nil {
			return 0, err
		}
	}
	return float64(bytes) / time.Since(began).Seconds(), nil
}

// mix measures one way to read cold data beside a tail, both as fast as they go.
func (l *lab) mix(ctx context.Context, mode int) error {
	settings := serving
	if mode == noReadAhead {
		settings = append(append([]string{}, serving...), "broker.tier.read_ahead_bytes=0")
	}
	if err := l.broker.restart(ctx, settings); err != nil { // also when nothing is changed: all begin alike
		return err
	}
	f, err := l.tail(ctx, 0)
	if err != nil {
		return err
	}
	if err := sleepUntil(ctx, time.Now().Add(time.Second)); err != nil {
		return err
	}
	began, before := time.Now(), f.Read()
	var replayed int64
	if mode == wholeFiles {
		replayed, err = l.readWholeFiles(ctx)
	} else {
		var r load.Result
		r, err = l.read(ctx, 0)
		replayed = r.Bytes
	}
	seconds := time.Since(began).Seconds()
	read := f.Read() - before
	_, failed := f.Stop()
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	m := mix{float64(read) / seconds, float64(replayed) / seconds}
	l.mixed[mode] = append(l.mixed[mode], m)
	fmt.Printf("mixed, %s: tail %s + replay %s = %s\n", modeNames[mode], perSecond(m.tail), perSecond(m.replay), perSecond(m.sum()))
	return nil
}

var modeNames = [modes]string{"slices", "slices without read-ahead", "whole files on the local disk"}

func (l *lab) readWholeFiles(ctx context.Context) (read int64, err error) {
	dir := filepath.Join(l.broker.Dir, "downloads") // on the disk of the broker's log
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	d, err := serveDownloads(l.store, dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	var n atomic.Int64
	perFetch := (l.partitions + l.connections - 1) / l.connections * mib // what a Fetch of the other ways brings
	err = d.replay(ctx, l.objects, l.connections, perFetch, &n)
	return n.Load(), err
}

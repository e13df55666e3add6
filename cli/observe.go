package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
	"github.com/streamkeeper-io/streamkeeper/collectors/kafka"
	"github.com/streamkeeper-io/streamkeeper/collectors/series"
	"github.com/streamkeeper-io/streamkeeper/diagnose"
)

// observeInterval is how often `diagnose --brokers` looks: short, because a person waits. A cluster that takes long to read is
// looked at less often, up to slowestLook.
const (
	observeInterval = 2 * time.Second
	slowestLook     = 10 * time.Second
)

// observeBrokers watches a cluster through the Kafka protocol for a while, without a server, and reports what it
// saw. It reads only. A suspect needs several looks, so the answer is as good as --for is long; what more
// telemetry would decide is listed under "not judged".
func observeBrokers(ctx context.Context, p Process, f diagnoseFlags) ([]streamkeeper.Report, error) {
	if f.window < 5*observeInterval {
		return nil, usage(fmt.Errorf("--for %s is too short to see anything move: 10s or more", f.window))
	}
	rulebook, err := loadCatalog(f.rules)
	if err != nil {
		return nil, usage(err)
	}
	name := f.cluster
	if name == "" {
		name = "cluster"
	}
	places, err := openPlaces(series.Options{Interval: observeInterval}, time.Now)
	if err != nil {
		return nil, err
	}
	defer places.Close()
	c, err := kafka.New(kafka.Options{Cluster: name, Kind: "kafka", Brokers: f.brokers, Security: f.security, GroupLog: true, TierLog: true})
	if err != nil {
		return nil, usage(err)
	}
	defer c.Close()
	bounded, cancel := context.WithTimeout(ctx, f.window)
	defer cancel()
	began, sink := time.Now(), collectors.WithoutOwn(places)
	every := firstLooks(bounded, c, sink, f.window)
	looked := make(chan time.Time, 1)
	scheduler := collectors.NewScheduler(collectors.Options{
		Sink: sink, Logger: slog.New(slog.DiscardHandler), Patience: longestLook(f.window), After: func(began time.Time) { newest(looked, began) },
	})
	scheduler.Add(c, every, name)
	tick := &diagnose.Tick{
		Catalog: rulebook, Signals: places.series, World: places.world, Events: places.events, Sources: scheduler.SourcesOf,
		Config: diagnose.Config{Interval: every},
	}
	// Looks know no end: the last one is cut, and not judged. One that knew would leave out what there is no time for.
	looking, stop := context.WithCancel(context.WithoutCancel(bounded))
	defer context.AfterFunc(bounded, stop)()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = scheduler.Run(looking)
	}()
	report, err := tickAfterLooks(bounded, p, tick, name, looked)
	stop()
	<-done
	switch {
	case ctx.Err() != nil:
		return nil, blind(ctx.Err())
	case err != nil:
		return nil, blind(err)
	}
	if err := seenEnough(report, scheduler.Sources()); err != nil {
		return nil, blind(fmt.Errorf("observing %v for %s: %w", f.brokers, f.window, err))
	}
	if f.record != "" {
		if err := saveObserved(ctx, places, report, began, f); err != nil {
			return nil, blind(err)
		}
	}
	return []streamkeeper.Report{report}, nil
}

// firstLooks looks once or twice and says how often to look on: half as much again as a look took, for the answer needs many
// of them. One that takes longer for once is not cut: it would be missing what it asks for last, the ends of the logs. The
// very first connects, and asks for what later ones know; where it is slow the second sets the pace. What fails is told of by
// those that follow.
func firstLooks(ctx context.Context, c collectors.Collector, sink collectors.Sink, window time.Duration) time.Duration {
	most := longestLook(window)
	every := paceOf(ctx, c, sink, most)
	if every > observeInterval {
		every = paceOf(ctx, c, sink, most)
	}
	return every
}

// longestLook is how long a look may take.
func longestLook(window time.Duration) time.Duration {
	return max(observeInterval, min(slowestLook, window/10))
}

// paceOf looks once and says how much time a look needs, most at most.
func paceOf(ctx context.Context, c collectors.Collector, sink collectors.Sink, most time.Duration) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	began := time.Now()
	if err := c.Collect(ctx, began, sink); err != nil && ctx.Err() == nil {
		return observeInterval // it failed, and not for want of time
	}
	return min(max(observeInterval, time.Since(began)*3/2), most)
}

// seenEnough refuses an answer that rests on nothing: nothing was ever read, or all is said to be well and the last whole
// look is long ago. What is wrong may be said by halves; a cluster that cannot be read may not be called healthy.
func seenEnough(r streamkeeper.Report, sources []streamkeeper.Source) error {
	for _, s := range sources {
		switch {
		case s.FreshSeconds == nil:
			return fmt.Errorf("nothing could be read: %s", s.Error)
		case s.Stale && r.Health.State == streamkeeper.HealthUnknown:
			return fmt.Errorf("the last whole look was %.0f s before the end, and nothing was wrong then: %s", *s.FreshSeconds, s.Error)
		}
	}
	return nil
}

// saveObserved keeps what led to a report, for `diagnose --recording`.
func saveObserved(ctx context.Context, p *places, last streamkeeper.Report, since time.Time, f diagnoseFlags) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	r, err := p.record(ctx, last, since, p.now(), diagnose.DefaultSLOLag, nil)
	if err != nil {
		return fmt.Errorf("record what was seen: %w", err)
	}
	if f.redact {
		if r, err = r.redact(); err != nil {
			return err
		}
	}
	return writeRecording(f.record, r)
}

// newest keeps a time for whoever takes it, in place of one that nobody has taken.
func newest(c chan time.Time, at time.Time) {
	select {
	case <-c:
	default:
	}
	c <- at
}

// recentLooks is how many looks say how far they are apart now.
const recentLooks = 4

// tickAfterLooks ticks after each look, as of that look, until the context ends, and returns the newest report. Where looks
// take long it ticks as seldom: a tick between two looks would judge the same again, and take it for stale. While there is
// none it ticks at the usual pace, to notice that.
func tickAfterLooks(ctx context.Context, p Process, tick *diagnose.Tick, cluster string, looked <-chan time.Time) (streamkeeper.Report, error) {
	var last streamkeeper.Report
	var memory diagnose.Memory
	var looks []time.Time
	every := tick.Config.Interval
	end, _ := ctx.Deadline()
	for {
		var now time.Time
		overdue := time.NewTimer(2 * tick.Config.Interval)
		select {
		case <-ctx.Done():
			overdue.Stop()
			if last.GeneratedAt.IsZero() {
				return last, errors.New("the time was over before the first look")
			}
			return last, nil
		case at := <-looked:
			overdue.Stop()
			looks = append(looks[max(0, len(looks)-recentLooks):], at)
			now = time.Now()
			tick.Config.Interval, tick.Config.Lag = max(every, longestGap(looks)), sinceLook(now, at)
		case now = <-overdue.C:
			tick.Config.Lag = 0
		}
		report, _, next, err := tick.Run(ctx, cluster, now, memory)
		if ctx.Err() != nil {
			continue // it may rest on half a look
		}
		if err != nil {
			return last, err
		}
		last, memory = report, next
		p.progress("observing, %s left: %s", span(time.Until(end)), headline(report))
	}
}

// sinceLook is how far a tick looks back to see a look as it was: what the look stored is of that millisecond, and its events
// are whole up to when it began and no further.
func sinceLook(now, began time.Time) time.Duration { return now.Sub(began.Truncate(time.Millisecond)) }

// longestGap is the longest time between two neighbours.
func longestGap(times []time.Time) (longest time.Duration) {
	for i := 1; i < len(times); i++ {
		longest = max(longest, times[i].Sub(times[i-1]))
	}
	return longest
}

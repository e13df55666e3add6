package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
	"github.com/streamkeeper-io/streamkeeper/collectors/kafka"
	"github.com/streamkeeper-io/streamkeeper/collectors/series"
)

// dialled is the collector of a cluster that is watched through what exporters told of it: each round copies what is new in
// a Prometheus, and takes the scrapes that are whole, which is one interval later. What it missed it takes up again, as far
// back as exportedLeast; what is older stays a gap. With pushed samples there is nothing to copy.
//
// What a process before this one derived is in the store. The scrapes up to there are read once more to learn from, and
// nothing is told of them again but events, which are kept in memory only.
type dialled struct {
	name     string
	every    time.Duration
	follower *series.Follower // nil: samples are pushed to the store
	hosts    *dialledHosts    // nil as well
	store    *series.Store
	exported *kafka.Exported

	began    bool
	span     time.Duration // that is copied at once; shorter where answers take long
	copied   time.Time     // samples are here up to
	taken    time.Time     // and were taken up to
	learning time.Time     // up to here only to learn; zero when that is done

	mu     sync.Mutex
	newest time.Time
	untold []streamkeeper.NotJudged
}

// dialledSpan is how many scrapes are copied at once while it catches up.
const dialledSpan = 20

// newDialled watches a cluster of a remote; nil is one whose samples are pushed.
func newDialled(c remoteCluster, every time.Duration, store *series.Store, remote *series.Remote) *dialled {
	d := &dialled{
		name: c.name, every: every, store: store, span: time.Duration(dialledSpan) * every,
		exported: kafka.NewExported(kafka.ExportedOptions{Cluster: c.name, Series: store, Every: every}),
	}
	if remote != nil {
		d.follower = store.Follow(remote, exportedSelection(c))
		d.hosts = &dialledHosts{cluster: c, remote: remote, store: store, every: every}
	}
	return d
}

// Name is exporters.
func (d *dialled) Name() string { return d.exported.Name() }

// Kind is prometheus.
func (d *dialled) Kind() string { return d.exported.Kind() }

// Newest is the time of the newest scrape that was taken.
func (d *dialled) Newest() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.newest
}

// Untold lists what exporters do not tell.
func (d *dialled) Untold() []streamkeeper.NotJudged {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.untold
}

// Collect does one round. One that its deadline ends goes on in the next where this one stopped.
func (d *dialled) Collect(ctx context.Context, now time.Time, sink collectors.Sink) error {
	defer d.note()
	if !d.began {
		if err := d.begin(ctx, now); err != nil {
			return err
		}
	}
	if oldest := now.Add(-exportedBack(d.every)); d.copied.Before(oldest) {
		d.copied = oldest // a longer gap stays one
	}
	var told error
	for d.copied.Before(now) {
		if err := d.copy(ctx, now); err != nil {
			return err
		}
		var err error
		if told, err = d.take(ctx, d.copied.Add(-d.every), sink); err != nil {
			return err
		}
	}
	if d.hosts != nil {
		told = errors.Join(told, d.hosts.copy(ctx, now))
	}
	return told
}

// begin finds out what is here already.
func (d *dialled) begin(ctx context.Context, now time.Time) error {
	from := now.Add(-exportedBack(d.every))
	here, err := d.store.Newest(ctx, "streamkeeper_cluster_watched_seconds", map[string]string{"cluster": d.name}, from)
	if err != nil {
		return fmt.Errorf("looking how far cluster %s was read: %w", d.name, err)
	}
	d.began, d.taken, d.learning, d.copied = true, from, here, from
	if here.After(from) {
		d.copied = here
	}
	return nil
}

// copy copies the next span.
func (d *dialled) copy(ctx context.Context, now time.Time) error {
	to := now
	if d.follower == nil {
		d.copied = now
		return nil
	}
	if next := d.copied.Add(d.span); next.Before(now) {
		to = next
	}
	// What came late to the Prometheus is looked for once more.
	_, err := d.follower.Copy(ctx, d.copied.Add(-2*d.every), to)
	if err != nil {
		d.span = max(d.span/2, d.every)
		return err
	}
	d.copied, d.span = to, min(2*d.span, dialledSpan*d.every)
	return nil
}

// take goes through the moments up to one, an interval apart, as an exporter's reader would have. told is what went wrong at
// the last of them; err ended the round.
func (d *dialled) take(ctx context.Context, until time.Time, sink collectors.Sink) (told, err error) {
	if oldest := until.Add(-exportedBack(d.every)); d.taken.Before(oldest) {
		d.taken = oldest
	}
	for until.Sub(d.taken) >= d.every/2 {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("reading the past: up to %s so far", d.taken.UTC().Format(time.TimeOnly))
		}
		next := d.taken.Add(d.every)
		if until.Sub(next) < d.every/2 { // rounds are not on time to the millisecond
			next = until
		}
		into := sink
		if !d.learning.IsZero() {
			if next.After(d.learning) {
				if err := d.exported.Continue(ctx, d.learning); err != nil {
					return nil, err
				}
				d.learning = time.Time{}
			} else {
				into = withoutSamples{sink}
			}
		}
		told = d.exported.Collect(ctx, next, into)
		d.taken = next
	}
	return told, nil
}

// note keeps what others ask for while rounds run.
func (d *dialled) note() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.newest, d.untold = d.exported.Newest(), d.exported.Untold()
}

// withoutSamples is a sink that keeps no measurements.
type withoutSamples struct{ collectors.Sink }

func (withoutSamples) Samples(context.Context, []streamkeeper.Sample) error { return nil }

package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors/hosts"
	"github.com/streamkeeper-io/streamkeeper/collectors/kafka"
	"github.com/streamkeeper-io/streamkeeper/collectors/series"
	"github.com/streamkeeper-io/streamkeeper/diagnose"
	"github.com/streamkeeper-io/streamkeeper/rules"
)

// How far back is replayed before the asked moment: what a signal calls usual needs its windows, and a lag in seconds
// needs the history of the log.
const (
	exportedTicks   = 240
	exportedLeast   = 40 * time.Minute
	exportedMost    = 6 * time.Hour
	exportedLook    = 5 * time.Minute // read first, to learn how often exporters are scraped
	maxExported     = 1_000_000       // series of one cluster
	slowestScrape   = 2 * time.Minute // slower ones miss what a diagnosis must see
	exportedTimeout = 10 * time.Minute
)

// exportedBack is how much of the past of exporters that are scraped so often is read first.
func exportedBack(every time.Duration) time.Duration {
	return min(exportedMost, max(exportedLeast, exportedTicks*every))
}

// exportedCluster is a cluster that is diagnosed from what its exporters told.
type exportedCluster struct {
	remoteCluster
	remote   *series.Remote
	rulebook *rules.Catalog
	now      time.Time // of the replay
}

var errScrapedSeldom = fmt.Errorf("its exporters are scraped less than once in %s: too seldom to see what goes on", span(slowestScrape))

// exportedSelection are the series of a cluster that exporters tell.
func exportedSelection(c remoteCluster) series.Selection {
	sel := series.Selection{Match: c.match, Set: map[string]string{"cluster": c.name}}
	for _, d := range kafka.Dialects() {
		sel.Metrics = append(sel.Metrics, kafka.ExportedMetrics()[d]...)
	}
	return sel
}

// observe diagnoses the cluster as of a moment.
func (e *exportedCluster) observe(ctx context.Context, p Process, at time.Time) (streamkeeper.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, exportedTimeout)
	defer cancel()
	e.now = at
	asked := time.Now()
	places, err := openPlaces(series.Options{
		Retention: 1000 * time.Hour, OutOfOrder: 1000 * time.Hour, MaxSeries: maxExported,
	}, func() time.Time { return e.now })
	if err != nil {
		return streamkeeper.Report{}, err
	}
	defer places.Close()
	every, from, err := e.copy(ctx, p, places, at)
	if err != nil {
		return streamkeeper.Report{}, err
	}
	if settled := asked.Add(-every); at.After(settled) {
		at = settled // a scrape bears the time when it began, and comes when it ends
	}
	p.progress("replaying %s of cluster %s", span(at.Sub(from)), e.name)
	return e.replay(ctx, places, every, from, at)
}

// copy brings the exporters' samples here and says how often they are scraped, and from when there are any.
func (e *exportedCluster) copy(ctx context.Context, p Process, places *places, at time.Time) (every time.Duration, from time.Time, err error) {
	sel := exportedSelection(e.remoteCluster)
	p.progress("reading cluster %s", e.name)
	look := at.Add(-exportedLook)
	latest, err := places.series.CopyFrom(ctx, e.remote, sel, look, at)
	if err != nil {
		return 0, from, err
	}
	every = max(latest.Step, time.Second)
	switch {
	case latest.Samples == 0:
		return 0, from, errors.New("its exporters told nothing in the last five minutes")
	case latest.Step == 0 || every > slowestScrape:
		return 0, from, errScrapedSeldom
	}
	warmUp := exportedBack(every)
	p.progress("reading %s of cluster %s", span(warmUp), e.name)
	before, err := places.series.CopyFrom(ctx, e.remote, sel, at.Add(-warmUp), look)
	if err != nil {
		return 0, from, err
	}
	from = latest.Oldest
	if before.Samples > 0 {
		from = before.Oldest
	}
	return every, from, e.copyHosts(ctx, p, places, at)
}

// copyHosts brings what is told of machines and pods.
func (e *exportedCluster) copyHosts(ctx context.Context, p Process, places *places, at time.Time) error {
	found, err := hostSelections(ctx, e.remote, e.remoteCluster, at)
	if err != nil {
		return err
	}
	for _, h := range found {
		p.progress("reading %d series of machines and pods (%s)", h.n, h.dialect)
		if _, err := places.series.CopyFrom(ctx, e.remote, h.Selection, at.Add(-exportedLeast), at); err != nil {
			return err
		}
	}
	return nil
}

// replay runs round after round and tick after tick, as a server would have done. The rounds are counted from the
// epoch, so that two moments within one interval give the same answer.
func (e *exportedCluster) replay(ctx context.Context, places *places, every time.Duration, from, at time.Time) (streamkeeper.Report, error) {
	exported := kafka.NewExported(kafka.ExportedOptions{Cluster: e.name, Series: places.series, Every: every})
	where := hosts.New(hosts.Options{Cluster: e.name, Series: places.series, World: places.world}) // no names are looked up: they change
	tick := &diagnose.Tick{
		Catalog: e.rulebook, Signals: places.series, World: places.world, Events: places.events,
		Sources: func(string) []streamkeeper.Source { return exported.Sources(e.now) },
		Config:  diagnose.Config{Interval: every},
	}
	var last streamkeeper.Report
	var memory diagnose.Memory
	var blindness error
	for e.now = from.Truncate(every).Add(every); !e.now.After(at); e.now = e.now.Add(every) {
		if err := ctx.Err(); err != nil {
			return last, err
		}
		blindness = errors.Join(exported.Collect(ctx, e.now, places), where.Collect(ctx, e.now, places))
		report, _, next, err := tick.Run(ctx, e.name, e.now, memory)
		if err != nil {
			return last, err
		}
		last, memory = report, next
	}
	switch {
	case last.GeneratedAt.IsZero():
		return last, errors.New("there are too few scrapes yet: try again in a minute")
	case blindness != nil:
		last.Sources = append(last.Sources, streamkeeper.Source{Name: "exporters", Kind: "prometheus", Error: blindness.Error()})
	}
	last.NotJudged = append(append(last.NotJudged, exported.Untold()...), where.Untold()...)
	return last, nil
}

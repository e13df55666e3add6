package jmx

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// Rules is a configuration for Prometheus' JMX exporter that tells all that this package reads.
//
//go:embed exporter.yaml
var Rules []byte

// freshFor is the age in rounds up to which a sample speaks for now.
const freshFor = 2.5

// Signals is where the exporters' series lie, labelled with their cluster and instance.
type Signals interface {
	Read(ctx context.Context, at time.Time, qs []streamkeeper.Query) (streamkeeper.Answers, error)
}

// Options configure a Collector. All are required.
type Options struct {
	Cluster string
	Series  Signals
	Every   time.Duration // how often the exporters are scraped
}

// Collector derives the series of one cluster. It is a [collectors.Collector]: rounds must not overlap.
type Collector struct {
	o       Options
	queries []streamkeeper.Query
	tier    tier
	stale   collectors.Staleness
}

// New makes a collector.
func New(o Options) *Collector {
	c := &Collector{o: o, tier: newTier()}
	for _, f := range facts {
		expr := f.selector(o.Cluster)
		c.queries = append(c.queries, streamkeeper.Query{ID: expr, Kind: streamkeeper.QueryInstant, Expr: expr})
	}
	return c
}

// Name is jmx.
func (c *Collector) Name() string { return "jmx" }

// Kind is jmx.
func (c *Collector) Kind() string { return "jmx" }

// Collect derives what the newest scrapes show. That nobody tells of tiers and quotas is no error.
func (c *Collector) Collect(ctx context.Context, now time.Time, sink collectors.Sink) error {
	answers, err := c.o.Series.Read(ctx, now, c.queries)
	if err != nil {
		return fmt.Errorf("reading what JMX exporters tell of %s: %w", c.o.Cluster, err)
	}
	var errs []error
	r := round{cluster: c.o.Cluster, at: now, told: map[fact][]streamkeeper.Point{}}
	for i, f := range facts {
		a := answers[c.queries[i].ID]
		if a.Err != nil {
			errs = append(errs, a.Err)
		}
		r.take(f, a.Points, time.Duration(freshFor*float64(c.o.Every)))
	}
	c.tier.measure(&r)
	r.throttles()
	return errors.Join(append(errs, sink.Samples(ctx, c.stale.Mark(now, r.samples)))...)
}

// round is what one round was told and derives from it.
type round struct {
	cluster string
	at      time.Time
	told    map[fact][]streamkeeper.Point
	samples []streamkeeper.Sample
}

// take keeps the points of a fact that speak for now. A mean throttle time that is no number is one of no requests: none was
// held back of late.
func (r *round) take(f fact, points []streamkeeper.Point, limit time.Duration) {
	for _, p := range points {
		if f == throttleTime && math.IsNaN(p.Value) {
			p.Value = 0
		}
		if p.Age <= limit && !math.IsNaN(p.Value) && !math.IsInf(p.Value, 0) {
			r.told[f] = append(r.told[f], p)
		}
	}
}

func (r *round) add(metric string, value float64, labels ...string) {
	all := map[string]string{"cluster": r.cluster}
	for i := 0; i < len(labels); i += 2 {
		all[labels[i]] = labels[i+1]
	}
	r.samples = append(r.samples, streamkeeper.Sample{Metric: metric, Labels: all, At: r.at, Value: value})
}

// byBroker is a fact by the instance that told it: its series of the whole broker, else the sum over its topics.
func (r *round) byBroker(f fact) map[string]float64 {
	whole, parts := map[string]float64{}, map[string]float64{}
	for _, p := range r.told[f] {
		if p.Labels["topic"] == "" {
			whole[p.Labels["instance"]] = p.Value
		} else {
			parts[p.Labels["instance"]] += p.Value
		}
	}
	for instance, v := range parts {
		if _, ok := whole[instance]; !ok {
			whole[instance] = v
		}
	}
	return whole
}

package probe

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/streamkeeper-io/streamkeeper"
)

// metrics are the probe's numbers: for its own /metrics, and as samples of the cluster.
type metrics struct {
	cluster   string
	mu        sync.Mutex // held while a round is written, so that a scrape sees whole rounds
	available *prometheus.GaugeVec
	latest    *prometheus.GaugeVec
	failing   *prometheus.GaugeVec
	seconds   *prometheus.HistogramVec
	records   *records
	all       []prometheus.Collector
}

func newMetrics(cluster string) *metrics {
	constant := prometheus.Labels{"cluster": cluster}
	stage := []string{"broker", "case", "topic", "stage"}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "streamkeeper_probe_" + name, Help: help, ConstLabels: constant}, stage)
	}
	m := &metrics{
		cluster:   cluster,
		available: gauge("available", "1 when the stage of the latest record that was judged went well, else 0."),
		latest:    gauge("latest_seconds", "How long the stage took for the latest record; absent when it did not go well."),
		failing:   gauge("failing_seconds", "Time since the stage last went well; 0 while it does."),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "streamkeeper_probe_seconds", Help: "How long the stages of records took that went well.", ConstLabels: constant,
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, stage),
		records: &records{
			desc: prometheus.NewDesc("streamkeeper_probe_records_total", "Records by what became of them.", []string{"broker", "case", "topic", "fate"}, constant),
		},
	}
	m.all = []prometheus.Collector{m.available, m.latest, m.failing, m.seconds, m.records}
	return m
}

// begin starts a round, until end: gauges that it does not set are gone.
func (m *metrics) begin() {
	m.mu.Lock()
	for _, g := range []*prometheus.GaugeVec{m.available, m.latest, m.failing} {
		g.Reset()
	}
	m.records.list = m.records.list[:0]
}

func (m *metrics) end() { m.mu.Unlock() }

func (m *metrics) stage(broker string, c Case, i int, s *stage, now time.Time) {
	labels := []string{broker, c.Name, c.visible(), stageNames[i]}
	for _, took := range s.observed {
		m.seconds.WithLabelValues(labels...).Observe(took)
	}
	switch {
	case !s.ok:
		m.available.WithLabelValues(labels...).Set(0)
		m.failing.WithLabelValues(labels...).Set(now.Sub(s.good).Seconds())
	case s.judged.Equal(now): // else it is not known
		m.available.WithLabelValues(labels...).Set(1)
		m.failing.WithLabelValues(labels...).Set(0)
		m.latest.WithLabelValues(labels...).Set(s.took)
	}
}

func (m *metrics) fates(broker string, c Case, l *lane) {
	m.records.list = append(m.records.list, counted{broker, c.Name, c.visible(), l.fates})
}

// records are counters that lanes keep themselves.
type records struct {
	desc *prometheus.Desc
	list []counted
}

type counted struct {
	broker, name, topic string
	fates               [fates]uint64
}

func (r *records) Describe(ch chan<- *prometheus.Desc) { ch <- r.desc }

func (r *records) Collect(ch chan<- prometheus.Metric) {
	for _, c := range r.list {
		for i, n := range c.fates {
			ch <- prometheus.MustNewConstMetric(r.desc, prometheus.CounterValue, float64(n), c.broker, c.name, c.topic, fateNames[i])
		}
	}
}

// Metrics are the probe's numbers, for a registry.
func (p *Probe) Metrics() prometheus.Collector { return p.metrics }

// Describe is prometheus.Collector's.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.all {
		c.Describe(ch)
	}
}

// Collect is prometheus.Collector's.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.all {
		c.Collect(ch)
	}
}

// samples are all numbers as of now.
func (m *metrics) samples(now time.Time) ([]streamkeeper.Sample, error) {
	registry := prometheus.NewRegistry()
	if err := registry.Register(m); err != nil {
		return nil, fmt.Errorf("gathering the probe's numbers: %w", err)
	}
	families, err := registry.Gather()
	if err != nil {
		return nil, fmt.Errorf("gathering the probe's numbers: %w", err)
	}
	var out []streamkeeper.Sample
	for _, f := range families {
		for _, one := range f.GetMetric() {
			out = append(out, samplesOf(f, one, now)...)
		}
	}
	return out, nil
}

func samplesOf(f *dto.MetricFamily, one *dto.Metric, now time.Time) []streamkeeper.Sample {
	labels := func(more ...string) map[string]string {
		l := make(map[string]string, len(one.GetLabel())+1)
		for _, pair := range one.GetLabel() {
			if pair.GetValue() != "" { // an empty label is none
				l[pair.GetName()] = pair.GetValue()
			}
		}
		for pair := range slices.Chunk(more, 2) {
			l[pair[0]] = pair[1]
		}
		return l
	}
	sample := func(suffix string, v float64, more ...string) streamkeeper.Sample {
		return streamkeeper.Sample{Metric: f.GetName() + suffix, Labels: labels(more...), At: now, Value: v}
	}
	h := one.GetHistogram()
	if h == nil {
		return []streamkeeper.Sample{sample("", one.GetGauge().GetValue()+one.GetCounter().GetValue())}
	}
	out := []streamkeeper.Sample{sample("_sum", h.GetSampleSum()), sample("_count", float64(h.GetSampleCount()))}
	for _, b := range h.GetBucket() {
		if !math.IsInf(b.GetUpperBound(), 1) {
			out = append(out, sample("_bucket", float64(b.GetCumulativeCount()), "le", strconv.FormatFloat(b.GetUpperBound(), 'g', -1, 64)))
		}
	}
	return append(out, sample("_bucket", float64(h.GetSampleCount()), "le", "+Inf"))
}

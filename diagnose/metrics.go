package diagnose

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// metrics are what the diagnosis tells of itself. They are never signals of the catalog: a finding must
// not be evidence of itself.
type metrics struct {
	ticks   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	untold  *prometheus.CounterVec
	rollups *prometheus.CounterVec
}

var (
	descLast = prometheus.NewDesc("streamkeeper_diagnose_last_tick_timestamp_seconds",
		"When the last tick of the cluster succeeded.", []string{"cluster"}, nil)
	descHealth = prometheus.NewDesc("streamkeeper_diagnose_health_score",
		"Health of the cluster from 0 to 100; absent when it cannot be judged.", []string{"cluster"}, nil)
	descOpen = prometheus.NewDesc("streamkeeper_diagnose_open_incidents",
		"Open incidents by severity.", []string{"cluster", "severity"}, nil)
	descFinding = prometheus.NewDesc("streamkeeper_finding_confidence_ratio",
		"Confidence of a finding that is told.", []string{"cluster", "cause", "kind", "entity", "verdict"}, nil)
	descStale = prometheus.NewDesc("streamkeeper_diagnose_source_stale",
		"1 while a source that the diagnosis rests on was not read whole lately.", []string{"cluster", "source", "kind"}, nil)
	descWhole = prometheus.NewDesc("streamkeeper_diagnose_source_last_whole_timestamp_seconds",
		"When a source was last read whole; absent when it never was.", []string{"cluster", "source", "kind"}, nil)
	descIgnored = prometheus.NewDesc("streamkeeper_diagnose_ignored_entities",
		"Groups and topics that scopes keep out of findings, incidents and health.", []string{"cluster"}, nil)
	descStanding = prometheus.NewDesc("streamkeeper_diagnose_standing_symptoms",
		"Present symptoms that stood when watching began, on the cluster's first day.", []string{"cluster"}, nil)
	descSymptoms = prometheus.NewDesc("streamkeeper_finding_symptoms",
		"Present symptoms, and how many of them nothing explains.", []string{"cluster", "explained"}, nil)
)

func newMetrics() *metrics {
	return &metrics{
		ticks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "streamkeeper_diagnose_ticks_total", Help: "Ticks by result.",
		}, []string{"cluster", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "streamkeeper_diagnose_tick_seconds", Help: "Duration of ticks.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"cluster"}),
		untold: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "streamkeeper_diagnose_untold_incidents_total", Help: "Incidents that receivers were not told of one by one, by reason.",
		}, []string{"cluster", "reason"}),
		rollups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "streamkeeper_diagnose_rollups_total", Help: "Messages that told many incidents at once, by why those were not told one by one.",
		}, []string{"cluster", "reason"}),
	}
}

// adopt makes the counters of a cluster 0: one that is not there says nothing.
func (m *metrics) adopt(cluster string) {
	for _, why := range []streamkeeper.Untold{streamkeeper.UntoldBudget, streamkeeper.UntoldStanding, streamkeeper.UntoldSilence} {
		m.untold.WithLabelValues(cluster, string(why))
	}
	m.rollups.WithLabelValues(cluster, string(streamkeeper.UntoldBudget))
	m.rollups.WithLabelValues(cluster, string(streamkeeper.UntoldStanding))
}

func (m *metrics) tick(cluster string, d time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.ticks.WithLabelValues(cluster, result).Inc()
	m.seconds.WithLabelValues(cluster).Observe(d.Seconds())
}

// Describe tells the metrics' names; Loop is a prometheus.Collector.
func (l *Loop) Describe(ch chan<- *prometheus.Desc) {
	l.metrics.ticks.Describe(ch)
	l.metrics.seconds.Describe(ch)
	l.metrics.untold.Describe(ch)
	l.metrics.rollups.Describe(ch)
	for _, d := range []*prometheus.Desc{descLast, descHealth, descOpen, descFinding, descStale, descWhole, descSymptoms, descIgnored, descStanding} {
		ch <- d
	}
}

// collectSources tells how fresh a report's sources were; what only listens is never stale.
func collectSources(r streamkeeper.Report, gauge func(d *prometheus.Desc, v float64, labels ...string)) {
	seen := map[[2]string]bool{}
	for _, s := range r.Sources {
		key := [2]string{s.Name, s.Kind}
		if s.Listens || seen[key] {
			continue
		}
		seen[key] = true
		stale := 0.0
		if s.Stale {
			stale = 1
		}
		gauge(descStale, stale, r.Cluster.Name, s.Name, s.Kind)
		if s.FreshSeconds != nil {
			gauge(descWhole, float64(r.GeneratedAt.UnixMilli())/1000-*s.FreshSeconds, r.Cluster.Name, s.Name, s.Kind)
		}
	}
}

// Collect tells the newest values. It reads memory only.
func (l *Loop) Collect(ch chan<- prometheus.Metric) {
	l.metrics.ticks.Collect(ch)
	l.metrics.seconds.Collect(ch)
	l.metrics.untold.Collect(ch)
	l.metrics.rollups.Collect(ch)
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	open, _ := l.live()
	severities := []streamkeeper.Severity{streamkeeper.SeverityCritical, streamkeeper.SeverityWarning, streamkeeper.SeverityInfo}
	for _, r := range l.Reports() {
		name := r.Cluster.Name
		gauge(descLast, float64(r.GeneratedAt.UnixMilli())/1000, name)
		if r.FirstDay != nil {
			gauge(descStanding, float64(r.FirstDay.Standing), name)
		}
		gauge(descIgnored, float64(r.Ignored), name)
		if r.Health.Score != nil {
			gauge(descHealth, float64(*r.Health.Score), name)
		}
		for _, severity := range severities {
			count := 0.0
			for _, i := range open {
				if i.Cluster == name && i.Severity == severity {
					count++
				}
			}
			gauge(descOpen, count, name, string(severity))
		}
		seen := map[[3]string]bool{}
		for _, f := range r.Findings {
			key := [3]string{f.Cause, f.Entity.Key(), string(f.Verdict)}
			if seen[key] {
				continue // two answer sets may share their first cause
			}
			seen[key] = true
			gauge(descFinding, f.Confidence, name, f.Cause, string(f.Entity.Kind), f.Entity.Name, string(f.Verdict))
		}
		collectSources(r, gauge)
		unexplained := map[string]bool{}
		for _, id := range r.Unexplained {
			unexplained[id] = true
		}
		count := map[bool]float64{}
		for _, y := range r.Symptoms {
			count[!unexplained[y.ID]]++
		}
		gauge(descSymptoms, count[true], name, "true")
		gauge(descSymptoms, count[false], name, "false")
	}
}

package otlp

import "github.com/prometheus/client_golang/prometheus"

var (
	itemsDesc     = prometheus.NewDesc("streamkeeper_otlp_items_total", "Data points, spans and log records that were received.", []string{"signal"}, nil)
	keptDesc      = prometheus.NewDesc("streamkeeper_otlp_kept_total", "Those that tell of Kafka clients and were kept.", []string{"signal"}, nil)
	unclaimedDesc = prometheus.NewDesc("streamkeeper_otlp_unclaimed_total", "Those of Kafka clients whose cluster or group cannot be named for certain.", []string{"signal"}, nil)
	refusedDesc   = prometheus.NewDesc("streamkeeper_otlp_refused_total", "Requests, points, spans and records that were refused.", []string{"reason"}, nil)
	spansDesc     = prometheus.NewDesc("streamkeeper_otlp_spans", "Spans that are remembered to find out whose calls are whose.", nil, nil)
)

// Describe is prometheus.Collector's.
func (r *Receiver) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{itemsDesc, keptDesc, unclaimedDesc, refusedDesc, spansDesc} {
		ch <- d
	}
}

// Collect is prometheus.Collector's.
func (r *Receiver) Collect(ch chan<- prometheus.Metric) {
	for s, name := range signalNames {
		ch <- prometheus.MustNewConstMetric(itemsDesc, prometheus.CounterValue, float64(r.counts.items[s].Load()), name)
		ch <- prometheus.MustNewConstMetric(keptDesc, prometheus.CounterValue, float64(r.counts.kept[s].Load()), name)
		ch <- prometheus.MustNewConstMetric(unclaimedDesc, prometheus.CounterValue, float64(r.counts.unclaimed[s].Load()), name)
	}
	for i, name := range reasonNames {
		ch <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(r.counts.refused[i].Load()), name)
	}
	r.mu.Lock()
	known := len(r.spans.links)
	r.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(spansDesc, prometheus.GaugeValue, float64(known))
}

package loki

import "github.com/prometheus/client_golang/prometheus"

var (
	linesDesc          = prometheus.NewDesc("streamkeeper_loki_lines_total", "Log lines that were pushed to us and read.", nil, nil)
	bytesDesc          = prometheus.NewDesc("streamkeeper_loki_bytes_total", "Bytes of those lines.", nil, nil)
	relevantDesc       = prometheus.NewDesc("streamkeeper_loki_relevant_lines_total", "Lines that tell something.", nil, nil)
	unclaimedDesc      = prometheus.NewDesc("streamkeeper_loki_unclaimed_lines_total", "Lines that tell something of a cluster, group or broker that neither they nor their labels name for certain.", nil, nil)
	droppedDesc        = prometheus.NewDesc("streamkeeper_loki_dropped_lines_total", "Lines that tell something and found no room.", nil, nil)
	refusedDesc        = prometheus.NewDesc("streamkeeper_loki_refused_total", "Pushes that were refused, wholly or in part, by the first reason.", []string{"reason"}, nil)
	forwardedDesc      = prometheus.NewDesc("streamkeeper_loki_forwarded_events_total", "Events that a Loki has taken.", nil, nil)
	forwardDroppedDesc = prometheus.NewDesc("streamkeeper_loki_forward_dropped_events_total", "Events that a Loki refused, or that were too many while it was away.", nil, nil)
	forwardFailedDesc  = prometheus.NewDesc("streamkeeper_loki_forward_failures_total", "Tries to push events to a Loki that failed.", nil, nil)
	streamsDesc        = prometheus.NewDesc("streamkeeper_loki_streams", "Streams that are remembered.", nil, nil)
)

// Describe names the receiver's metrics.
func (r *Receiver) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{linesDesc, bytesDesc, relevantDesc, unclaimedDesc, droppedDesc, refusedDesc, streamsDesc} {
		ch <- d
	}
}

// Collect gives their values.
func (r *Receiver) Collect(ch chan<- prometheus.Metric) {
	count := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	count(linesDesc, r.counts.lines.Load())
	count(bytesDesc, r.counts.bytes.Load())
	count(relevantDesc, r.counts.relevant.Load())
	count(unclaimedDesc, r.counts.unclaimed.Load())
	count(droppedDesc, r.counts.dropped.Load())
	for i := range reasons {
		count(refusedDesc, r.counts.refused[i].Load(), reasonNames[i])
	}
	r.mu.Lock()
	n := len(r.streams)
	r.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(streamsDesc, prometheus.GaugeValue, float64(n))
}

package remotewrite

import "github.com/prometheus/client_golang/prometheus"

var (
	samplesDesc    = prometheus.NewDesc("streamkeeper_remote_write_samples_total", "Samples that were pushed to us and stored.", nil, nil)
	unclaimedDesc  = prometheus.NewDesc("streamkeeper_remote_write_unclaimed_samples_total", "Samples that name no watched cluster for certain.", nil, nil)
	derivedDesc    = prometheus.NewDesc("streamkeeper_remote_write_derived_samples_total", "Samples of metrics that only we derive, which were left out.", nil, nil)
	histogramsDesc = prometheus.NewDesc("streamkeeper_remote_write_histograms_total", "Native histograms, which were left out.", nil, nil)
	refusedDesc    = prometheus.NewDesc("streamkeeper_remote_write_refused_total", "Write requests that were refused, wholly or in part, by the first reason.", []string{"reason"}, nil)
	seriesDesc     = prometheus.NewDesc("streamkeeper_remote_write_series", "Series that were pushed lately.", nil, nil)

	sentDesc    = prometheus.NewDesc("streamkeeper_remote_write_sent_samples_total", "Samples of our own that a server has taken.", nil, nil)
	droppedDesc = prometheus.NewDesc("streamkeeper_remote_write_dropped_samples_total", "Samples of our own that a server refused, or that were too many while it was away.", nil, nil)
	failedDesc  = prometheus.NewDesc("streamkeeper_remote_write_failures_total", "Tries to push samples of our own that failed.", nil, nil)
)

// Describe names the receiver's metrics.
func (r *Receiver) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{samplesDesc, unclaimedDesc, derivedDesc, histogramsDesc, refusedDesc, seriesDesc} {
		ch <- d
	}
}

// Collect gives their values.
func (r *Receiver) Collect(ch chan<- prometheus.Metric) {
	count(ch, samplesDesc, r.counts.samples.Load())
	count(ch, unclaimedDesc, r.counts.unclaimed.Load())
	count(ch, derivedDesc, r.counts.derived.Load())
	count(ch, histogramsDesc, r.counts.histograms.Load())
	for i := range reasons {
		count(ch, refusedDesc, r.counts.refused[i].Load(), reasonNames[i])
	}
	r.mu.Lock()
	n := len(r.known)
	r.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(seriesDesc, prometheus.GaugeValue, float64(n))
}

// Describe names the sender's metrics.
func (s *Sender) Describe(ch chan<- *prometheus.Desc) {
	ch <- sentDesc
	ch <- droppedDesc
	ch <- failedDesc
}

// Collect gives their values.
func (s *Sender) Collect(ch chan<- prometheus.Metric) {
	count(ch, sentDesc, s.sent.Load())
	count(ch, droppedDesc, s.dropped.Load())
	count(ch, failedDesc, s.failed.Load())
}

func count(ch chan<- prometheus.Metric, d *prometheus.Desc, n int64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

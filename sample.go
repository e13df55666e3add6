package streamkeeper

import "time"

// Sample is one measured point of one series. Labels include the cluster; the metric's name is apart.
type Sample struct {
	Metric string
	Labels map[string]string
	At     time.Time
	Value  float64
}

// MetricType is how a metric behaves over time.
type MetricType string

// The metric types that scraping tells apart.
const (
	MetricCounter   MetricType = "counter"
	MetricGauge     MetricType = "gauge"
	MetricHistogram MetricType = "histogram"
)

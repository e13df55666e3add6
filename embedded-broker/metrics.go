package broker

import (
	"math"
	"sort"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const namespace = "streamkeeper_broker_"

// Buckets in seconds, wide enough for a loopback acknowledgement and a store that hangs.
var (
	latencyBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	delayBuckets   = []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 300, 1800}
	sizeBuckets    = []float64{1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20}
)

// histogram counts observations in classic buckets. Observing allocates nothing and takes no lock.
type histogram struct {
	bounds []float64
	counts []atomic.Uint64 // one per bound and one above
	sum    atomic.Uint64   // bits of a float64
}

func newHistogram(bounds []float64) *histogram {
	return &histogram{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

func (h *histogram) observe(v float64) {
	if !measuring {
		return
	}
	h.counts[sort.SearchFloat64s(h.bounds, v)].Add(1)
	for {
		old := h.sum.Load()
		if h.sum.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+v)) {
			return
		}
	}
}

func (h *histogram) since(d time.Duration) { h.observe(d.Seconds()) }

// metric is a snapshot. The count is the sum of the buckets read, so that the parts agree.
func (h *histogram) metric(d *prometheus.Desc, labels ...string) prometheus.Metric {
	buckets := make(map[float64]uint64, len(h.bounds))
	n := uint64(0)
	for i, b := range h.bounds {
		n += h.counts[i].Load()
		buckets[b] = n
	}
	n += h.counts[len(h.bounds)].Load()
	return prometheus.MustNewConstHistogram(d, n, math.Float64frombits(h.sum.Load()), buckets, labels...)
}

// descs are the metrics' descriptions, with the constant label broker.
type descs struct {
	up, start, build, connections, memory                              *prometheus.Desc
	requests, requestErrors, requestSeconds                            *prometheus.Desc
	messagesIn, bytesIn, bytesOut, produces, produceErrors             *prometheus.Desc
	producers, endToEnd                                                *prometheus.Desc
	txnsOpen, txnsEnded, txnOldest                                     *prometheus.Desc
	topicTxnsOpen, topicTxnOldest, topicTxnHeld                        *prometheus.Desc
	throttled                                                          *prometheus.Desc
	flushSeconds, flushBytes, queueDepth, localBytes, pressure, full   *prometheus.Desc
	indexLag, logFailed, partitions, objects, refused, sessions        *prometheus.Desc
	storeCalls, storeSeconds, probeFailures, probeAge                  *prometheus.Desc
	uploads, uploadsAllowed, uploadOldest                              *prometheus.Desc
	offloadPending, offloadOldest, offloadFrozen, offloaded            *prometheus.Desc
	coldSeconds, coldWaits, slicePool, sliceHits, sliceMisses, evicted *prometheus.Desc
	objectBytes, orphans, untold, rewrites, rewriteBytes               *prometheus.Desc
	compactions, uncompacted                                           *prometheus.Desc
	events                                                             *prometheus.Desc
}

func newDescs(broker string) *descs {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(namespace+name, help, labels, prometheus.Labels{"broker": broker})
	}
	return &descs{
		up:             d("up", "1 while the broker serves."),
		start:          d("start_time_seconds", "When the broker started, in Unix time."),
		build:          d("build_info", "1, with the versions as labels.", "version", "go"),
		connections:    d("connections", "Open client connections."),
		memory:         d("memory_budget_bytes", "Memory for requests and answers.", "owner", "kind"),
		requests:       d("requests_total", "Requests answered.", "api"),
		requestErrors:  d("request_errors_total", "Error codes answered; one answer may hold several.", "api", "code"),
		requestSeconds: d("request_seconds", "Time of a request by phase.", "api", "phase"),
		messagesIn:     d("topic_messages_in_total", "Records acknowledged.", "topic"),
		bytesIn:        d("topic_bytes_in_total", "Bytes of record batches acknowledged.", "topic"),
		bytesOut:       d("topic_bytes_out_total", "Bytes of record batches fetched.", "topic"),
		produces:       d("topic_produce_requests_total", "Produce requests that named the topic.", "topic"),
		produceErrors:  d("topic_produce_errors_total", "Partitions of Produce requests answered with an error.", "topic", "code"),
		producers:      d("topic_producers", "Connections that produced in the last 60 s.", "topic"),
		endToEnd:       d("topic_end_to_end_seconds", "From a record's CreateTime to its fetch at the tail.", "topic"),
		txnsOpen:       d("transactions_open", "Transactions that are open at the coordinator."),
		txnsEnded:      d("transactions_ended_total", "Transactions that ended.", "outcome"),
		txnOldest:      d("transaction_open_seconds", "Time the longest open transactions have been open.", "transactional_id"),
		topicTxnsOpen:  d("topic_open_transactions", "Transactions with undecided records in the topic's partitions.", "topic"),
		topicTxnOldest: d("topic_transaction_oldest_seconds", "Age of the oldest undecided record in the topic; 0 when there is none.", "topic"),
		topicTxnHeld:   d("topic_transaction_held_messages", "Offsets that undecided transactions hide from readers of committed records.", "topic"),
		throttled:      d("client_throttle_seconds_total", "Time clients were told to wait.", "client", "reason"),
		flushSeconds:   d("flush_seconds", "Duration of a log flush."),
		flushBytes:     d("flush_bytes", "Bytes of a log flush."),
		queueDepth:     d("commit_queue_depth", "Batches appended and not durable yet."),
		localBytes:     d("local_bytes", "Bytes of the local log.", "kind"),
		pressure:       d("backpressure", "1 for the rung of the backpressure ladder in force.", "state"),
		full:           d("backpressure_batches_total", "Record batches that met a full local log, by what became of them.", "outcome"),
		indexLag:       d("index_lag_bytes", "Log bytes a restart would replay."),
		logFailed:      d("log_failed", "1 after a failed flush, until a restart."),
		partitions:     d("partitions", "Partitions of all topics."),
		objects:        d("objects", "Objects in the store."),
		objectBytes:    d("object_bytes", "Bytes of the objects in the store, by whether somebody may still read them.", "store", "kind"),
		orphans:        d("orphan_objects", "Objects begun or given up, and not deleted yet.", "store"),
		untold:         d("manifest_untold_facts", "Facts of the tier that the store's manifest does not tell yet.", "store"),
		rewrites:       d("rewritten_objects_total", "Objects made by rewriting others.", "store"),
		rewriteBytes:   d("rewritten_bytes_total", "Bytes of the objects made by rewriting others.", "store"),
		compactions:    d("compactions_total", "Passes over a partition of a compacted topic."),
		uncompacted:    d("uncompacted_bytes", "Bytes in the store of compacted topics that no pass has looked at; absent until all were looked for."),
		refused:        d("connections_refused_total", "Connections refused by a limit.", "reason"),
		sessions:       d("fetch_sessions", "Incremental fetch sessions."),
		storeCalls:     d("store_calls_total", "Calls of the object store.", "store", "op", "class", "answered"),
		storeSeconds:   d("store_call_seconds", "Duration of calls of the object store.", "store", "op", "outcome"),
		probeFailures:  d("store_probe_failures", "Probes of the object store that failed in a row.", "store"),
		probeAge:       d("store_probe_age_seconds", "Time since a probe of the object store last succeeded.", "store"),
		uploads:        d("uploads_in_flight", "Uploads running.", "store"),
		uploadsAllowed: d("uploads_allowed", "Uploads that may run at once.", "store"),
		uploadOldest:   d("upload_oldest_seconds", "Age of the oldest running upload; 0 when none runs.", "store"),
		offloadPending: d("offload_pending_bytes", "Bytes closed and not offloaded.", "store"),
		offloadOldest:  d("offload_oldest_seconds", "Age of the oldest bytes closed and not offloaded; 0 when there are none.", "store"),
		offloadFrozen:  d("offload_frozen_seconds", "Time since anything was offloaded while something waited; 0 when nothing waits.", "store"),
		offloaded:      d("offloaded_bytes_total", "Bytes put to the store.", "store"),
		coldSeconds:    d("cold_read_seconds", "Time a reader waited for cold data.", "store"),
		coldWaits:      d("cold_read_waits_total", "Cold reads that had to wait.", "store"),
		slicePool:      d("slice_pool_bytes", "Memory of the cold-read slice pool.", "store", "kind"),
		sliceHits:      d("slice_hits_total", "Cold reads served from the slice pool.", "store"),
		sliceMisses:    d("slice_misses_total", "Cold reads not found in the slice pool.", "store"),
		evicted:        d("slice_evictions_total", "Slices evicted from the pool.", "store"),
		events:         d("events_total", "Events told in the ring."),
	}
}

// sink wraps the channel of a collection.
type sink chan<- prometheus.Metric

func (s sink) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (s sink) counter(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

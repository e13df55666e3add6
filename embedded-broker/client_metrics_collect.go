package broker

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// clientValue is one number that clients push and that serves diagnosis.
type clientValue struct {
	metric string // of the client; "" = only of its group
	help   string
	names  []string // in KIP-714's spelling, below org.apache.kafka.
	scale  float64
	low    bool   // the lowest is the worst
	group  string // the metric of the group, "" = none
}

const (
	clientValues = 17
	inMillis     = 1e-3
)

var clientTable = [clientValues]clientValue{
	{"client_poll_idle_ratio", "Share of its time the client waits in poll instead of processing", []string{"consumer.poll.idle.ratio.avg"}, 1, true, "group_client_poll_idle_ratio"},
	{"client_time_between_polls_seconds", "Mean time between two polls", []string{"consumer.time.between.poll.avg"}, inMillis, false, ""},
	{"client_time_between_polls_seconds_max", "Longest time between two polls", []string{"consumer.time.between.poll.max"}, inMillis, false, "group_client_time_between_polls_seconds_max"},
	{"client_last_poll_seconds", "Time since the last poll, when it was pushed", []string{"consumer.last.poll.seconds.ago"}, 1, false, "group_client_last_poll_seconds"},
	{"client_rebalance_latency_seconds", "Mean time a rebalance took", []string{"consumer.coordinator.rebalance.latency.avg"}, inMillis, false, ""},
	{"client_rebalance_latency_seconds_max", "Longest time a rebalance took", []string{"consumer.coordinator.rebalance.latency.max"}, inMillis, false, "group_client_rebalance_latency_seconds_max"},
	{"client_commit_latency_seconds", "Mean time a commit took", []string{"consumer.coordinator.commit.latency.avg"}, inMillis, false, ""},
	{"client_commit_latency_seconds_max", "Longest time a commit took", []string{"consumer.coordinator.commit.latency.max"}, inMillis, false, "group_client_commit_latency_seconds_max"},
	{"client_fetch_latency_seconds", "Mean time a fetch took", []string{"consumer.fetch.manager.fetch.latency.avg"}, inMillis, false, ""},
	{"client_fetch_latency_seconds_max", "Longest time a fetch took", []string{"consumer.fetch.manager.fetch.latency.max"}, inMillis, false, ""},
	{"client_records_lag_max", "Largest lag of a partition", []string{"consumer.fetch.manager.records.lag.max", "consumer.fetch.manager.records.lag"}, 1, false, ""},
	{"client_request_latency_seconds", "Mean time a produce request took", []string{"producer.request.latency.avg", "producer.node.request.latency.avg"}, inMillis, false, ""},
	{"client_request_latency_seconds_max", "Longest time a produce request took", []string{"producer.request.latency.max", "producer.node.request.latency.max"}, inMillis, false, ""},
	{"client_queue_seconds", "Mean time a record waited to be sent", []string{"producer.record.queue.time.avg"}, inMillis, false, ""},
	{"client_queue_seconds_max", "Longest time a record waited to be sent", []string{"producer.record.queue.time.max"}, inMillis, false, ""},
	{"client_buffer_available_bytes", "Free bytes of the producer's buffer", []string{"producer.buffer.available.bytes"}, 1, true, ""},
	{"client_buffer_total_bytes", "Size of the producer's buffer", []string{"producer.buffer.total.bytes"}, 1, false, ""},
}

// polls are the values that tell of a consumer's polls.
const polls = 1<<0 | 1<<2 | 1<<3

const clientPrefix = "org.apache.kafka."

// clientNames finds a value's index by the name it is pushed under.
var clientNames = func() map[string]int {
	m := map[string]int{}
	for i, v := range clientTable {
		for _, name := range v.names {
			m[clientPrefix+name] = i
		}
	}
	return m
}()

// clientPrefixes are what the built-in subscription asks for.
func clientPrefixes() []string {
	list := make([]string, 0, len(clientNames))
	for name := range clientNames {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// clientDescs are the descriptions of what clients push.
type clientDescs struct {
	client, group [clientValues]*prometheus.Desc
	known, pushes *prometheus.Desc
}

func newClientDescs(node string) *clientDescs {
	d := &clientDescs{}
	constant := prometheus.Labels{"broker": node}
	for i, v := range clientTable {
		d.client[i] = prometheus.NewDesc(namespace+v.metric, v.help+", as the client says; the worst of those with its id, absent when it says nothing.", []string{"client"}, constant)
		if v.group != "" {
			d.group[i] = prometheus.NewDesc(namespace+v.group, v.help+", as its clients say; the worst of them, absent when they say nothing.", []string{"group"}, constant)
		}
	}
	d.known = prometheus.NewDesc(namespace+"client_telemetry_clients", "Clients that push metrics of their own (KIP-714).", nil, constant)
	d.pushes = prometheus.NewDesc(namespace+"client_telemetry_pushes_total", "Pushes by the code they were answered with.", []string{"code"}, constant)
	return d
}

// collect sends the latest numbers of each client and group, at most maxClientSeries clients and maxGroupSeries groups.
func (t *clientMetrics) collect(s sink, d *clientDescs) {
	clients, groups, known := t.latest()
	s.gauge(d.known, float64(known))
	send := func(all map[string]*clientReading, limit int, descs *[clientValues]*prometheus.Desc) {
		names := make([]string, 0, len(all))
		for name := range all {
			names = append(names, name)
		}
		slices.Sort(names) // the same ones are kept from scrape to scrape
		for _, name := range names[:min(len(names), limit)] {
			r := all[name]
			for i := range clientValues {
				if r.known&(1<<i) != 0 && descs[i] != nil {
					s.gauge(descs[i], r.values[i], strings.ToValidUTF8(name, "?"))
				}
			}
		}
	}
	send(clients, maxClientSeries, &d.client)
	send(groups, maxGroupSeries, &d.group)
}

// latest merges the fresh numbers of all instances, and forgets those long silent.
func (t *clientMetrics) latest() (clients, groups map[string]*clientReading, known int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	t.forget(now)
	clients, groups = map[string]*clientReading{}, map[string]*clientReading{}
	for _, c := range t.instances {
		if c.valuesAt.IsZero() || now.Sub(c.valuesAt) > freshFor(c.interval) {
			continue
		}
		known++
		c.mergeInto(clients, c.clientID)
		if c.group != "" {
			c.mergeInto(groups, c.group)
		}
	}
	t.telling = make(map[string]bool, len(groups))
	for group, r := range groups {
		t.telling[group] = r.known&polls != 0
	}
	return clients, groups, known
}

// freshFor is how long a push counts: two more may be late.
func freshFor(interval time.Duration) time.Duration { return interval*5/2 + time.Second }

func (c *clientInstance) mergeInto(all map[string]*clientReading, name string) {
	r := all[name]
	if r == nil {
		r = &clientReading{}
		all[name] = r
	}
	for i := range clientValues {
		if c.known&(1<<i) != 0 {
			r.merge(i, c.values[i])
		}
	}
}

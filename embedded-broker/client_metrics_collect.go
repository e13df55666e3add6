package broker

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamkeeper-io/streamkeeper"
)

const (
	clientValues = len(streamkeeper.ClientMeasures)
	clientPrefix = "org.apache.kafka."
)

// polls are the values that tell of a consumer's polls, as bits.
var polls = func() (bits uint32) {
	for _, i := range streamkeeper.PollMeasures {
		bits |= 1 << i
	}
	return bits
}()

// clientNames finds a value's index by the name it is pushed under.
var clientNames = func() map[string]int {
	m := map[string]int{}
	for i, v := range streamkeeper.ClientMeasures {
		for _, name := range v.Names {
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
	for i, v := range streamkeeper.ClientMeasures {
		d.client[i] = prometheus.NewDesc(namespace+v.Name, v.Help+", as the client says; the worst of those with its id, absent when it says nothing.", []string{"client"}, constant)
		if v.Group != "" {
			d.group[i] = prometheus.NewDesc(namespace+v.Group, v.Help+", as its clients say; the worst of them, absent when they say nothing.", []string{"group"}, constant)
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

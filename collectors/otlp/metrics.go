package otlp

import (
	"fmt"
	"math"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// staleAfter is how long a client's number counts: two exports of the Java agent's default minute may be late.
const staleAfter = 150 * time.Second

// measures finds a measure by its short name.
var measures = func() map[string]int {
	m := map[string]int{}
	for i, v := range streamkeeper.ClientMeasures {
		for _, name := range v.Names {
			m[shortName("org.apache.kafka."+name)] = i
		}
	}
	return m
}()

// shortName is common to both spellings of a client metric: org.apache.kafka.consumer.fetch.manager.fetch.latency.avg
// (KIP-714) and kafka.consumer.fetch_latency_avg (the Java agent). "" is nobody's.
func shortName(name string) string {
	rest, ok := strings.CutPrefix(name, "org.apache.kafka.")
	if !ok {
		if rest, ok = strings.CutPrefix(name, "kafka."); !ok {
			return ""
		}
	}
	rest = strings.ReplaceAll(rest, "_", ".")
	for _, part := range []string{"consumer.coordinator.", "consumer.fetch.manager."} {
		if tail, ok := strings.CutPrefix(rest, part); ok {
			return "consumer." + tail
		}
	}
	return rest
}

// reading is what a client said last of each measure.
type reading struct {
	group  string // as it says itself
	values [len(streamkeeper.ClientMeasures)]float64
	at     [len(streamkeeper.ClientMeasures)]time.Time
	batch  [len(streamkeeper.ClientMeasures)]uint64
	last   time.Time
}

// worse is the worse of two values of a measure: of several partitions, nodes or clients.
func worse(i int, a, b float64) float64 {
	if streamkeeper.ClientMeasures[i].Lowest {
		return min(a, b)
	}
	return max(a, b)
}

// takeMetrics keeps the numbers that serve diagnosis.
func (r *Receiver) takeMetrics(md pmetric.Metrics, wanted string, out *outcome) {
	r.mu.Lock()
	r.batch++
	batch := r.batch
	r.mu.Unlock()
	now := r.o.Now()
	for _, rm := range md.ResourceMetrics().All() {
		resource := rm.Resource().Attributes()
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				i, known := measures[shortName(m.Name())]
				points := numbers(m)
				r.counts.items[metricsSignal].Add(int64(points.Len()))
				if !known {
					continue
				}
				for _, p := range points.All() {
					t := texts{[]pcommon.Map{p.Attributes(), resource}, &r.limits}
					r.takePoint(i, p, t, wanted, now, batch, out)
				}
			}
		}
	}
}

// numbers are the points of a gauge or a sum; of anything else there are none.
func numbers(m pmetric.Metric) pmetric.NumberDataPointSlice {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		return m.Gauge().DataPoints()
	case pmetric.MetricTypeSum:
		return m.Sum().DataPoints()
	default:
		return pmetric.NewNumberDataPointSlice()
	}
}

func (r *Receiver) takePoint(i int, p pmetric.NumberDataPoint, t texts, wanted string, now time.Time, batch uint64, out *outcome) {
	value := p.DoubleValue()
	if p.ValueType() == pmetric.NumberDataPointValueTypeInt {
		value = float64(p.IntValue())
	}
	if p.Flags().NoRecordedValue() || p.ValueType() == pmetric.NumberDataPointValueTypeEmpty || math.IsNaN(value) || math.IsInf(value, 0) {
		return // the Java client says NaN for what it has not measured
	}
	if at := p.Timestamp(); at != 0 && r.ageless(at.AsTime(), now, metricsSignal, out) {
		return
	}
	group, client := t.get(groupKeys...), t.get(clientKeys...)
	if client == "" {
		client = t.get("service.instance.id")
	}
	s := r.sourceOf(t, wanted, group)
	if s == nil || client == "" && group == "" {
		r.counts.unclaimed[metricsSignal].Add(1)
		return
	}
	if !s.measured(client, group, i, value*streamkeeper.ClientMeasures[i].Scale, now, batch) {
		out.reject(r, refusedRoom, 1, fmt.Sprintf("more than %d clients", r.limits.Clients))
		return
	}
	r.counts.kept[metricsSignal].Add(1)
}

// ageless rejects what is too old or of the future.
func (r *Receiver) ageless(at, now time.Time, _ signal, out *outcome) bool {
	switch {
	case now.Sub(at) > r.limits.MaxAge:
		out.reject(r, refusedAge, 1, fmt.Sprintf("older than %s", r.limits.MaxAge))
	case at.Sub(now) > r.limits.MaxAhead:
		out.reject(r, refusedAge, 1, fmt.Sprintf("more than %s ahead of our clock", r.limits.MaxAhead))
	default:
		return false
	}
	return true
}

// clientKey tells clients apart: by id, and by group as far as they say it.
type clientKey struct{ client, group string }

// measured keeps one number; false when there is no room for another client.
func (s *Source) measured(client, group string, i int, value float64, now time.Time, batch uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := clientKey{client, group}
	c := s.clients[key]
	if c == nil {
		if len(s.clients) >= s.r.limits.Clients {
			s.forgetClients(now)
		}
		if len(s.clients) >= s.r.limits.Clients {
			return false
		}
		c = &reading{group: group}
		s.clients[key] = c
	}
	if c.batch[i] == batch {
		value = worse(i, c.values[i], value)
	}
	c.values[i], c.at[i], c.batch[i], c.last = value, now, batch, now
	s.heard = now
	return true
}

func (s *Source) forgetClients(now time.Time) {
	for key, c := range s.clients {
		if now.Sub(c.last) > staleAfter {
			delete(s.clients, key)
		}
	}
}

// clientSamples are the fresh numbers of clients and of their groups.
func (s *Source) clientSamples(now time.Time) []streamkeeper.Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetClients(now)
	clients, groups := map[string]*reading{}, map[string]*reading{}
	for key, c := range s.clients {
		if key.client != "" {
			c.mergeInto(clients, key.client, now)
		}
		if group := s.members.groupOf(key.group, key.client); group != "" {
			c.mergeInto(groups, group, now)
		}
	}
	var out []streamkeeper.Sample
	for client, c := range clients {
		for i, m := range streamkeeper.ClientMeasures {
			if !c.at[i].IsZero() {
				out = append(out, s.sample(m.Name, now, c.values[i], "client", client))
			}
		}
	}
	for group, c := range groups {
		for i, m := range streamkeeper.ClientMeasures {
			if m.Group != "" && !c.at[i].IsZero() {
				out = append(out, s.sample(m.Group, now, c.values[i], "group", group))
			}
		}
		for _, i := range streamkeeper.PollMeasures {
			if !c.at[i].IsZero() {
				out = append(out, s.sample("group_fact", now, 1, "group", group, "fact", "client_metrics", "source", sourceName))
				break
			}
		}
	}
	return out
}

func (c *reading) mergeInto(all map[string]*reading, name string, now time.Time) {
	to := all[name]
	if to == nil {
		to = &reading{}
		all[name] = to
	}
	for i, at := range c.at {
		switch {
		case at.IsZero() || now.Sub(at) > staleAfter:
		case to.at[i].IsZero():
			to.values[i], to.at[i] = c.values[i], at
		default:
			to.values[i] = worse(i, to.values[i], c.values[i])
		}
	}
}

package jmx

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// maxClients bounds the users and client ids that are told of; those who wait longest come first.
const maxClients = 500

// quota names what a quota holds: a client, or a user where it is the user's, in one kind of request.
type quota struct{ client, api string }

// throttles tells, of each client that some broker counts for its quota, how long its requests are made to wait and how
// much it does, on the broker where that is most: a quota holds on each broker apart.
func (r *round) throttles() {
	waits, rates := r.byQuota(throttleTime), r.byQuota(byteRate)
	all := maps.Clone(rates)
	maps.Copy(all, waits) // one that is limited by the time of its requests has no bytes
	order := slices.SortedFunc(maps.Keys(all), func(a, b quota) int {
		return cmp.Or(cmp.Compare(waits[b], waits[a]), strings.Compare(a.client, b.client), strings.Compare(a.api, b.api))
	})
	for _, q := range order[:min(len(order), maxClients)] {
		if ms, ok := waits[q]; ok {
			r.add("streamkeeper_client_throttle_time_seconds", ms/1000, "client", q.client, "api", q.api)
		}
		if rate, ok := rates[q]; ok {
			r.add("streamkeeper_client_bytes_per_second", rate, "client", q.client, "api", q.api)
		}
	}
}

// byQuota is the largest of a fact over brokers.
func (r *round) byQuota(f fact) map[quota]float64 {
	out := map[quota]float64{}
	for _, p := range r.told[f] {
		q := quota{cmp.Or(unquoted(p.Labels["client_id"]), unquoted(p.Labels["user"])), strings.ToLower(p.Labels["resource"])}
		if q.client != "" && q.api != "" {
			out[q] = max(out[q], p.Value)
		}
	}
	return out
}

// unquoted takes off the quotes in which JMX puts names with characters of its own.
func unquoted(name string) string { return strings.Trim(name, `"`) }

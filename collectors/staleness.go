package collectors

import (
	"cmp"
	"hash/maphash"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// staleBits is the NaN that Prometheus writes to say "this series has ended".
const staleBits uint64 = 0x7ff0000000000002

// Stale is the marker that ends a series: from its time on the series is absent instead of frozen at its
// last value. It is a NaN, so compare with [IsStale], never with ==.
func Stale() float64 { return math.Float64frombits(staleBits) }

// IsStale reports whether v is the staleness marker (and not just any NaN).
func IsStale(v float64) bool { return math.Float64bits(v) == staleBits }

// Staleness remembers the series of the last round, to end those that are gone in this one. Without it a
// number that can no longer be measured would look alive for five more minutes. Not safe for concurrent
// use. The zero value is ready.
type Staleness struct {
	seed   maphash.Seed
	round  uint64
	series map[uint64]living
}

// living is a series and the round that had it last.
type living struct {
	metric string
	labels map[string]string
	round  uint64
}

// Mark returns the samples of this round followed by a stale marker, at now, for every series that was in
// the last round and is not in this one. The markers come in a fixed order.
func (st *Staleness) Mark(now time.Time, samples []streamkeeper.Sample) []streamkeeper.Sample {
	if st.series == nil {
		st.seed, st.series = maphash.MakeSeed(), map[uint64]living{}
	}
	st.round++
	for _, s := range samples {
		st.series[SeriesHash(st.seed, s.Metric, s.Labels)] = living{s.Metric, s.Labels, st.round}
	}
	var gone []streamkeeper.Sample
	for h, s := range st.series {
		if s.round != st.round {
			gone = append(gone, streamkeeper.Sample{Metric: s.metric, Labels: s.labels, At: now, Value: Stale()})
			delete(st.series, h)
		}
	}
	slices.SortFunc(gone, compareSeries)
	return append(samples, gone...)
}

// SeriesHash hashes a series' identity. Label order does not matter, so a map needs no sorting.
func SeriesHash(seed maphash.Seed, metric string, labels map[string]string) uint64 {
	sum := maphash.String(seed, metric)
	for name, value := range labels {
		n, v := maphash.String(seed, name), maphash.String(seed, value)
		sum += n*0x9e3779b97f4a7c15 ^ (v<<31 | v>>33)
	}
	return sum
}

func compareSeries(a, b streamkeeper.Sample) int {
	if c := cmp.Compare(a.Metric, b.Metric); c != 0 {
		return c
	}
	names := slices.Sorted(maps.Keys(a.Labels))
	for _, n := range names {
		if c := cmp.Compare(a.Labels[n], b.Labels[n]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a.Labels), len(b.Labels))
}

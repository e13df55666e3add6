package kafka

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// fetchedOf is a client, and the broker that leads what it reads: a quota holds on each broker.
type fetchedOf struct {
	client string
	broker int32
}

// fetched is what a client has read, in bytes, by estimate: brokers tell the use of a quota in JMX only. What members commit
// they have fetched, and records of a partition weigh what its records weigh on the average.
type fetched struct {
	bytes float64
	moved time.Time
	blind time.Time // when something was committed of which nobody knows what it weighs
}

const (
	maxFetched = 5_000       // clients on brokers whose reading is followed; those beyond are not judged
	blindFor   = time.Minute // for how long an estimate is not told after something was left out of it
)

// fetch adds what the member that has a partition committed on it.
func (t *tracker) fetch(gp *groupPart, records int64, at time.Time) {
	if len(t.quotas) == 0 || gp.member == nil || !t.limits(gp.member.state.client, "fetch") || gp.part.leader < 0 {
		return
	}
	of := fetchedOf{gp.member.state.client, gp.part.leader}
	f := t.fetched[of]
	if f == nil {
		if len(t.fetched) >= maxFetched {
			return
		}
		f = &fetched{}
		t.fetched[of] = f
	}
	f.moved = at
	if weight := float64(gp.part.weight); weight > 0 {
		f.bytes += weight * float64(records)
	} else {
		f.blind = at
	}
}

func (t *tracker) measureFetched(r *round) {
	of := slices.SortedFunc(maps.Keys(t.fetched), func(a, b fetchedOf) int {
		return cmp.Or(cmp.Compare(a.client, b.client), cmp.Compare(a.broker, b.broker))
	})
	for _, k := range of {
		f := t.fetched[k]
		if !t.limits(k.client, "fetch") || r.at.Sub(f.moved) > forgetAfter {
			delete(t.fetched, k)
			continue
		}
		if f.blind.IsZero() || r.at.Sub(f.blind) > blindFor {
			r.add("streamkeeper_client_committed_bytes_total", map[string]string{"cluster": t.cluster, "client": k.client, "broker": itoa(k.broker)}, f.bytes)
		}
	}
}

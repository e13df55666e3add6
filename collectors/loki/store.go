package loki

import (
	"strconv"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// storeCallFailed is the kind of event that a broker's line about its object store becomes.
const storeCallFailed = "store_call_failed"

// toldFor is how long after a failure the counts of failures speak: without one for that long, nothing is known. A failure
// of a form that no pattern knows leaves no line here, so silence never means that calls succeed.
const toldFor = 2 * time.Minute

// tellEvery is how far apart the events of one way to fail are: readers try again many times a second.
const tellEvery = 5 * time.Second

// storeClasses are the outcomes that are told apart, each with or without an answer of the store. Objects that are not
// there are no failure of it.
var storeClasses = []failure{{"denied", true}, {"denied", false}, {"throttled", true}, {"down", true}, {"down", false}, {"other", true}}

// failure is how a call of the object store failed.
type failure struct {
	class    string
	answered bool
}

// storeCalls counts the failed calls that brokers wrote of. The zero value is ready.
type storeCalls struct {
	failed map[failure]float64
	told   map[failure]time.Time // when the last event was
	at     time.Time             // when the last one came
}

// take counts a failed call, and reports whether it is worth an event of its own.
func (c *storeCalls) take(e streamkeeper.Event, now time.Time) bool {
	class, _ := e.Attrs["class"].(string)
	answered, _ := e.Attrs["answered"].(bool)
	if class == "not_found" {
		return false
	}
	if c.failed == nil {
		c.failed, c.told = map[failure]float64{}, map[failure]time.Time{}
	}
	f := failure{class, answered}
	c.failed[f]++
	c.at = now
	if e.At.Sub(c.told[f]) < tellEvery {
		return false
	}
	c.told[f] = e.At
	return true
}

// samples are the counts while they speak. They begin at zero, as counters must that are to be seen moving.
func (c *storeCalls) samples(cluster string, now time.Time) []streamkeeper.Sample {
	if c.failed == nil || now.Sub(c.at) > toldFor {
		return nil
	}
	out := make([]streamkeeper.Sample, 0, len(storeClasses))
	for _, f := range storeClasses {
		out = append(out, streamkeeper.Sample{
			Metric: "streamkeeper_tier_logged_failures_total", At: now, Value: c.failed[f],
			Labels: map[string]string{
				"cluster": cluster, "store": streamkeeper.TieredStorage, "class": f.class, "answered": strconv.FormatBool(f.answered),
			},
		})
	}
	return out
}

package drill

import (
	"fmt"
	"math"
	"slices"
)

// Family is the score of the drills of one cause on one target.
type Family struct {
	Runs           int         `json:"runs"`
	Top1           int         `json:"top1"`
	Top3           int         `json:"top3"`
	InSet          int         `json:"in_set"` // answered by a set that holds the truth; not in Top1
	FalseAlarms    int         `json:"false_alarms"`
	ConfidentWrong int         `json:"confident_wrong"`
	Failed         int         `json:"failed"` // runs that do not count: see Result.NotCounted
	SecondsToCause Percentiles `json:"seconds_to_cause"`
	InTime         bool        `json:"in_time"` // p50 within floor + 30 s, p95 within floor + 60 s
	LowerBound     float64     `json:"lower_bound"`
}

// Percentiles of a set of seconds; null when the set is empty.
type Percentiles struct {
	P50 *float64 `json:"p50"`
	P95 *float64 `json:"p95"`
}

// maxCPUShare is how busy the machine may be during a run that counts: on a busier one, the diagnosis sees
// the machine's faults besides the injected one.
const maxCPUShare = 0.7

// NotCounted says why a run is no measurement of the diagnosis, "" when it is one. Impatient clocks and a busy
// machine are forgiven with allowBusy.
func (r Result) NotCounted(allowBusy bool) string {
	switch {
	case r.Error != "":
		return r.Error
	case r.Ticks == 0:
		return "the diagnosis made no report after the injection"
	case !r.Benign && r.Impact == nil:
		return "the fault hurt nobody"
	case allowBusy:
		return ""
	case r.CPUShare != nil && *r.CPUShare > maxCPUShare:
		return fmt.Sprintf("the machine was busy: %.0f %% of its CPU (--allow-busy counts the run)", 100**r.CPUShare)
	case r.LateTicks > 0:
		return fmt.Sprintf("%d of %d ticks came late (--allow-busy counts the run)", r.LateTicks, r.Ticks)
	}
	return ""
}

// Score sums results by family and target. A family is a drill's id; "all" is every fault, "benign" every benign
// episode.
func Score(results []Result, allowBusy bool) map[string]map[string]Family {
	type key struct{ family, target string }
	sums := map[key]*tally{}
	for _, r := range results {
		for _, name := range families(r) {
			k := key{name, r.Target}
			if sums[k] == nil {
				sums[k] = &tally{}
			}
			sums[k].add(r, allowBusy)
		}
	}
	out := map[string]map[string]Family{}
	for k, t := range sums {
		if out[k.family] == nil {
			out[k.family] = map[string]Family{}
		}
		out[k.family][k.target] = t.family()
	}
	return out
}

// tally is a family's score while it is summed.
type tally struct {
	Family
	times []float64 // seconds to cause, from the impact
	over  []float64 // the same, above the drill's own floor
}

func (t *tally) add(r Result, allowBusy bool) {
	if r.NotCounted(allowBusy) != "" {
		t.Failed++
		return
	}
	t.Runs++
	t.ConfidentWrong += len(r.Wrong)
	switch {
	case r.Benign && !r.Right:
		t.FalseAlarms++
	case r.Right:
		t.Top1++
		t.Top3++
	case r.InSet:
		t.InSet++
		t.Top3++
	case r.inTop():
		t.Top3++
	}
	if r.Right && r.SecondsToCause != nil {
		seconds := *r.SecondsToCause - r.impactSeconds()
		t.times = append(t.times, seconds)
		t.over = append(t.over, seconds-r.FloorSeconds)
	}
}

func (t *tally) family() Family {
	f := t.Family
	f.SecondsToCause = percentiles(t.times)
	over := percentiles(t.over)
	f.InTime = over.P50 != nil && *over.P50 <= 30 && *over.P95 <= 60
	f.LowerBound = wilson(f.Top1, f.Runs)
	return f
}

func families(r Result) []string {
	if r.Benign {
		return []string{r.ID, "benign"}
	}
	return []string{r.ID, "all"}
}

func (r Result) inTop() bool { return slices.ContainsFunc(r.Top, r.truth) }

// impactSeconds is when the workload was first hurt: time to cause is judged from there (or from the
// injection for faults that hurt nobody at once).
func (r Result) impactSeconds() float64 {
	if r.Impact == nil || r.SecondsToCause == nil || r.Impact.Seconds > *r.SecondsToCause {
		return 0
	}
	return r.Impact.Seconds
}

func percentiles(x []float64) Percentiles {
	if len(x) == 0 {
		return Percentiles{}
	}
	x = slices.Sorted(slices.Values(x))
	at := func(q float64) *float64 {
		v := x[int(math.Ceil(q*float64(len(x))))-1]
		return &v
	}
	return Percentiles{P50: at(0.5), P95: at(0.95)}
}

// wilson is the lower end of the 95 % Wilson score interval.
func wilson(right, runs int) float64 {
	if runs == 0 || right == 0 {
		return 0
	}
	const z = 1.96
	n, p := float64(runs), float64(right)/float64(runs)
	return max(0, (p+z*z/(2*n)-z*math.Sqrt(p*(1-p)/n+z*z/(4*n*n)))/(1+z*z/n))
}

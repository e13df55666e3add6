package drill

import (
	"math"
	"slices"
)

// Family is the score of the drills of one cause on one target.
type Family struct {
	Runs           int         `json:"runs"`
	Top1           int         `json:"top1"`
	Top3           int         `json:"top3"`
	FalseAlarms    int         `json:"false_alarms"`
	ConfidentWrong int         `json:"confident_wrong"`
	Failed         int         `json:"failed"` // runs that do not count: no impact, or the lab broke
	SecondsToCause Percentiles `json:"seconds_to_cause"`
	InTime         bool        `json:"in_time"` // p50 within floor + 30 s, p95 within floor + 60 s
	LowerBound     float64     `json:"lower_bound"`
}

// Percentiles of a set of seconds; null when the set is empty.
type Percentiles struct {
	P50 *float64 `json:"p50"`
	P95 *float64 `json:"p95"`
}

// Score sums results by drill id and, under "all", over every fault and, under "benign", over the benign
// episodes.
func Score(results []Result) map[string]Family {
	out := map[string]Family{}
	times := map[string][]float64{}
	floor := map[string]float64{}
	for _, r := range results {
		for _, name := range families(r) {
			f := out[name]
			if r.Error != "" {
				f.Failed++
				out[name] = f
				continue
			}
			f.Runs++
			f.ConfidentWrong += len(r.Wrong)
			switch {
			case r.Benign && !r.Right:
				f.FalseAlarms++
			case r.Right:
				f.Top1++
				f.Top3++
			case r.inTop():
				f.Top3++
			}
			if r.SecondsToCause != nil && !r.Benign {
				times[name] = append(times[name], *r.SecondsToCause-r.impactSeconds())
			}
			floor[name] = r.FloorSeconds
			out[name] = f
		}
	}
	for name, f := range out {
		f.SecondsToCause = percentiles(times[name])
		f.InTime = name != "all" && f.SecondsToCause.P50 != nil &&
			*f.SecondsToCause.P50 <= floor[name]+30 && *f.SecondsToCause.P95 <= floor[name]+60
		f.LowerBound = wilson(f.Top1, f.Runs)
		out[name] = f
	}
	return out
}

func families(r Result) []string {
	if r.Benign {
		return []string{r.ID, "benign"}
	}
	return []string{r.ID, "all"}
}

func (r Result) inTop() bool {
	return slices.ContainsFunc(r.Top, func(n Named) bool {
		return n.Cause == r.Injected.Cause && n.Entity == r.Injected.Entity
	})
}

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
	slices.Sort(x)
	at := func(q float64) *float64 {
		v := x[int(math.Ceil(q*float64(len(x))))-1]
		return &v
	}
	return Percentiles{P50: at(0.5), P95: at(0.95)}
}

// wilson is the lower end of the 95 % Wilson score interval.
func wilson(right, runs int) float64 {
	if runs == 0 {
		return 0
	}
	const z = 1.96
	n, p := float64(runs), float64(right)/float64(runs)
	return max(0, (p+z*z/(2*n)-z*math.Sqrt(p*(1-p)/n+z*z/(4*n*n)))/(1+z*z/n))
}

// Package capacity recommends how many consumers, partitions and uploads are needed, and says so when
// scaling would not help.
//
// The number of consumers follows from the true rate of one consumer (records per second of work, not of
// waiting), the demand, the backlog that must be drained, and what a restart costs. It is capped by the
// partitions and by the hottest of them, and gated by the diagnosis: while a cause is likely that more
// members make worse, the recommendation is to hold, with the reason.
//
// The package is pure. A number that is not known is nil, and then nothing is recommended that needs it.
//
// Start with Consumers and Uploads; manifest.go writes what to apply.
package capacity

import (
	"fmt"
	"math"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// Settings are the targets of sizing. The zero value of a field means its default.
type Settings struct {
	Utilisation float64       // wanted share of the true rate in use; default 0.7
	Drain       time.Duration // how fast a backlog must be gone; default 10 minutes
	Restart     time.Duration // what a rebalance costs when it is not measured; default 30 s
	LagTarget   time.Duration // lag from which more consumers are worth it; default 30 s
	Calm        time.Duration // how long a group must be calm before fewer are recommended; default 30 minutes
	StepDown    float64       // largest share taken away at once; default 0.5
}

func (s Settings) withDefaults() Settings {
	set := func(at *time.Duration, d time.Duration) {
		if *at <= 0 {
			*at = d
		}
	}
	set(&s.Drain, 10*time.Minute)
	set(&s.Restart, 30*time.Second)
	set(&s.LagTarget, 30*time.Second)
	set(&s.Calm, 30*time.Minute)
	if s.Utilisation <= 0 {
		s.Utilisation = .7
	}
	if s.StepDown <= 0 {
		s.StepDown = .5
	}
	return s
}

// Cause is a told finding as sizing sees it.
type Cause struct {
	ID         string
	Title      string
	Confidence float64
	Scale      string // no, yes, after, or "" when the catalog does not say
	Why        string
}

// gate is the posterior from which a cause that scaling makes worse forbids it.
const gate = .5

// Group is what is known of one consumer group. Rates are records per second.
type Group struct {
	Entity        streamkeeper.Entity
	Topics        []string
	Members       int
	Partitions    int      // with traffic or lag
	Produce       *float64 // arriving
	Consume       *float64 // committed
	Backlog       *float64 // records
	LagSeconds    *float64
	RecordSeconds *float64 // work per record of one member, waiting excluded
	HotPartition  *float64 // arriving on the busiest partition
	CalmFor       time.Duration
	Causes        []Cause
}

// Consumers recommends for one group. Without a true rate or a demand there is nothing to say and ok is
// false; it is also false when the group is the right size.
func Consumers(g Group, s Settings) (r streamkeeper.Recommendation, ok bool) {
	s = s.withDefaults()
	late := g.LagSeconds != nil && *g.LagSeconds >= s.LagTarget.Seconds()
	if c, forbidden := forbids(g.Causes); forbidden {
		if !late && c.Scale != "after" {
			return r, false
		}
		return hold(g, c), true
	}
	rate, ok := trueRate(g, s)
	if !ok || g.Produce == nil || g.Members < 1 {
		return r, false
	}
	z := size(g, s, rate)
	switch {
	case g.HotPartition != nil && *g.HotPartition > s.Utilisation*rate && late:
		return hot(g, s, rate), true
	case z.wanted > g.Partitions && g.Partitions > 0 && late:
		return partitions(g, s, z), true
	case z.members > g.Members && late:
		return scale(g, s, z, fmt.Sprintf("%s records/s arrive and %s wait; one consumer works off %s/s",
			plain(*g.Produce), plain(value(g.Backlog)), plain(rate))), true
	case float64(z.members) < .7*float64(g.Members) && !late && g.CalmFor >= s.Calm && known(g):
		z.members = max(z.members, int(math.Ceil(float64(g.Members)*(1-s.StepDown))))
		return scale(g, s, z, fmt.Sprintf("calm for %s: %s records/s arrive, %d consumers can work off %s/s",
			g.CalmFor.Truncate(time.Minute), plain(*g.Produce), g.Members, plain(rate*float64(g.Members)))), true
	}
	return r, false
}

// known says whether enough is known to take capacity away.
func known(g Group) bool { return g.LagSeconds != nil && g.Backlog != nil && g.RecordSeconds != nil }

func value(x *float64) float64 {
	if x == nil {
		return 0
	}
	return *x
}

// forbids finds the likeliest cause under which scaling out is wrong now.
func forbids(causes []Cause) (Cause, bool) {
	var worst Cause
	for _, c := range causes {
		if (c.Scale == "no" || c.Scale == "after") && c.Confidence >= gate && c.Confidence > worst.Confidence {
			worst = c
		}
	}
	return worst, worst.ID != ""
}

// trueRate is what one consumer can do: from its measured work per record, else what each one shows
// while all are behind and so surely busy.
func trueRate(g Group, s Settings) (float64, bool) {
	if g.RecordSeconds != nil && *g.RecordSeconds > 0 {
		return 1 / *g.RecordSeconds, true
	}
	saturated := g.LagSeconds != nil && *g.LagSeconds >= s.LagTarget.Seconds()
	if saturated && g.Consume != nil && *g.Consume > 0 && g.Members > 0 {
		return *g.Consume / float64(min(g.Members, max(g.Partitions, 1))), true
	}
	return 0, false
}

// sized is the outcome of the capacity equation.
type sized struct {
	rate     float64 // of one consumer
	required float64 // records per second
	wanted   int     // consumers without caps
	members  int     // consumers within the partitions, evenly loaded
}

// size solves C = demand/utilisation + backlog/drain + demand × restart/drain for the consumers.
func size(g Group, s Settings, rate float64) sized {
	demand := *g.Produce
	drain := s.Drain.Seconds()
	z := sized{rate: rate}
	z.required = demand/s.Utilisation + value(g.Backlog)/drain + demand*s.Restart.Seconds()/drain
	z.wanted = max(1, int(math.Ceil(z.required/rate)))
	z.members = z.wanted
	if g.Partitions > 0 {
		z.members = even(min(z.wanted, g.Partitions), g.Partitions)
	}
	return z
}

// even rounds up to a divisor of the partitions when that costs at most a quarter more.
func even(n, partitions int) int {
	for d := n; d <= n+n/4 && d <= partitions; d++ {
		if partitions%d == 0 {
			return d
		}
	}
	return n
}

func hold(g Group, c Cause) streamkeeper.Recommendation {
	why := c.Why
	if why == "" {
		why = "more members do not help against it"
	}
	title := c.Title
	if title == "" {
		title = strings.ReplaceAll(c.ID, "_", " ")
	}
	n := float64(g.Members)
	return streamkeeper.Recommendation{
		Kind: streamkeeper.Hold, Entity: g.Entity, From: &n, To: &n, BoundedBy: c.ID,
		Why: fmt.Sprintf("do not scale: %s (%s, %.0f %%)", why, title, 100*c.Confidence),
	}
}

func hot(g Group, s Settings, rate float64) streamkeeper.Recommendation {
	n := float64(g.Members)
	return streamkeeper.Recommendation{
		Kind: streamkeeper.Hold, Entity: g.Entity, From: &n, To: &n, BoundedBy: "hottest partition",
		Why: fmt.Sprintf("do not scale: the busiest partition gets %s records/s and its one consumer works off %s/s; "+
			"spread its keys, or work in parallel within the partition", plain(*g.HotPartition), plain(rate)),
		Expected: map[string]float64{"salt_keys": math.Ceil(*g.HotPartition / (s.Utilisation * rate))},
	}
}

func scale(g Group, s Settings, z sized, why string) streamkeeper.Recommendation {
	from, to := float64(g.Members), float64(z.members)
	r := streamkeeper.Recommendation{Kind: streamkeeper.ScaleConsumers, Entity: g.Entity, From: &from, To: &to, Why: why}
	r.Expected = map[string]float64{
		"capacity_per_second": round(to * z.rate), "utilisation_ratio": round(*g.Produce / (to * z.rate)),
	}
	if spare := to*z.rate - *g.Produce; spare > 0 && g.Backlog != nil {
		r.Expected["drain_seconds"] = round(*g.Backlog / spare)
	}
	if z.wanted > g.Partitions && g.Partitions > 0 {
		r.BoundedBy = "partitions"
	}
	return r
}

// spare is the room for growth that is added when partitions are, because they cannot be taken back.
const spareParts = 1.3

func partitions(g Group, s Settings, z sized) streamkeeper.Recommendation {
	from := float64(g.Partitions)
	to := float64(roundUp(int(math.Ceil(spareParts*float64(z.wanted))), z.wanted))
	return streamkeeper.Recommendation{
		Kind: streamkeeper.AddPartitions, Entity: g.Entity, From: &from, To: &to, BoundedBy: "partitions",
		Why: fmt.Sprintf("%d consumers are needed and only %d partitions can be read; adding partitions changes which key goes where "+
			"and cannot be undone; a share group needs none", z.wanted, g.Partitions),
		Expected: map[string]float64{"consumers": float64(z.wanted), "capacity_per_second": round(float64(z.wanted) * z.rate)},
	}
}

// composites are partition counts that many numbers of consumers divide.
var composites = []int{1, 2, 4, 6, 12, 24, 36, 48, 60, 120, 180, 240, 360, 720, 840, 1260, 1680, 2520}

// roundUp picks the next highly composite number, or a multiple of the consumers beyond them.
func roundUp(n, consumers int) int {
	for _, c := range composites {
		if c >= n {
			return c
		}
	}
	return (n + consumers - 1) / consumers * consumers
}

func round(x float64) float64 { return math.Round(x*100) / 100 }

// plain writes a number with at most three digits after the point, none when it is large.
func plain(x float64) string {
	switch {
	case math.Abs(x) >= 100 || x == math.Trunc(x):
		return fmt.Sprintf("%.0f", x)
	case math.Abs(x) >= 1:
		return fmt.Sprintf("%.1f", x)
	default:
		return fmt.Sprintf("%.3g", x)
	}
}

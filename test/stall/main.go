// Command stall is `task test:stall`: the object store answers late, turns half of the calls away, denies them, or is
// gone, while producers write at a fixed rate and a group reads and commits. With an ample limit of the local log nobody
// may notice; with a tight one producers are slowed and then refused, in this order, while commits go on. Nothing
// acknowledged may be lost, and memory stays bounded. It prints a table and, as last line, one JSON object.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/streamkeeper-io/streamkeeper/cli/drill"
)

// fault is what the road to the store does, and what diagnosis should say.
type fault struct {
	name   string
	be     drill.Behaviour
	cause  string
	frozen bool // nothing is offloaded meanwhile
}

var faults = []fault{
	{"none", drill.Behaviour{}, "", false}, // a control
	{"slow", drill.Behaviour{Store: drill.StoreSlow, StoreMillis: 2000}, "object_store_slow", false},
	{"throttled", drill.Behaviour{Store: drill.StoreThrottle, StoreShare: 0.5}, "object_store_throttled", false},
	{"denied", drill.Behaviour{Store: drill.StoreDeny}, "object_store_denied", true},
	{"gone", drill.Behaviour{Store: drill.StoreRefuse}, "object_store_unavailable", true},
	{"black-hole", drill.Behaviour{Store: drill.StoreBlackHole}, "object_store_unavailable", true},
}

// plan is how a scenario runs.
type plan struct {
	fault
	binary, s3, dir     string
	rate                float64 // bytes a second
	limit               int64   // broker.tier.hard_local_bytes
	segment             int64
	healthy, gone, back time.Duration
}

// ample reports whether the limit holds what comes in meanwhile without slowing anybody.
func (p *plan) ample() bool { return float64(p.limit)*0.8 > p.rate*p.gone.Seconds()*1.1 }

func main() {
	p := plan{}
	flag.StringVar(&p.binary, "binary", ".bin/streamkeeper", "path of the program")
	flag.StringVar(&p.s3, "s3", ".bin/versitygw", "path of the S3 server")
	flag.StringVar(&p.dir, "dir", "", "where data lies; the temporary folder when empty")
	flag.Float64Var(&p.rate, "rate", 50e6, "bytes of records a second")
	names := flag.String("faults", "slow,throttled,denied,gone,black-hole", "which")
	limits := flag.String("limits", "40960,4096", "limits of the local log, in MiB")
	flag.DurationVar(&p.healthy, "healthy", time.Minute, "how long the store is well before")
	flag.DurationVar(&p.gone, "gone", 10*time.Minute, "how long it is not")
	flag.DurationVar(&p.back, "back", 10*time.Minute, "how long draining may take after its return")
	small := flag.Bool("small", false, "a few minutes: 10 MB/s, limits of 2 GiB and 192 MiB, 45 s without the store")
	flag.Parse()
	if *small {
		p.rate, *limits, p.healthy, p.gone, p.back = 10e6, "2048,192", 30*time.Second, 45*time.Second, time.Minute
	}
	ok := true
	var results []result
	for limit := range strings.SplitSeq(*limits, ",") {
		var mib int64
		if _, err := fmt.Sscan(limit, &mib); err != nil || mib < 64 {
			fmt.Fprintf(os.Stderr, "stall: a limit of %q MiB: give at least 64\n", limit)
			os.Exit(2)
		}
		p.limit = mib << 20
		p.segment = min(64<<20, p.limit/64)
		for name := range strings.SplitSeq(*names, ",") {
			if p.fault = find(name); p.name == "" {
				fmt.Fprintf(os.Stderr, "stall: no fault %q\n", name)
				os.Exit(2)
			}
			r := run(context.Background(), &p)
			results = append(results, r)
			ok = ok && len(r.Wrong) == 0
		}
	}
	table(results)
	line, err := json.Marshal(map[string]any{"scenarios": results, "passed": ok})
	if err != nil {
		fmt.Fprintln(os.Stderr, "stall:", err)
		os.Exit(1)
	}
	fmt.Println(string(line))
	if !ok {
		os.Exit(1)
	}
}

func find(name string) fault {
	for _, f := range faults {
		if f.name == name {
			return f
		}
	}
	return fault{}
}

// result is one scenario's figures. Durations are in seconds; those that were not reached are null.
type result struct {
	Fault          string   `json:"fault"`
	LimitMiB       int64    `json:"limit_mib"`
	Ample          bool     `json:"ample"`
	Acked          int      `json:"acked_batches"`
	HealthyP99     float64  `json:"healthy_p99_seconds"`
	P99            float64  `json:"p99_seconds"`
	P99Ratio       float64  `json:"p99_ratio"`
	DrainP99       float64  `json:"drain_p99_seconds"`
	Throttled      int      `json:"throttled"`
	Refused        int      `json:"refused"`
	FirstThrottle  *float64 `json:"first_throttle_seconds"`
	FirstRefusal   *float64 `json:"first_refusal_seconds"`
	Dropped        int64    `json:"dropped_requests"`
	HeldMiB        int64    `json:"held_mib"`
	Drained        *float64 `json:"drained_seconds"`
	Commits        int      `json:"commits"`
	CommitsFailed  int      `json:"commits_failed"`
	SlowestCommit  float64  `json:"slowest_commit_seconds"`
	ClientRecords  int      `json:"client_records"`
	ClientFailed   int      `json:"client_failed"`
	FastRefused    int      `json:"fail_fast_refused"`
	SlowestFast    float64  `json:"slowest_fail_fast_seconds"`
	Lost           int      `json:"lost_batches"`
	LostClient     int      `json:"lost_client_records"`
	RSSGrowthMiB   int64    `json:"rss_growth_mib"`
	Named          *float64 `json:"named_seconds"`
	Said           string   `json:"said"`
	Advice         []string `json:"advice"`
	BucketOverLive float64  `json:"bucket_over_live"`
	Wrong          []string `json:"wrong"`
}

func table(results []result) {
	fmt.Printf("\n%-11s %6s %9s %9s %6s %7s %7s %7s %8s %8s %10s %5s %6s %7s  %s\n",
		"fault", "limit", "p99 well", "p99", "ratio", "slowed", "refused", "held", "drained", "commits", "not commit", "lost", "rss", "named", "said")
	for i := range results {
		r := &results[i]
		fmt.Printf("%-11s %5dM %9s %9s %6.2f %7d %7d %6dM %8s %8d %10d %5d %5dM %7s  %s\n",
			r.Fault, r.LimitMiB, millis(r.HealthyP99), millis(r.P99), r.P99Ratio, r.Throttled, r.Refused, r.HeldMiB, seconds(r.Drained), r.Commits,
			r.CommitsFailed, r.Lost+r.LostClient, r.RSSGrowthMiB, seconds(r.Named), r.Said)
	}
	for i := range results {
		for _, wrong := range results[i].Wrong {
			fmt.Printf("FAIL  %s, %d MiB: %s\n", results[i].Fault, results[i].LimitMiB, wrong)
		}
	}
}

func millis(s float64) string { return fmt.Sprintf("%.1fms", s*1000) }

func seconds(s *float64) string {
	if s == nil {
		return "never"
	}
	return fmt.Sprintf("%.0fs", *s)
}

package main

import (
	"context"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/test/answers"
)

// throttledScenario is a consumer under a quota of which nobody knows yet how much it uses: more members share the quota, so that
// nobody may say yes to scaling.
var throttledScenario = scenario{
	name: "throttled-consumer", causes: []string{"quota_throttling"}, partitions: 3, replicas: 3, members: 1, library: rdkafka,
	rate: 60, valueSize: slowValue, inject: limitMember, check: neverScaled,
}

// neverScaled finds what is said of the group and of its first member.
func neverScaled(_ context.Context, l *lab, w *workload, r *streamkeeper.Report) (said string, right bool, err error) {
	for _, entity := range []func(*lab, *workload) streamkeeper.Entity{firstMember, group} {
		f, named := l.answer(&scenario{name: w.name, causes: []string{"quota_throttling"}, entity: entity}, r)
		if f == nil || f.Verdict == streamkeeper.VerdictBenign {
			continue
		}
		scale := "of scaling nothing"
		if f.Scale != nil {
			scale = "to scaling " + f.Scale.Do
		}
		return "given " + answers.Said(f) + ", " + scale, named && (f.Scale == nil || f.Scale.Do != "yes"), nil
	}
	return "nothing is said", false, nil
}

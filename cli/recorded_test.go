package cli

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/streamkeeper-io/streamkeeper"
)

// recorded are faults in clients of an Apache Kafka that ran side by side (test/foreign), as a diagnosis saw them: what may
// be said of each group, first that which is.
var recorded = map[string]map[string][]string{
	"kafka-cold.txtar.gz": {
		"retention-race": {"partition_bound_parallelism", "processing_slowed"}, "partition-bound-parallelism": {"partition_bound_parallelism"},
		"consumer-undersized": {"consumer_undersized", "processing_slowed"}, "hot-partition-key-skew": {"hot_partition_key_skew"},
		"consumer-stuck-or-paused": {"consumer_stuck_or_paused"},
	},
}

// What is told of a recorded fault without some of what was seen is right, a set that holds it, or nothing: never another
// name at .9.
func TestReplayed_FaultsDegrade(t *testing.T) {
	rulebook, err := loadCatalog(nil)
	if err != nil {
		t.Fatal(err)
	}
	for file, faults := range recorded {
		whole, err := readRecording(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		for name, change := range map[string]func(recording) (recording, error){
			"as recorded":           func(r recording) (recording, error) { return r, nil },
			"without logs":          func(r recording) (recording, error) { return r.without(withoutLogs) },
			"without leave reasons": func(r recording) (recording, error) { return r.without(withoutLeaveReasons) },
			"without a fifth":       func(r recording) (recording, error) { return r.dropping(.2, 1), nil },
			"without another fifth": func(r recording) (recording, error) { return r.dropping(.2, 2), nil },
		} {
			r, err := change(whole)
			if err != nil {
				t.Fatal(err)
			}
			last, err := r.replay(t.Context(), rulebook, r.meta.TickedAt, nil)
			if err != nil {
				t.Fatal(err)
			}
			right := 0
			for group, causes := range faults {
				i := slices.IndexFunc(last.Findings, func(f streamkeeper.Finding) bool {
					return f.Entity.Name == group && f.Verdict != streamkeeper.VerdictOther
				})
				if i < 0 {
					continue
				}
				f := &last.Findings[i]
				named := slices.ContainsFunc(causes, func(c string) bool { return c == f.Cause || slices.Contains(f.Causes, c) })
				switch {
				case named:
					right++
				case f.Confidence >= .9 && f.Verdict != streamkeeper.VerdictBenign:
					t.Errorf("%s %s: %s is %s %s %v at %.2f", file, name, group, f.Verdict, f.Cause, f.Causes, f.Confidence)
				}
			}
			t.Logf("%s %s: %d of %d are named or in a set", file, name, right, len(faults))
			if name == "as recorded" && right < len(faults) {
				t.Errorf("%s: only %d of %d are named as recorded", file, right, len(faults))
			}
		}
	}
}

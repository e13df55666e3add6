package engine_test

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/tier"
	"github.com/streamkeeper-io/streamkeeper/engine/txn"
)

// goldenWrite makes the directory anew, for a new format only:
//
//	go test ./engine -run TestGolden -golden.write
var goldenWrite = flag.Bool("golden.write", false, "write testdata/format-N instead of reading it")

// goldenDir holds a data directory and a bucket as format 1 of the engine left them without a clean stop.
const goldenDir = "testdata/format-1"

// goldenFacts is what must be found in it.
type goldenFacts struct {
	Cluster   string              `json:"cluster"`
	Records   map[string][]string `json:"records"`
	Committed []string            `json:"committed"` // of the topic with an aborted transaction
	Offset    int64               `json:"offset"`
}

func goldenFactsOf(t *testing.T, e *engine.Engine) goldenFacts {
	t.Helper()
	f := goldenFacts{Cluster: e.ClusterID(), Records: map[string][]string{}, Committed: committed(t, partition(t, e, "payments", 0), 0)}
	for key, values := range contents(t, e) {
		if len(values) > 0 {
			f.Records[key] = values
		}
	}
	f.Offset = e.CommittedOffsets("readers")[engine.OffsetKey{Topic: "orders", Partition: 1}].Offset
	return f
}

func goldenOptions(t *testing.T, dir string) engine.Options {
	t.Helper()
	store, err := tier.OpenStore("file://"+filepath.Join(dir, "objects"), func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	o := options(vfs.Default, store)
	o.Dir, o.Log.SegmentBytes = filepath.Join(dir, "broker"), 16<<10
	return o
}

// TestGolden_AnOldDirectoryStillOpens fails when a change of the on-disk format goes unnoticed: a new format needs a new
// number in FORMAT, a way from the old one, and a golden directory beside this one.
func TestGolden_AnOldDirectoryStillOpens(t *testing.T) {
	if *goldenWrite {
		writeGolden(t)
	}
	raw, err := os.ReadFile(filepath.Join(goldenDir, "facts.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want goldenFacts
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(goldenDir)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // and again after our own stop
		e := open(t, goldenOptions(t, dir))
		if d := cmp.Diff(want, goldenFactsOf(t, e)); d != "" {
			t.Fatal(d)
		}
		closeEngine(t, e)
	}
	x, err := engine.OpenOffline(goldenOptions(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	v, err := x.Verify(context.Background(), nil)
	if err != nil || v.ProblemCount > 0 || v.Objects == 0 || v.LogBatches == 0 {
		t.Errorf("%+v, %v", v, err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	// The bucket alone.
	if err := os.RemoveAll(filepath.Join(dir, "broker")); err != nil {
		t.Fatal(err)
	}
	sum, err := engine.Restore(context.Background(), goldenOptions(t, dir), engine.RestoreOptions{})
	if err != nil || sum.Cluster != want.Cluster || sum.Objects == 0 {
		t.Errorf("restore: %+v, %v", sum, err)
	}
}

func writeGolden(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(goldenDir); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	o := goldenOptions(t, dir)
	o.Tier.OffloadAfter, o.Tier.ManifestEvery = time.Millisecond, 10*time.Millisecond
	e := open(t, o)
	world(t, e)
	if _, err := e.CreateTopic(context.Background(), "payments", 1, map[string]string{"cleanup.policy": "delete"}); err != nil {
		t.Fatal(err)
	}
	c, at := newTxnClient(t, e, "payer"), txn.Partition{Topic: "payments", Index: 0}
	for i, commit := range []bool{true, false, true} {
		c.must(c.add(at))
		c.send(at, 10*i, 3)
		c.must(c.end(commit))
	}
	p := partition(t, e, "payments", 0)
	eventually(t, "all is decided", func() bool { return p.LastStable() == p.HighWatermark() })
	tiered(t, e, "payments", "orders")
	told(t, e)
	closeEngine(t, e)
	o.Tier.OffloadAfter = time.Hour
	e = open(t, o)
	produce(t, partition(t, e, "orders", 0), records(batch.NoProducer, 9000, 900, 3)) // only in the log
	facts, err := json.MarshalIndent(goldenFactsOf(t, e), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Abandon(); err != nil { // no clean stop: the log's end must be replayed
		t.Fatal(err)
	}
	if err := os.CopyFS(goldenDir, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(goldenDir, "facts.json"), append(facts, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/enginetest"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/tiertest"
	"github.com/streamkeeper-io/streamkeeper/engine/txn"
)

// tiered waits until all of a topic's records are in the store.
func tiered(t testing.TB, e *engine.Engine, topics ...string) {
	t.Helper()
	for _, name := range topics {
		topic, _ := e.Topic(name)
		for i := range topic.Partitions {
			p := partition(t, e, name, i)
			eventually(t, name+" is in the store", func() bool {
				return p.HighWatermark() == p.LogStart() || p.TieredEnd() == p.HighWatermark()
			})
		}
	}
}

// told waits until the bucket says everything about itself.
func told(t testing.TB, e *engine.Engine) {
	t.Helper()
	eventually(t, "the manifest tells all", func() bool { return e.Stats().Untold == 0 })
}

func restorable(fs *enginetest.FS, store engine.Objects) engine.Options {
	o := options(fs, store)
	o.Tier.OffloadAfter, o.Tier.ManifestEvery, o.Tier.RewriteEvery = time.Millisecond, 10*time.Millisecond, 10*time.Millisecond
	return o
}

// world is a little of everything, offloaded.
func world(t *testing.T, e *engine.Engine) {
	t.Helper()
	ctx := context.Background()
	for _, name := range []string{"orders", "short", "gone"} {
		if _, err := e.CreateTopic(ctx, name, 3, map[string]string{"retention.ms": "-1"}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 90 {
		name := []string{"orders", "short", "gone"}[i%3]
		produce(t, partition(t, e, name, int32(i/3%3)), records(batch.NoProducer, int64(1000+i*7%50), i, 5))
		if i == 60 {
			tiered(t, e, "orders", "short", "gone")
		}
	}
	k := engine.OffsetKey{Topic: "orders", Partition: 1}
	done := make(chan error, 1)
	e.CommitOffsets("readers", map[engine.OffsetKey]engine.CommittedOffset{k: {Offset: 17, LeaderEpoch: -1, CommittedAt: time.UnixMilli(5)}}, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	tiered(t, e, "orders", "short", "gone", engine.OffsetsTopic)
	if _, err := partition(t, e, "short", 0).DeleteRecords(ctx, 12); err != nil {
		t.Fatal(err)
	}
	if err := e.DeleteTopic(ctx, "gone"); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, e *engine.Engine) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, topic := range e.Topics() {
		for i := range topic.Partitions {
			p := partition(t, e, topic.Name, i)
			if topic.Internal || topic.Name == "payments" { // markers are no records
				continue
			}
			key := fmt.Sprintf("%s-%d %s from %d", topic.Name, i, topic.ID, p.LogStart())
			out[key] = consume(t, p, p.LogStart())
		}
	}
	return out
}

func TestRestore_FromTheBucketAlone(t *testing.T) {
	ctx, objects, fs := context.Background(), tiertest.NewStore(), enginetest.NewFS()
	e := open(t, restorable(fs, enginetest.NewStore(objects, fs)))
	world(t, e)
	want := contents(t, e)
	largest, at, err := partition(t, e, "orders", 0).MaxTimestamp(ctx)
	if err != nil {
		t.Fatal(err)
	}
	told(t, e)
	if _, _, err := fs.Kill(); err != nil { // the disk is gone
		t.Fatal(err)
	}
	if err := e.Abandon(); err != nil {
		t.Fatal(err)
	}
	fresh := enginetest.NewFS()
	o := restorable(fresh, enginetest.NewStore(objects, fresh))
	sum, err := engine.Restore(ctx, o, engine.RestoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if sum.Groups != 1 || sum.Topics != 3 || len(sum.Damaged) > 0 {
		t.Errorf("summary %+v", sum)
	}
	for range 2 { // and once more after a restart
		e = open(t, o)
		if d := cmp.Diff(want, contents(t, e)); d != "" {
			t.Fatal(d)
		}
		if got := e.CommittedOffsets("readers")[engine.OffsetKey{Topic: "orders", Partition: 1}].Offset; got != 17 {
			t.Errorf("committed offset %d, want 17", got)
		}
		l, a, err := partition(t, e, "orders", 0).MaxTimestamp(ctx)
		if err != nil || l != largest || a != at {
			t.Errorf("largest timestamp at %d is %d, %v; want %d, %d", l, a, err, largest, at)
		}
		p := partition(t, e, "orders", 2)
		a2 := produce(t, p, records(batch.NoProducer, 5000, 1, 1))
		if a2.Err != nil {
			t.Fatal(a2.Err)
		}
		key := ""
		for k := range want {
			if strings.HasPrefix(k, "orders-2") {
				key = k
			}
		}
		want[key] = append(want[key], "record-1")
		closeEngine(t, e)
	}
	if _, err := engine.Restore(ctx, o, engine.RestoreOptions{}); err == nil {
		t.Error("a directory with data was restored over")
	}
}

func TestRestore_NamesWhatIsDamaged(t *testing.T) {
	ctx, objects, fs := context.Background(), tiertest.NewStore(), enginetest.NewFS()
	e := open(t, restorable(fs, enginetest.NewStore(objects, fs)))
	world(t, e)
	told(t, e)
	closeEngine(t, e)
	for _, name := range objects.Names("objects/") {
		b := append([]byte(nil), objects.Object(name)...)
		b[len(b)-40] ^= 1
		objects.Replace(name, b)
	}
	restore := func(skip bool) (engine.RestoreSummary, error) {
		fresh := enginetest.NewFS()
		return engine.Restore(ctx, restorable(fresh, enginetest.NewStore(objects, fresh)), engine.RestoreOptions{SkipDamaged: skip})
	}
	if _, err := restore(false); err == nil || !strings.Contains(err.Error(), "object objects/") {
		t.Errorf("error %v names no object", err)
	}
	sum, err := restore(true)
	if err != nil || len(sum.Damaged) == 0 || sum.Objects != 0 {
		t.Errorf("%+v, %v; want all objects left out", sum, err)
	}
}

// What was aborted stays hidden, what was committed is seen.
func TestRestore_KnowsAbortedTransactions(t *testing.T) {
	ctx, objects, fs := context.Background(), tiertest.NewStore(), enginetest.NewFS()
	e := open(t, restorable(fs, enginetest.NewStore(objects, fs)))
	if _, err := e.CreateTopic(ctx, "orders", 1, nil); err != nil {
		t.Fatal(err)
	}
	at := txn.Partition{Topic: "orders", Index: 0}
	c := newTxnClient(t, e, "payer")
	for i, commit := range []bool{true, false, true} {
		c.must(c.add(at))
		if a := c.send(at, 10*i, 3); a.Err != nil {
			t.Fatal(a.Err)
		}
		c.must(c.end(commit))
	}
	eventually(t, "all is decided", func() bool {
		return partition(t, e, "orders", 0).LastStable() == partition(t, e, "orders", 0).HighWatermark()
	})
	want := committed(t, partition(t, e, "orders", 0), 0)
	tiered(t, e, "orders", engine.TransactionsTopic)
	told(t, e)
	closeEngine(t, e)
	fresh := enginetest.NewFS()
	o := restorable(fresh, enginetest.NewStore(objects, fresh))
	if _, err := engine.Restore(ctx, o, engine.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	e = open(t, o)
	defer closeEngine(t, e)
	if d := cmp.Diff(want, committed(t, partition(t, e, "orders", 0), 0)); d != "" || len(want) != 6 {
		t.Errorf("%d records are committed; after the restore: %s", len(want), d)
	}
	if who, code := initTxn(e, "payer", time.Minute, txn.NoProducer); code != txn.None || who.ID != c.who.ID || who.Epoch <= c.who.Epoch {
		t.Errorf("the transactional id came back as %+v (%v), it was %+v", who, code, c.who)
	}
}

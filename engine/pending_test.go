package engine

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/streamkeeper-io/streamkeeper/engine/index"
)

// TestPending_AnOldMarkerDecidesNothingNew: what the index holds may be newer than the suffix that is replayed over it. A
// marker of the producer's transaction before must not commit what its next one wrote.
func TestPending_AnOldMarkerDecidesNothingNew(t *testing.T) {
	const producer = 7
	k := OffsetKey{Topic: "t"}
	d, err := index.Open(index.Options{FS: vfs.NewMem(), Dir: "index", Failed: func(error) {}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	in := groupPartition("g", offsetsPartitions)
	saved := &groupTable{}
	if err := saved.load(d); err != nil {
		t.Fatal(err)
	}
	saved.pending.put(producer, "g", k, pendingOffset{CommittedOffset{Offset: 100}, 10})
	c := d.Change()
	saved.save(c)
	if err := c.Commit(); err != nil {
		t.Fatal(err)
	}
	for _, commit := range []bool{true, false} {
		g := &groupTable{}
		if err := g.load(d); err != nil {
			t.Fatal(err)
		}
		g.decide(in, producer, 8, !commit)
		if _, ok := g.offsets["g"][k]; ok || len(g.pending.byGroup) == 0 {
			t.Error("a marker decided about what was written after it")
		}
		g.decide(in, producer, 12, commit)
		if got, ok := g.offsets["g"][k]; ok != commit || ok && got.Offset != 100 {
			t.Errorf("commit %v: the offset is %+v, %v", commit, got, ok)
		}
		if len(g.pending.byGroup) != 0 || len(g.pending.groups) != 0 {
			t.Error("something is left over")
		}
	}
}

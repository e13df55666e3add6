package engine_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
)

// BenchmarkRecovery measures an Open that replays 256 MiB of idempotent batches, the most that checkpoints leave, and
// what such a start costs in memory.
func BenchmarkRecovery(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("batch=%dKiB", size>>10), func(b *testing.B) {
			o := engine.Options{
				Dir: b.TempDir(), FS: vfs.Default, Store: memStore(b),
				Log:  engine.LogOptions{CheckpointBytes: 1 << 40},
				Tier: engine.TierOptions{LocalBytes: 1 << 40, SpaceOnly: true},
			}
			b.ReportAllocs()
			for range b.N {
				b.StopTimer()
				n := fillLog(b, o, size, 256<<20)
				b.SetBytes(n)
				b.StartTimer()
				e := open(b, o)
				b.StopTimer()
				closeEngine(b, e)
			}
		})
	}
}

// fillLog appends n bytes after the last checkpoint and lets the process die.
func fillLog(b *testing.B, o engine.Options, size int, n int64) int64 {
	e := open(b, o)
	if len(e.Topics()) == 0 {
		if _, err := e.CreateTopic(context.Background(), "bench", 64, nil); err != nil {
			b.Fatal(err)
		}
	}
	producer, err := e.AllocateProducerID(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	records := make([]batch.Record, max(size/1024, 1))
	for i := range records {
		records[i] = batch.Record{Timestamp: 1, Value: make([]byte, 1000)}
	}
	var seq [64]int32
	slots := make(chan struct{}, 256)
	for i := int64(0); i < n; i += int64(size) {
		at := int32(i/int64(size)) % 64
		p := partition(b, e, "bench", at)
		buf := batch.Append(nil, batch.Producer{ID: producer, Sequence: seq[at]}, records)
		seq[at] += int32(len(records))
		slots <- struct{}{}
		p.Append(buf, -1, func(a engine.Appended) {
			if a.Err != nil {
				b.Error(a.Err)
			}
			<-slots
		})
	}
	for range cap(slots) {
		slots <- struct{}{}
	}
	if err := e.Abandon(); err != nil {
		b.Fatal(err)
	}
	return n
}

package engine_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
)

// benchBatch is a batch of about size bytes.
func benchBatch(size int) []byte {
	value := make([]byte, 1000)
	var rs []batch.Record
	for range max(size/1024, 1) {
		rs = append(rs, batch.Record{Timestamp: 1, Value: value})
	}
	return batch.Append(nil, batch.NoProducer, rs)
}

func benchEngine(b *testing.B) *engine.Engine {
	o := engine.Options{
		Dir: b.TempDir(), FS: vfs.Default, Store: memStore(b),
		Tier: engine.TierOptions{LocalBytes: 2 << 30, SpaceOnly: true},
	}
	e := open(b, o)
	if _, err := e.CreateTopic(context.Background(), "bench", 64, nil); err != nil {
		b.Fatal(err)
	}
	return e
}

// BenchmarkAppend measures acks=all over the real disk: window is how many appends each producer has in flight.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 128 << 10} {
		for _, window := range []int{1, 16} {
			b.Run(fmt.Sprintf("size=%dKiB/window=%d", size>>10, window), func(b *testing.B) {
				e := benchEngine(b)
				defer closeEngine(b, e)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				const producers = 8
				var wg sync.WaitGroup
				for w := range producers {
					wg.Go(func() {
						p := partition(b, e, "bench", int32(w))
						buf := benchBatch(size)
						slots := make(chan struct{}, window)
						done := func(a engine.Appended) {
							if a.Err != nil {
								b.Error(a.Err)
							}
							<-slots
						}
						for range b.N / producers {
							slots <- struct{}{}
							p.Append(buf, -1, done) // the engine has copied buf when Append returns
						}
						for range window {
							slots <- struct{}{}
						}
					})
				}
				wg.Wait()
			})
		}
	}
}

func BenchmarkTailRead(b *testing.B) {
	e := benchEngine(b)
	defer closeEngine(b, e)
	p := partition(b, e, "bench", 0)
	for range 256 {
		produce(b, p, benchBatch(16<<10))
	}
	b.SetBytes(64 << 10)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		r, err := p.Read(context.Background(), int64(i%3000), 64<<10)
		if err != nil {
			b.Fatal(err)
		}
		r.Release()
	}
}

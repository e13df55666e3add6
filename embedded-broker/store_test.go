package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/tier"
)

// gate is a store whose uploads fail while it is shut.
type gate struct {
	engine.Objects
	shut atomic.Bool
}

func (g *gate) Put(ctx context.Context, name string, body io.ReadSeeker, size int64, o tier.PutOptions) error {
	if g.shut.Load() {
		return errors.New("the gate is shut")
	}
	return g.Objects.Put(ctx, name, body, size, o)
}

// small makes an engine that offloads at once and keeps little.
func small(o *engine.Options) {
	o.CacheBytes = 512 << 10
	o.Log.SegmentBytes = 256 << 10
	o.Tier = engine.TierOptions{OffloadAfter: time.Millisecond, LocalBytes: 1 << 20, HardLocalBytes: 2 << 20, SliceBytes: 64 << 10, PoolBytes: 2 << 20}
}

func TestConsumeFromTheStore(t *testing.T) {
	t.Parallel()
	h := startOn(t, small)
	h.create("t", 2, nil)
	produceN(t, h.client(kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(20_000), kgo.MetadataMinAge(50*time.Millisecond)), "t", 4000, func(i int) []byte {
		return fmt.Appendf(nil, "%d %s", i, strings.Repeat("x", 1000))
	})
	p, err := h.engine.Partition("t", 0)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "the first records to leave the disk", func() bool { return p.LocalStart() > 0 })
	seen := map[string]bool{}
	for _, r := range consumeN(t, h.client(kgo.ConsumeTopics("t")), 4000) {
		seen[strings.Fields(string(r.Value))[0]] = true
	}
	if len(seen) != 4000 {
		t.Errorf("%d different records", len(seen))
	}
	if text := scrape(t, h.telemetry); grep(text, `streamkeeper_broker_offloaded_bytes_total{broker="0",store="test"} 0`) != "" {
		t.Error("nothing was counted as offloaded")
	}
	req := kmsg.NewPtrListOffsetsRequest()
	at := kmsg.NewListOffsetsRequestTopicPartition()
	at.Timestamp = tsTiered
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "t", Partitions: []kmsg.ListOffsetsRequestTopicPartition{at}}}
	tiered := ask[*kmsg.ListOffsetsResponse](h, req, 9).Topics[0].Partitions[0]
	if tiered.ErrorCode != 0 || tiered.Offset < p.LocalStart()-1 {
		t.Errorf("latest tiered offset %d, local start %d", tiered.Offset, p.LocalStart())
	}
	req.Topics[0].Partitions[0].Timestamp = tsPending
	pending := ask[*kmsg.ListOffsetsResponse](h, req, 11).Topics[0].Partitions[0]
	if pending.ErrorCode != 0 || pending.Offset <= tiered.Offset || pending.Offset > p.HighWatermark() {
		t.Errorf("earliest pending offset %d, latest tiered %d, end %d", pending.Offset, tiered.Offset, p.HighWatermark())
	}
}

// TestStoreDown fills the log: producers are told to slow down, then refused with an error they retry; consumers and
// commits go on; all goes through once the store is back.
func TestStoreDown(t *testing.T) {
	t.Parallel()
	g := &gate{}
	h := startOn(t, func(o *engine.Options) {
		small(o)
		g.Objects = o.Store
		o.Store = g
	})
	g.shut.Store(true)
	topic := h.create("t", 1, nil)
	throttled, refused := false, false
	for range 500 {
		h.cached.asked.Store(0) // the log fills faster here than the pressure is looked at
		// A connection of its own each time: one that was told to wait is made to.
		r := ask[*kmsg.ProduceResponse](h, produceOne("t", 0, oneBatch(make([]byte, 20_000))), 9)
		throttled = throttled || r.ThrottleMillis > 0
		if code := r.Topics[0].Partitions[0].ErrorCode; code != 0 {
			if code != codeNotEnoughReplicas {
				t.Fatalf("refused with %s", codeName(code))
			}
			refused = true
			break
		}
	}
	if !refused {
		t.Fatal("the log never filled")
	}
	if !throttled {
		t.Error("nobody was told to slow down before being refused")
	}
	if got := answered(h.dial().ask(asking(topic, 0, -1, 0, map[int32]int64{0: 0}), 12)); got[0] == 0 {
		t.Error("a consumer cannot drain")
	}
	done := make(chan error, 1)
	h.engine.CommitOffsets("g", map[engine.OffsetKey]engine.CommittedOffset{{Topic: "t"}: {Offset: 5, LeaderEpoch: -1}}, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Errorf("a consumer cannot commit: %v", err)
	}
	c := h.client(kgo.DefaultProduceTopic("t"), kgo.MetadataMinAge(50*time.Millisecond))
	late := make(chan error, 1)
	c.Produce(t.Context(), kgo.SliceRecord([]byte("late")), func(_ *kgo.Record, err error) { late <- err })
	g.shut.Store(false)
	select {
	case err := <-late:
		if err != nil {
			t.Errorf("after the outage: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("after the outage the record did not go through")
	}
	if text := scrape(t, h.telemetry); !strings.Contains(text, `streamkeeper_broker_client_throttle_seconds_total{broker="0",client="by-hand",reason="store"}`) {
		t.Error("the throttling was not counted")
	}
}

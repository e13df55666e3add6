package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/tiertest"
)

// single opens an engine with one topic "t" of one partition.
func single(t testing.TB, o engine.Options, configs map[string]string) (*engine.Engine, *engine.Partition) {
	t.Helper()
	e := open(t, o)
	if _, ok := e.Topic("t"); !ok {
		if _, err := e.CreateTopic(context.Background(), "t", 1, configs); err != nil {
			t.Fatal(err)
		}
	}
	return e, partition(t, e, "t", 0)
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for begin := time.Now(); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Since(begin) > 15*time.Second {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func TestAppend_IdempotentProducer(t *testing.T) {
	fs, store := vfs.NewMem(), memStore(t)
	e, p := single(t, options(fs, store), nil)
	id, err := e.AllocateProducerID(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	send := func(epoch int16, seq int32, n int) engine.Appended {
		return produce(t, p, records(batch.Producer{ID: id, Epoch: epoch, Sequence: seq}, 1, int(seq), n))
	}
	f := func(name string, a engine.Appended, base int64, want error) {
		t.Helper()
		if !errors.Is(a.Err, want) || want == nil && a.BaseOffset != base {
			t.Errorf("%s: %+v, want offset %d, error %v", name, a, base, want)
		}
	}
	f("first", send(0, 0, 2), 0, nil)
	f("next", send(0, 2, 2), 2, nil)
	f("a retry gets the original offset", send(0, 0, 2), 0, nil)
	f("a gap", send(0, 6, 1), 0, engine.ErrOutOfOrderSequence)
	f("a partial repeat", send(0, 3, 1), 0, engine.ErrDuplicateSequence)
	for i := range 5 {
		f("fill the ring", send(0, int32(4+i), 1), int64(4+i), nil)
	}
	f("a retry that fell out of the ring", send(0, 0, 2), 0, engine.ErrDuplicateSequence)
	f("a new epoch starts at 0", send(1, 0, 1), 9, nil)
	f("a new epoch that does not", send(2, 5, 1), 0, engine.ErrOutOfOrderSequence)
	f("an old epoch", send(0, 9, 1), 0, engine.ErrInvalidProducerEpoch)
	if hw := p.HighWatermark(); hw != 10 {
		t.Fatalf("high watermark %d", hw)
	}
	closeEngine(t, e)
	e, p = single(t, options(fs, store), nil)
	f("a retry after a restart", send(1, 0, 1), 9, nil)
	f("the next after a restart", send(1, 1, 1), 10, nil)
	closeEngine(t, e)
}

func TestAppend_SequencesWrap(t *testing.T) {
	e, p := single(t, options(vfs.NewMem(), memStore(t)), nil)
	defer closeEngine(t, e)
	for i, seq := range []int32{1<<31 - 2, 0, 2} { // two records each: …646, …647, 0, 1, 2, 3
		a := produce(t, p, records(batch.Producer{ID: 1, Epoch: 0, Sequence: seq}, 1, 0, 2))
		if a.Err != nil || a.BaseOffset != int64(2*i) {
			t.Fatalf("sequence %d: %+v", seq, a)
		}
	}
}

func TestAppend_AnswersInOrderWhateverTheAcks(t *testing.T) {
	e, p := single(t, options(vfs.NewMem(), memStore(t)), nil)
	defer closeEngine(t, e)
	var mu sync.Mutex
	var order []int
	var wg sync.WaitGroup
	const n = 600
	for i := range n {
		acks := int16(-1)
		if i%3 > 0 {
			acks = int16(i % 3 % 2)
		}
		wg.Add(1)
		p.Append(records(batch.NoProducer, 1, i, 1), acks, func(a engine.Appended) {
			defer wg.Done()
			mu.Lock()
			defer mu.Unlock()
			if a.Err != nil || a.BaseOffset != int64(i) {
				t.Errorf("append %d: %+v", i, a)
			}
			order = append(order, i)
		})
	}
	wg.Wait()
	for i, v := range order {
		if v != i {
			t.Fatalf("answer %d is for append %d", i, v)
		}
	}
}

func TestAppend_LogAppendTime(t *testing.T) {
	e, p := single(t, options(vfs.NewMem(), memStore(t)), map[string]string{"message.timestamp.type": "LogAppendTime"})
	defer closeEngine(t, e)
	before := time.Now().UnixMilli()
	a := produce(t, p, records(batch.NoProducer, 5, 0, 2))
	if a.Err != nil || a.LogAppendTime < before {
		t.Fatalf("%+v", a)
	}
	consume(t, p, 0) // checks the CRC
	o, ts, err := p.MaxTimestamp(context.Background())
	if err != nil || ts != a.LogAppendTime || o != 0 {
		t.Fatal(o, ts, err)
	}
}

func TestAppend_RefusesGarbage(t *testing.T) {
	e, p := single(t, options(vfs.NewMem(), memStore(t)), nil)
	defer closeEngine(t, e)
	if a := produce(t, p, []byte("no batch")); !errors.Is(a.Err, engine.ErrCorruptBatch) {
		t.Error(a.Err)
	}
	if a := produce(t, p, nil); !errors.Is(a.Err, engine.ErrCorruptBatch) {
		t.Error(a.Err)
	}
	huge := batch.Append(nil, batch.NoProducer, []batch.Record{{Value: make([]byte, 70<<10)}})
	if a := produce(t, p, huge); !errors.Is(a.Err, engine.ErrRecordTooLarge) {
		t.Error(a.Err)
	}
	if a := produce(t, p, records(batch.NoProducer, 1, 0, 1)); a.Err != nil || a.BaseOffset != 0 {
		t.Errorf("a good append after bad ones: %+v", a)
	}
}

func TestRead_BoundsAndSizes(t *testing.T) {
	ctx := context.Background()
	e, p := single(t, options(vfs.NewMem(), memStore(t)), nil)
	defer closeEngine(t, e)
	for i := range 10 {
		produce(t, p, records(batch.NoProducer, 1, i*3, 3))
	}
	one := len(records(batch.NoProducer, 1, 0, 3))
	f := func(offset int64, size int, wantNext int64) {
		t.Helper()
		r, err := p.Read(ctx, offset, size)
		defer r.Release()
		if err != nil || r.NextOffset != wantNext || r.Tier != engine.Hot {
			t.Errorf("read %d, %d bytes: next %d, %v", offset, size, r.NextOffset, err)
		}
	}
	f(0, 1, 3) // the first batch is whole
	f(4, 1, 6) // from the batch that holds the offset
	f(0, 2*one, 6)
	f(0, 1<<20, 30)
	f(30, 1<<20, 30) // at the high watermark: nothing
	for _, offset := range []int64{-1, 31} {
		_, err := p.Read(ctx, offset, 1)
		var bounds *engine.RangeError
		if !errors.Is(err, engine.ErrOffsetOutOfRange) || !errors.As(err, &bounds) || bounds.LogStart != 0 || bounds.LogEnd != 30 {
			t.Errorf("read %d: %v", offset, err)
		}
	}
}

func TestWatch(t *testing.T) {
	e, p := single(t, options(vfs.NewMem(), memStore(t)), nil)
	called := make(chan string, 10)
	p.Watch(0, func() { called <- "first" })
	cancel := p.Watch(0, func() { called <- "cancelled" })
	p.Watch(1, func() { called <- "second" })
	cancel()
	produce(t, p, records(batch.NoProducer, 1, 0, 1))
	if got := <-called; got != "first" {
		t.Fatal(got)
	}
	produce(t, p, records(batch.NoProducer, 1, 1, 1))
	if got := <-called; got != "second" {
		t.Fatal(got)
	}
	p.Watch(0, func() { called <- "at once" })
	if got := <-called; got != "at once" {
		t.Fatal(got)
	}
	p.Watch(100, func() { called <- "deleted" })
	if err := e.DeleteTopic(context.Background(), "t"); err != nil {
		t.Fatal(err)
	}
	if got := <-called; got != "deleted" {
		t.Fatal(got)
	}
	if a := produce(t, p, records(batch.NoProducer, 1, 0, 1)); !errors.Is(a.Err, engine.ErrUnknownPartition) {
		t.Fatal(a.Err)
	}
	if _, err := p.Read(context.Background(), 0, 1); !errors.Is(err, engine.ErrUnknownPartition) {
		t.Fatal(err)
	}
	closeEngine(t, e)
	if a := produce(t, p, records(batch.NoProducer, 1, 0, 1)); !errors.Is(a.Err, engine.ErrClosed) {
		t.Fatal(a.Err)
	}
}

func TestOffsetForTime_AcrossTiers(t *testing.T) {
	ctx := context.Background()
	o := options(vfs.NewMem(), memStore(t))
	o.Tier.OffloadAfter, o.Tier.LocalBytes, o.Tier.HardLocalBytes = time.Millisecond, 128<<10, 64<<20
	e, p := single(t, o, nil)
	defer closeEngine(t, e)
	const n = 3000
	for i := range n {
		if a := produce(t, p, records(batch.NoProducer, int64(1000+10*i), i, 2)); a.Err != nil { // offsets 2i, 2i+1 at 1000+10i, +1
			t.Fatal(a.Err)
		}
	}
	eventually(t, "cold data", func() bool { return p.LocalStart() > 200 })
	f := func(ts, offset, found int64) {
		t.Helper()
		o, got, epoch, err := p.OffsetForTime(ctx, ts)
		if err != nil || o != offset || got != found || o >= 0 && epoch != 0 {
			t.Errorf("time %d: offset %d at %d, epoch %d, %v; want %d at %d", ts, o, got, epoch, err, offset, found)
		}
	}
	f(0, 0, 1000)
	f(1001, 1, 1001)
	f(1002, 2, 1010)
	f(1000+10*(n-1), 2*(n-1), 1000+10*(n-1))
	f(1000+10*(n/2)+1, n+1, 1000+10*(n/2)+1)
	f(1000+10*n, -1, -1)
	if off, ts, err := p.MaxTimestamp(ctx); err != nil || off != 2*n-1 || ts != 1000+10*(n-1)+1 {
		t.Errorf("max timestamp: %d at %d, %v", off, ts, err)
	}
}

func TestDeleteRecords(t *testing.T) {
	ctx := context.Background()
	fs, store := vfs.NewMem(), memStore(t)
	e, p := single(t, options(fs, store), nil)
	for i := range 10 {
		produce(t, p, records(batch.NoProducer, 1, i, 1))
	}
	if start, err := p.DeleteRecords(ctx, 4); err != nil || start != 4 {
		t.Fatal(start, err)
	}
	if start, err := p.DeleteRecords(ctx, 2); err != nil || start != 4 {
		t.Fatal("the log start went back", start, err)
	}
	if _, err := p.DeleteRecords(ctx, 11); !errors.Is(err, engine.ErrOffsetOutOfRange) {
		t.Fatal(err)
	}
	if _, err := p.Read(ctx, 3, 1); !errors.Is(err, engine.ErrOffsetOutOfRange) {
		t.Fatal(err)
	}
	closeEngine(t, e)
	e, p = single(t, options(fs, store), nil)
	if p.LogStart() != 4 || p.HighWatermark() != 10 {
		t.Fatalf("%d to %d after a restart", p.LogStart(), p.HighWatermark())
	}
	if start, err := p.DeleteRecords(ctx, -1); err != nil || start != 10 {
		t.Fatal(start, err)
	}
	closeEngine(t, e)
}

func TestEpochEnd_OverRestarts(t *testing.T) {
	fs, store := vfs.NewMem(), memStore(t)
	for life := range 3 {
		e, p := single(t, options(fs, store), nil)
		if p.LeaderEpoch() != int32(life) {
			t.Fatalf("life %d has epoch %d", life, p.LeaderEpoch())
		}
		if life != 1 { // the middle life writes nothing
			for i := range 5 {
				produce(t, p, records(batch.NoProducer, 1, i, 1))
			}
		}
		if life == 2 {
			f := func(epoch, found int32, end int64) {
				t.Helper()
				if ep, o := p.EpochEnd(epoch); ep != found || o != end {
					t.Errorf("epoch %d: %d ends at %d, want %d at %d", epoch, ep, o, found, end)
				}
			}
			f(0, 0, 5)
			f(1, 0, 5)
			f(2, 2, 10)
			f(3, -1, -1)
		}
		closeEngine(t, e)
	}
}

func TestLadder_StallsThenRecovers(t *testing.T) {
	objects := tiertest.NewStore()
	var down sync.Map
	down.Store("down", true)
	objects.Inject = func(tiertest.Call) tiertest.Fault {
		if _, ok := down.Load("down"); ok {
			return tiertest.Fault{Err: tiertest.ErrInternal}
		}
		return tiertest.Fault{}
	}
	events := &eventLog{}
	o := options(vfs.NewMem(), objects)
	o.Observer = events
	o.Tier.OffloadAfter, o.Tier.LocalBytes, o.Tier.HardLocalBytes = time.Millisecond, 256<<10, 512<<10
	e, p := single(t, o, nil)
	defer closeEngine(t, e)
	var refused error
	n := 0
	for refused == nil {
		a := produce(t, p, records(batch.NoProducer, 1, n*20, 20))
		if refused = a.Err; refused == nil {
			n++
		}
		if n > 20000 {
			t.Fatal("nothing was ever refused")
		}
	}
	if !errors.Is(refused, engine.ErrThrottled) {
		t.Fatal(refused)
	}
	if s := e.Stats(); s.Pressure != engine.PressureRefusing || s.ThrottleMillis == 0 || s.ClosedSegments == 0 || s.LocalBytes > 3<<20 {
		t.Fatalf("%+v", s)
	}
	// Consumers can always commit and drain.
	committed := make(chan error, 1)
	e.CommitOffsets("g", map[engine.OffsetKey]engine.CommittedOffset{{Topic: "t"}: {Offset: 3}}, func(err error) { committed <- err })
	if err := <-committed; err != nil {
		t.Fatalf("commit at the hard limit: %v", err)
	}
	if got := consume(t, p, 0); len(got) != n*20 {
		t.Fatalf("%d of %d records", len(got), n*20)
	}
	down.Delete("down")
	eventually(t, "the store to take the backlog", func() bool { return e.Stats().Pressure == engine.PressureNormal })
	if a := produce(t, p, records(batch.NoProducer, 1, n*20, 20)); a.Err != nil {
		t.Fatal(a.Err)
	}
	if got := consume(t, p, 0); len(got) != (n+1)*20 {
		t.Fatalf("%d records after recovery", len(got))
	}
	for _, kind := range []string{engine.EventBudgetStretched, engine.EventBudgetRefusing, engine.EventBudgetNormal} {
		if !events.has(kind) {
			t.Errorf("no event %s", kind)
		}
	}
}

type eventLog struct {
	mu    sync.Mutex
	kinds []string
}

func (*eventLog) Flushed(engine.Flush)       {}
func (*eventLog) StoreCall(engine.StoreCall) {}
func (l *eventLog) Event(e engine.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kinds = append(l.kinds, e.Kind)
}

func (l *eventLog) has(kind string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.kinds {
		if k == kind {
			return true
		}
	}
	return false
}

func TestEngine_AFailedSyncStopsAcknowledging(t *testing.T) {
	bad := errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData && strings.Contains(op.Path, "/log/") {
			return errorfs.ErrInjected
		}
		return nil
	})}
	mem, store, events := vfs.NewMem(), memStore(t), &eventLog{}
	o := options(errorfs.Wrap(mem, &bad), store)
	o.Observer = events
	e, p := single(t, o, nil)
	if a := produce(t, p, records(batch.NoProducer, 1, 0, 1)); a.Err != nil {
		t.Fatal(a.Err)
	}
	bad.On()
	if a := produce(t, p, records(batch.NoProducer, 1, 1, 1)); !errors.Is(a.Err, engine.ErrStorage) {
		t.Fatal(a.Err)
	}
	bad.Off()
	if a := produce(t, p, records(batch.NoProducer, 1, 2, 1)); !errors.Is(a.Err, engine.ErrStorage) {
		t.Fatalf("an append after a failed sync: %+v", a)
	}
	if p.HighWatermark() != 1 || !e.Stats().LogFailed || !events.has(engine.EventLogFailed) {
		t.Fatal("the failure is not told")
	}
	if got := consume(t, p, 0); len(got) != 1 {
		t.Fatal("what was durable cannot be read")
	}
	if err := e.Close(context.Background()); err == nil {
		t.Fatal("closing hides the failure")
	}
	e, p = single(t, options(mem, store), nil)
	if a := produce(t, p, records(batch.NoProducer, 1, 3, 1)); a.Err != nil {
		t.Fatalf("after the restart: %v", a.Err)
	}
	closeEngine(t, e)
}

func TestOpen_LocksTheDirectory(t *testing.T) {
	fs, store := vfs.NewMem(), memStore(t)
	e := open(t, options(fs, store))
	if _, err := engine.Open(context.Background(), options(fs, store)); err == nil || !strings.Contains(err.Error(), "another broker") {
		t.Fatal(err)
	}
	closeEngine(t, e)
	f, err := fs.Create("data/FORMAT", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.Write([]byte("streamkeeper-engine 99\n"))
	_ = f.Close()
	if _, err := engine.Open(context.Background(), options(fs, store)); err == nil || !strings.Contains(err.Error(), "format") {
		t.Fatal(err)
	}
}

func TestRetention_BySizeAndDeletedTopicsLeaveTheStore(t *testing.T) {
	objects := tiertest.NewStore()
	o := options(vfs.NewMem(), objects)
	o.Tier.OffloadAfter = time.Millisecond
	e, p := single(t, o, map[string]string{"retention.bytes": "100000"})
	defer closeEngine(t, e)
	for i := range 600 {
		if a := produce(t, p, records(batch.NoProducer, 1, i*20, 20)); a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	eventually(t, "offload", func() bool { return p.TieredEnd() > 8000 })
	if err := e.RetainNow(); err != nil {
		t.Fatal(err)
	}
	_, tiered := p.Size()
	if p.LogStart() == 0 || tiered > 200000 {
		t.Fatalf("log starts at %d, %d bytes in the store", p.LogStart(), tiered)
	}
	if got := consume(t, p, p.LogStart()); len(got) != int(p.HighWatermark()-p.LogStart()) {
		t.Fatalf("%d records from %d to %d", len(got), p.LogStart(), p.HighWatermark())
	}
	if err := e.DeleteTopic(context.Background(), "t"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "objects to go", func() bool { return e.Stats().Objects == 0 })
}

func TestGroups_KafkasBytes(t *testing.T) {
	fs, store := vfs.NewMem(), memStore(t)
	e := open(t, options(fs, store))
	commit := func(group string, o map[engine.OffsetKey]engine.CommittedOffset) {
		t.Helper()
		done := make(chan error, 1)
		e.CommitOffsets(group, o, func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	at := time.UnixMilli(1234)
	k0, k1 := engine.OffsetKey{Topic: "orders", Partition: 0}, engine.OffsetKey{Topic: "orders", Partition: 7}
	commit("billing", map[engine.OffsetKey]engine.CommittedOffset{k0: {Offset: 42, LeaderEpoch: 3, Metadata: "m", CommittedAt: at}, k1: {Offset: 1, LeaderEpoch: -1, CommittedAt: at}})
	commit("other", map[engine.OffsetKey]engine.CommittedOffset{k0: {Offset: 9, CommittedAt: at}})
	saved := make(chan error, 1)
	e.SaveGroup("billing", []byte("metadata"), func(err error) { saved <- err })
	if err := <-saved; err != nil {
		t.Fatal(err)
	}
	record := engine.GroupRecord{Key: []byte("\x00\x03\x00\x07billing"), Value: []byte("epoch")}
	e.SaveGroupRecords("billing", []engine.GroupRecord{record}, func(err error) { saved <- err })
	if err := <-saved; err != nil {
		t.Fatal(err)
	}
	// "billing".hashCode() is -109829509 in Java; (that & 0x7fffffff) % 50 = 39.
	p := partition(t, e, engine.OffsetsTopic, 39)
	r, err := p.Read(context.Background(), 0, 1<<20)
	if err != nil || r.Records != 4 {
		t.Fatalf("%d records, %v", r.Records, err)
	}
	found := false
	h, _, _ := batch.Next(join(r.Bytes))
	_ = batch.Records(h, 0, func(r batch.Record) bool {
		key := "\x00\x01\x00\x07billing\x00\x06orders\x00\x00\x00\x00"
		value := "\x00\x03\x00\x00\x00\x00\x00\x00\x00\x2a\x00\x00\x00\x03\x00\x01m\x00\x00\x00\x00\x00\x00\x04\xd2"
		found = found || string(r.Key) == key && string(r.Value) == value
		return true
	})
	if !found {
		t.Error("the commit is not in Kafka's bytes")
	}
	r.Release()
	check := func() {
		t.Helper()
		got := e.CommittedOffsets("billing")
		if len(got) != 2 || got[k0].Offset != 42 || got[k0].Metadata != "m" || got[k0].LeaderEpoch != 3 || !got[k0].CommittedAt.Equal(at) {
			t.Fatalf("%+v", got)
		}
		if gs := fmt.Sprint(e.GroupsWithOffsets()); gs != "[billing other]" || string(e.LoadGroups()["billing"]) != "metadata" {
			t.Fatal(gs, e.LoadGroups())
		}
		if got := e.LoadGroupRecords("billing"); len(got) != 1 || string(got[string(record.Key)]) != "epoch" || fmt.Sprint(e.GroupsWithRecords()) != "[billing]" {
			t.Fatal(got)
		}
	}
	check()
	closeEngine(t, e)
	e = open(t, options(fs, store))
	check()
	if err := e.DeleteOffsets(context.Background(), "billing", []engine.OffsetKey{k1}); err != nil {
		t.Fatal(err)
	}
	if got := e.CommittedOffsets("billing"); len(got) != 1 {
		t.Fatal(got)
	}
	if err := e.DeleteGroup(context.Background(), "billing"); err != nil {
		t.Fatal(err)
	}
	closeEngine(t, e)
	e = open(t, options(fs, store))
	if gs := fmt.Sprint(e.GroupsWithOffsets()); gs != "[other]" || len(e.LoadGroups()) != 0 || len(e.GroupsWithRecords()) != 0 {
		t.Fatal(gs, e.LoadGroups())
	}
	closeEngine(t, e)
}

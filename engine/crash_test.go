package engine_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/enginetest"
	"github.com/streamkeeper-io/streamkeeper/engine/tier"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/tiertest"
)

var (
	crashSeeds = flag.Int("crash.seeds", envInt("CRASH_SEEDS", 60), "seeds of TestCrash (environment: CRASH_SEEDS)")
	crashSeed  = flag.Uint64("crash.seed", 0, "run only this seed")
)

func envInt(name string, def int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return def
}

// TestCrash loads an engine, takes its power or its process away at a random sync, opens what is left and checks every
// promise, several times per seed.
func TestCrash(t *testing.T) {
	var rewrites atomic.Int64
	run := func(seed uint64) error {
		c := newCrash(seed, "")
		defer func() { rewrites.Add(c.rewrites.Load()) }()
		return c.run()
	}
	if *crashSeed != 0 {
		if err := run(*crashSeed); err != nil {
			t.Fatal(err)
		}
		return
	}
	seeds := make(chan uint64)
	var wg sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) { // a run mostly waits for its own goroutines
		wg.Go(func() {
			for s := range seeds {
				if err := run(s); err != nil {
					t.Errorf("seed %d: %v", s, err)
				}
			}
		})
	}
	for s := range uint64(*crashSeeds) {
		seeds <- s + 1
	}
	close(seeds)
	wg.Wait()
	if rewrites.Load() == 0 {
		t.Error("no object was ever rewritten: the test does not reach that far")
	}
}

// TestCrash_WeakerFlushModesStayWhole: without fsync records may be lost, but what is left must open, be contiguous and
// agree with the index and the store.
func TestCrash_WeakerFlushModesStayWhole(t *testing.T) {
	for seed := range uint64(max(*crashSeeds/6, 10)) {
		for _, mode := range []engine.Flushing{engine.FlushInterval, engine.FlushOS} {
			c := newCrash(seed+1, "")
			c.flush = mode
			if err := c.run(); err != nil {
				t.Errorf("%s, seed %d: %v", mode, seed+1, err)
			}
		}
	}
}

// crash is one seed: a world of topics, producers and groups that outlives the engines.
type crash struct {
	seed    uint64
	rng     *rand.Rand
	fs      *enginetest.FS
	objects *tiertest.Store
	check   *enginetest.Checker
	e       *engine.Engine
	sites   map[string]int
	flush   engine.Flushing
	die     func()         // ends the current life; the fuse calls it too
	after   *enginetest.FS // what the next life finds

	rewrites atomic.Int64

	serial    int
	topics    int
	producers []*producer
	pending   sync.WaitGroup

	txns        *enginetest.Transactions
	transactors []*transactor

	mu   sync.Mutex
	pids map[int64]bool
}

// producer is an idempotent producer of one partition with at most one batch in flight.
type producer struct {
	id    int64
	topic string
	tid   engine.TopicID
	index int32

	mu       sync.Mutex
	seq      int32
	batch    []byte // in flight, or the last one answered
	records  int32
	inFlight bool // sent, outcome unknown
	base     int64
}

func newCrash(seed uint64, swallow string) *crash {
	c := &crash{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), fs: enginetest.NewFS(), objects: tiertest.NewStore(),
		check: enginetest.NewChecker(), pids: map[int64]bool{}, sites: map[string]int{},
	}
	c.fs.Swallow, c.flush = swallow, engine.FlushFsync
	c.txns = enginetest.NewTransactions(c.check)
	return c
}

func (c *crash) options() engine.Options {
	return engine.Options{
		Dir: "data", FS: c.fs, Observer: alarms{c, c.fs}, Store: enginetest.NewStore(c.objects, c.fs), CacheBytes: 1,
		Log: engine.LogOptions{SegmentBytes: 32 << 10, Flush: c.flush, FlushInterval: time.Millisecond, CheckpointBytes: 64 << 10},
		Tier: engine.TierOptions{
			OffloadAfter: time.Millisecond, LocalBytes: 128 << 10, HardLocalBytes: 64 << 20, SliceBytes: 4 << 10, PoolBytes: 64 << 10,
			CompactEvery: 3 * time.Millisecond, RewriteEvery: 5 * time.Millisecond, RewriteFan: 3,
		},
	}
}

// alarms turns events that mean a failed disk into violations: the disk works.
type alarms struct {
	c  *crash
	fs *enginetest.FS
}

func (alarms) Flushed(engine.Flush)       {}
func (alarms) StoreCall(engine.StoreCall) {}

func (a alarms) Event(ev engine.Event) {
	switch ev.Kind {
	case tier.EventObjectsRewritten:
		a.c.rewrites.Add(1)
	case engine.EventLogFailed, engine.EventMaintenanceFailed, engine.EventOffloadFailed, tier.EventSegmentCorrupt, tier.EventObjectCorrupt:
		if !a.fs.Dead() {
			a.c.check.Failf("event %s: %s", ev.Kind, ev.Text)
		}
	}
}

// run is a few lives of the engine, each ended by a crash, and a last look.
func (c *crash) run() error {
	for range 2 + c.rng.IntN(3) {
		c.begin()
		if c.rng.IntN(3) == 0 { // most lives end later than in recovery
			c.armFuse()
		}
		if err := c.open(); err != nil {
			return err
		}
		if !c.fs.Dead() {
			c.verify()
		}
		if err := c.endLife(); err != nil {
			return err
		}
		if err := c.check.Err(); err != nil {
			return err
		}
		if c.flush != engine.FlushFsync { // records were promised nothing; the next life starts from what is there
			c.check.Forget()
			c.txns.Forget()
			c.producers = nil
			for _, x := range c.transactors { // their transactions may have come to nothing
				x.bad, x.ending = true, 0
			}
		}
	}
	for range 2 { // after the last crash, and after a clean stop
		if err := c.open(); err != nil {
			return err
		}
		c.verify()
		if err := c.e.Close(context.Background()); err != nil {
			return fmt.Errorf("closing: %w", err)
		}
	}
	return c.check.Err()
}

// begin decides how this life ends, by loss of power or only of the process. It ends once, whoever asks first: the fuse
// burns on the engine's goroutines.
func (c *crash) begin() {
	rng := rand.New(rand.NewPCG(c.rng.Uint64(), 1))
	kill, fs := c.rng.IntN(3) == 0, c.fs
	var once sync.Once
	c.die = func() {
		once.Do(func() {
			var err error
			if kill {
				c.after, _, err = fs.Kill()
			} else {
				c.after, _ = fs.Crash(rng)
			}
			if err != nil {
				panic(err)
			}
		})
	}
}

// armFuse ends the life at a sync soon.
func (c *crash) armFuse() {
	n := 120
	if c.rng.IntN(3) == 0 {
		n = 10
	}
	c.fs.Fuse(1+c.rng.IntN(n), c.die)
}

// endLife works and crashes; now and then it stops cleanly first, and the power goes after that.
func (c *crash) endLife() error {
	if !c.fs.Dead() && c.rng.IntN(5) == 0 {
		for range 10 {
			c.step()
		}
		c.pending.Wait()
		if err := c.e.Close(context.Background()); err != nil {
			return fmt.Errorf("closing: %w", err)
		}
		c.die()
	} else {
		c.live()
		c.die()
		if err := c.e.Abandon(); err != nil {
			return fmt.Errorf("abandoning: %w", err)
		}
	}
	for s, n := range c.fs.Sites() {
		c.sites[s] += n
	}
	c.fs = c.after
	return nil
}

func (c *crash) open() (err error) {
	defer func() {
		if r := recover(); r != nil { // Pebble panics on files that lost their syncs
			err = fmt.Errorf("opening: panic: %v", r)
		}
	}()
	c.e, err = engine.Open(context.Background(), c.options())
	return err
}

// live works until the file system dies or the work is done.
func (c *crash) live() {
	if c.fs.Dead() {
		return
	}
	c.armFuse()
	for range 20 + c.rng.IntN(150) {
		if c.fs.Dead() {
			return
		}
		c.step()
	}
}

func (c *crash) step() {
	switch n := c.rng.IntN(100); {
	case n < 4:
		c.createTopic()
	case n < 6:
		c.deleteTopic()
	case n < 8:
		c.deleteRecords()
	case n < 20:
		c.commitOffsets()
	case n < 22:
		c.saveGroup()
		c.saveRecords()
	case n < 30:
		c.readSome()
	case n < 45:
		c.transact()
	case n < 55:
		c.produceIdempotent()
	case n < 57:
		c.allocate()
	case n < 63:
		c.pending.Wait()
	default:
		c.produce()
	}
}

func (c *crash) pick() (engine.Topic, bool) {
	var user []engine.Topic
	for _, t := range c.e.Topics() {
		if !t.Internal {
			user = append(user, t)
		}
	}
	if len(user) == 0 {
		return engine.Topic{}, false
	}
	return user[c.rng.IntN(len(user))], true
}

func partKey(t engine.Topic, index int32) string { return fmt.Sprintf("%s/%d", t.ID, index) }

// batch makes a batch nobody made before; prefix goes before the keys.
func (c *crash) batch(p batch.Producer, prefix string) []byte {
	var rs []batch.Record
	for range 1 + c.rng.IntN(3) {
		c.serial++
		v := make([]byte, 20+c.rng.IntN(1500))
		for i := range v {
			v[i] = byte(c.rng.Uint32())
		}
		rs = append(rs, batch.Record{Timestamp: int64(c.serial), Key: fmt.Appendf(nil, "%s%d", prefix, c.serial), Value: v})
	}
	return batch.Append(nil, p, rs)
}

func (c *crash) produce() {
	t, ok := c.pick()
	if !ok {
		c.createTopic()
		return
	}
	index := c.rng.Int32N(t.Partitions)
	p, err := c.e.Partition(t.Name, index)
	if err != nil {
		c.fail("partition", err)
		return
	}
	b := c.batch(batch.NoProducer, "")
	key, acks := partKey(t, index), int16(-1)
	if c.rng.IntN(4) == 0 {
		acks = 1
	}
	fs := c.fs
	c.pending.Add(1)
	c.appendTo(p, b, acks, func(a engine.Appended) {
		defer c.pending.Done()
		visible := p.HighWatermark() > a.BaseOffset
		if fs.Dead() {
			return
		}
		if a.Err != nil {
			c.fail("append", a.Err)
		} else if acks == -1 {
			if !visible {
				c.check.Failf("%s: offset %d was acknowledged before it was visible", key, a.BaseOffset)
			}
			c.check.Acked(key, a.BaseOffset, batch.Header(b))
		}
	})
}

// appendTo appends in each of the ways there are: handed over to the log, alone or with what follows, or written at once.
func (c *crash) appendTo(p *engine.Partition, b []byte, acks int16, done func(engine.Appended)) {
	switch c.serial % 4 {
	case 0:
		p.AppendLater(b, acks, done)
		c.e.Commit(true)
	case 1:
		p.AppendLater(b, acks, done)
		c.e.Commit(false)
	default:
		p.Append(b, acks, done)
	}
}

// fail notes an error nobody has a right to while the disk works.
func (c *crash) fail(doing string, err error) {
	for _, fine := range []error{engine.ErrUnknownPartition, engine.ErrUnknownTopic} {
		if errors.Is(err, fine) {
			return // deleted meanwhile
		}
	}
	if !c.fs.Dead() {
		c.check.Failf("%s: %v", doing, err)
	}
}

func (c *crash) produceIdempotent() {
	var p *producer
	if len(c.producers) > 0 && c.rng.IntN(4) > 0 {
		p = c.producers[c.rng.IntN(len(c.producers))]
	} else if t, ok := c.pick(); ok && len(c.producers) < 6 {
		id, ok := c.allocate()
		if !ok {
			return
		}
		p = &producer{id: id, topic: t.Name, tid: t.ID, index: c.rng.Int32N(t.Partitions)}
		c.producers = append(c.producers, p)
	} else {
		return
	}
	c.send(p)
}

// send sends the producer's next batch, or repeats the last one: always after a crash left it open, sometimes for fun.
func (c *crash) send(p *producer) {
	t, ok := c.e.Topic(p.topic)
	part, err := c.e.Partition(p.topic, p.index)
	if !ok || err != nil || t.ID != p.tid {
		return
	}
	p.mu.Lock()
	retry := p.inFlight || p.batch != nil && c.rng.IntN(5) == 0
	repeat := retry && !p.inFlight
	if !retry {
		if p.batch != nil {
			p.seq += p.records
		}
		p.batch = c.batch(batch.Producer{ID: p.id, Epoch: 0, Sequence: p.seq}, "")
		p.records = batch.Header(p.batch).RecordCount()
		p.inFlight = true
	}
	b := append([]byte(nil), p.batch...)
	want := p.base
	p.mu.Unlock()
	key, fs := partKey(t, p.index), c.fs
	c.pending.Add(1)
	c.appendTo(part, b, -1, func(a engine.Appended) {
		defer c.pending.Done()
		if fs.Dead() {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		switch {
		case a.Err != nil:
			c.fail(fmt.Sprintf("idempotent append %s pid %d seq %d", key, p.id, batch.Header(b).BaseSequence()), a.Err)
		case repeat && a.BaseOffset != want:
			c.check.Failf("%s: a repeated batch was answered with offset %d, it has %d", key, a.BaseOffset, want)
		default:
			c.check.Acked(key, a.BaseOffset, batch.Header(b))
			if batch.Header(p.batch).BaseSequence() == batch.Header(b).BaseSequence() {
				p.inFlight, p.base = false, a.BaseOffset
			}
		}
	})
}

func (c *crash) createTopic() {
	if c.topics > 5 {
		return
	}
	c.topics++
	t, err := c.e.CreateTopic(context.Background(), fmt.Sprintf("t%d", c.topics), 1+c.rng.Int32N(3), nil)
	if c.fs.Dead() {
		return
	}
	if err != nil {
		c.fail("create topic", err)
		return
	}
	c.check.Created(t.ID.String())
}

func (c *crash) deleteTopic() {
	t, ok := c.pick()
	if !ok || c.topics < 3 {
		return
	}
	c.check.Deleting(t.ID.String())
	err := c.e.DeleteTopic(context.Background(), t.Name)
	if c.fs.Dead() {
		return
	}
	if err != nil {
		c.fail("delete topic", err)
		return
	}
	c.check.Deleted(t.ID.String())
}

func (c *crash) deleteRecords() {
	t, ok := c.pick()
	if !ok {
		return
	}
	index := c.rng.Int32N(t.Partitions)
	p, err := c.e.Partition(t.Name, index)
	if err != nil {
		c.fail("partition", err)
		return
	}
	to := p.LogStart() + c.rng.Int64N(max((p.HighWatermark()-p.LogStart())/2, 1))
	c.check.LogStart(partKey(t, index), to, false)
	_, err = p.DeleteRecords(context.Background(), to)
	if c.fs.Dead() {
		return
	}
	if err != nil {
		c.fail("delete records", err)
		return
	}
	c.check.LogStart(partKey(t, index), to, true)
}

func (c *crash) commitOffsets() {
	group := fmt.Sprintf("g%d", c.rng.IntN(3))
	k := engine.OffsetKey{Topic: "t1", Partition: c.rng.Int32N(2)}
	c.serial++
	n := int64(c.serial)
	key := fmt.Sprintf("offset/%s/%d", group, k.Partition)
	c.check.Committing(key, n)
	fs := c.fs
	c.pending.Add(1)
	c.e.CommitOffsets(group, map[engine.OffsetKey]engine.CommittedOffset{k: {Offset: n, LeaderEpoch: -1, CommittedAt: time.UnixMilli(n)}}, func(err error) {
		defer c.pending.Done()
		if fs.Dead() {
			return
		}
		if err != nil {
			c.fail("commit", err)
			return
		}
		c.check.Committed(key, n)
	})
}

func (c *crash) saveGroup() {
	c.serial++
	n := int64(c.serial)
	c.check.Committing("group/g", n)
	fs := c.fs
	c.pending.Add(1)
	c.e.SaveGroup("g", strconv.AppendInt(nil, n, 10), func(err error) {
		defer c.pending.Done()
		if fs.Dead() {
			return
		}
		if err != nil {
			c.fail("save group", err)
			return
		}
		c.check.Committed("group/g", n)
	})
}

// The two records of a KIP-848 group that are always saved together.
const (
	epochRecord  = "\x00\x03\x00\x01h"
	memberRecord = "\x00\x05\x00\x01h\x00\x01m"
)

func (c *crash) saveRecords() {
	c.serial++
	n := int64(c.serial)
	c.check.Committing("records/h", n)
	fs := c.fs
	c.pending.Add(1)
	v := strconv.AppendInt(nil, n, 10)
	c.e.SaveGroupRecords("h", []engine.GroupRecord{{Key: []byte(epochRecord), Value: v}, {Key: []byte(memberRecord), Value: v}}, func(err error) {
		defer c.pending.Done()
		if fs.Dead() {
			return
		}
		if err != nil {
			c.fail("save group records", err)
			return
		}
		c.check.Committed("records/h", n)
	})
}

func (c *crash) allocate() (int64, bool) {
	id, err := c.e.AllocateProducerID(context.Background())
	if c.fs.Dead() || err != nil {
		if err != nil {
			c.fail("allocate producer id", err)
		}
		return 0, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pids[id] {
		c.check.Failf("producer id %d was given twice", id)
	}
	c.pids[id] = true
	return id, true
}

func (c *crash) readSome() {
	t, ok := c.pick()
	if !ok {
		return
	}
	index := c.rng.Int32N(t.Partitions)
	p, err := c.e.Partition(t.Name, index)
	if err != nil {
		return
	}
	start, hw := p.LogStart(), p.HighWatermark()
	if hw <= start {
		return
	}
	r, err := p.Read(context.Background(), start+c.rng.Int64N(hw-start), 8<<10)
	if err != nil {
		if !errors.Is(err, engine.ErrOffsetOutOfRange) {
			c.fail("read", err)
		}
		return
	}
	raw := join(r.Bytes)
	r.Release()
	if !c.fs.Dead() {
		c.check.Read(partKey(t, index), raw)
	}
}

func join(pieces [][]byte) (raw []byte) {
	for _, b := range pieces {
		raw = append(raw, b...)
	}
	return raw
}

// verify reads everything and compares it with the promises.
func (c *crash) verify() {
	exist := map[string]bool{}
	for _, t := range c.e.Topics() {
		exist[t.ID.String()] = true
		for i := range t.Partitions {
			c.verifyPartition(t, i)
		}
	}
	c.check.Topics(exist)
	for g := range 3 {
		group := fmt.Sprintf("g%d", g)
		got := c.e.CommittedOffsets(group)
		for i := range int32(2) {
			n := int64(-1)
			if o, ok := got[engine.OffsetKey{Topic: "t1", Partition: i}]; ok {
				n = o.Offset
			}
			c.check.Fetched(fmt.Sprintf("offset/%s/%d", group, i), n)
		}
	}
	n := int64(-1)
	if v, ok := c.e.LoadGroups()["g"]; ok {
		n, _ = strconv.ParseInt(string(v), 10, 64)
	}
	c.check.Fetched("group/g", n)
	n = -1
	records := c.e.LoadGroupRecords("h")
	if string(records[epochRecord]) != string(records[memberRecord]) {
		c.fail("read group records", fmt.Errorf("saved together, came back apart: %q", records))
	}
	if v, ok := records[epochRecord]; ok {
		n, _ = strconv.ParseInt(string(v), 10, 64)
	}
	c.check.Fetched("records/h", n)
	c.verifyTransactions()
	// Whoever was in flight retries, and must end up in the log exactly once.
	for _, p := range c.producers {
		if p.inFlight {
			c.send(p)
		}
	}
	c.pending.Wait()
}

func (c *crash) verifyPartition(t engine.Topic, index int32) {
	p, err := c.e.Partition(t.Name, index)
	if err != nil {
		c.check.Failf("partition %s/%d: %v", t.Name, index, err)
		return
	}
	start, hw := p.LogStart(), p.HighWatermark()
	var raw []byte
	for offset := start; offset < hw; {
		ready := make(chan struct{})
		r, err := p.Read(context.Background(), offset, 32<<10)
		if err != nil {
			c.check.Failf("reading %s/%d at %d of %d..%d: %v", t.Name, index, offset, start, hw, err)
			return
		}
		if r.Pending {
			p.Watch(offset, func() { close(ready) })
			select {
			case <-ready:
			case <-time.After(20 * time.Second):
				c.check.Failf("cold read of %s/%d at %d never became ready", t.Name, index, offset)
				return
			}
			continue
		}
		raw = append(raw, join(r.Bytes)...)
		r.Release()
		if r.NextOffset <= offset {
			c.check.Failf("reading %s/%d at %d got nowhere (log %d to %d)", t.Name, index, offset, start, hw)
			return
		}
		offset = r.NextOffset
	}
	if t.Name == engine.TransactionsTopic {
		c.check.MayRepeat(partKey(t, index))
	}
	if t.Internal {
		return // compacted: batches shrink; what they say is checked as commits and groups
	}
	c.check.Whole(partKey(t, index), start, hw, raw)
}

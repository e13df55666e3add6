package tier

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/tiertest"
	"github.com/streamkeeper-io/streamkeeper/test/alloctest"
)

// A later segment's object may be stored first, but it is committed after the
// earlier one: what is cold of a stream has no gap.
func TestCommitsFollowTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1, 1, 500)
		l.store.Inject = func(c tiertest.Call) tiertest.Fault {
			l.log.mu.Lock()
			defer l.log.mu.Unlock()
			for _, rec := range l.log.records {
				if r, err := decodeRecord(rec); err == nil && r.kind == recordPrepare && r.segment == 1 && c.Name == objectName(r.id) {
					return tiertest.Fault{Delay: 4 * time.Second}
				}
			}
			return tiertest.Fault{}
		}
		first := l.load.Segment(5000, time.Now())
		l.log.seal(first)
		l.log.seal(l.load.Segment(5000, time.Now()))
		l.start(l.options())
		defer l.stop()
		l.until("one stored", time.Minute, func() bool { return len(l.store.Names("objects/")) > 0 })
		if _, ok, _ := l.tier.Extent(0); ok {
			t.Fatal("a segment was committed before the one before it")
		}
		l.until("offloaded", time.Minute, l.drained)
		l.checkAll(1000)
	})
}

func TestDamagedSegmentStaysAndOthersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1, 1, 500)
		bad := l.load.Segment(5000, time.Now())
		bad.Corrupt(0, 8*300)
		l.log.seal(bad)
		l.log.seal(l.load.Segment(5000, time.Now()))
		l.start(l.options())
		defer l.stop()
		l.until("the other offloaded", time.Minute, func() bool { return l.log.waiting() == 1 })
		time.Sleep(10 * time.Minute)
		if n := len(l.seen.of(EventSegmentCorrupt)); n < 2 || n > 12 {
			t.Errorf("%d events about the damaged segment in ten minutes", n)
		}
		if n := len(l.store.Names("objects/")); n != 1 {
			t.Errorf("%d objects, want 1", n)
		}
		bad.Corrupt(0, 8*300) // repaired
		l.until("offloaded", 2*time.Minute, l.drained)
	})
}

// By space only: nothing goes while there is room, then the oldest as far as
// needed.
func TestOffloadBySpaceOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1, 2, 500)
		o := l.options()
		o.SpaceOnly, o.LocalBytes = true, 50_000
		l.start(o)
		defer l.stop()
		for range 4 {
			l.log.seal(l.load.Segment(10_000, time.Now()))
		}
		time.Sleep(time.Hour)
		if l.log.waiting() != 4 || l.tier.Stats().Frozen != 0 {
			t.Fatalf("%d segments wait, frozen %v; want all 4 and not frozen", l.log.waiting(), l.tier.Stats().Frozen)
		}
		for range 4 {
			l.log.seal(l.load.Segment(10_000, time.Now()))
		}
		l.until("within its budget", time.Minute, func() bool { return l.log.LocalBytes() <= o.LocalBytes })
		time.Sleep(time.Hour)
		if n := l.log.waiting(); n != 4 {
			t.Fatalf("%d segments wait, want 4", n)
		}
		l.log.mu.Lock()
		defer l.log.mu.Unlock()
		if !slices.IsSortedFunc(l.log.sealed, func(a, b *tiertest.Segment) int { return int(a.Number) - int(b.Number) }) || l.log.sealed[0].Number != 5 {
			t.Error("not the oldest segments were offloaded")
		}
	})
}

func TestFailedJournalStopsTheTier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1, 1, 500)
		l.start(l.options())
		defer l.stop()
		time.Sleep(time.Second)
		l.log.mu.Lock()
		l.log.journal = errors.New("disk gone")
		l.log.mu.Unlock()
		l.log.seal(l.load.Segment(5000, time.Now()))
		l.until("noticed", time.Minute, func() bool { return l.tier.Stats().JournalError != nil })
		time.Sleep(time.Minute)
		if n := len(l.store.Names("objects/")); n != 0 || l.log.waiting() != 1 {
			t.Fatalf("%d objects stored, %d segments wait", n, l.log.waiting())
		}
	})
}

func TestAnotherClustersPrefixIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1, 1, 500)
		l.start(l.options())
		time.Sleep(time.Second)
		l.stop()
		o := l.options()
		o.ClusterID = "c2"
		l.log.seal(l.load.Segment(5000, time.Now()))
		l.start(o)
		defer l.stop()
		time.Sleep(time.Minute)
		if s := l.tier.Stats(); !errors.Is(s.FenceErr, ErrForeign) || l.log.waiting() != 1 {
			t.Fatalf("fence: %v, %d segments wait", s.FenceErr, l.log.waiting())
		}
		if len(l.seen.of(EventStoreFenced)) != 1 {
			t.Error("nobody was told")
		}
	})
}

// A second instance of the same node takes over; the first notices and stops.
func TestNewerInstanceFencesTheOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := newLab(t, 1, 1, 500)
		old.start(old.options())
		defer old.stop()
		time.Sleep(time.Second)
		young := newLab(t, 2, 1, 500)
		young.store = old.store
		young.start(young.options()) // its journal is empty: it must find the epoch in the store
		defer young.stop()
		old.until("fenced", 2*fenceCheckEvery, func() bool { return old.tier.Stats().Fenced })
		old.log.seal(old.load.Segment(5000, time.Now()))
		young.log.seal(young.load.Segment(5000, time.Now()))
		young.until("offloaded", time.Minute, young.drained)
		if old.log.waiting() != 1 || young.tier.Stats().Fenced {
			t.Fatal("the older instance uploads, or the younger is fenced")
		}
	})
}

func TestEpochsAreFoundWithoutAJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1, 1, 500)
		for i := range 21 {
			l.start(l.options())
			l.until("established", time.Minute, func() bool { return len(l.store.Names("epochs/")) == i+1 })
			l.stop()
		}
		if names := l.store.Names("epochs/"); names[20] != fmt.Sprintf("epochs/node-0/%010d", 21) {
			t.Fatalf("claims have gaps: %v", names)
		}
	})
}

func TestStoreWithoutPutIfAbsent(t *testing.T) {
	for _, require := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, 1, 1, 500)
			l.store.IgnoreIfAbsent = true
			o := l.options()
			o.RequireFence = require
			l.log.seal(l.load.Segment(5000, time.Now()))
			l.start(o)
			defer l.stop()
			time.Sleep(time.Minute)
			s := l.tier.Stats()
			if refused := errors.Is(s.FenceErr, ErrUnfenced); refused != require || l.drained() == require {
				t.Fatalf("require %v: fence %v, drained %v", require, s.FenceErr, l.drained())
			}
			if warned := len(l.seen.of(EventStoreUnfenced)) == 1; warned == require {
				t.Errorf("require %v: warned %v", require, warned)
			}
		})
	}
}

// Damage in the store is detected, told and never served.
func TestDamagedObjectIsNotServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1, 1, 500)
		l.start(l.options())
		defer l.stop()
		l.log.seal(l.load.Segment(50_000, time.Now()))
		l.until("offloaded", time.Minute, l.drained)
		name := l.store.Names("objects/")[0]
		good := slices.Clone(l.store.Object(name))
		bad := slices.Clone(good)
		bad[32+4096*2+rand.New(rand.NewPCG(1, 1)).IntN(4096)] ^= 1
		l.store.Replace(name, bad)
		row, _, _ := l.tier.Lookup(0, 0)
		var err error
		for offset := row.Base; offset < row.Next && err == nil; {
			ready := make(chan struct{})
			var c Cold
			if c, err = l.tier.Read(ReadRequest{Offset: offset, MaxBytes: 1}, func() { close(ready) }); err == nil && c.Pending {
				<-ready
			}
			offset = c.NextOffset
			c.Release()
		}
		if !errors.Is(err, ErrCorrupt) || len(l.seen.of(EventObjectCorrupt)) == 0 {
			t.Fatalf("read to the end of a damaged object: %v", err)
		}
		l.store.Replace(name, good)
		time.Sleep(failureFor)
		l.checkAll(1000)
	})
}

// Pool memory is bounded and comes back when readers hold their leases for long.
func TestLeasesHoldThePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1, 1, 500)
		o := l.options()
		o.PoolBytes, o.ReadAhead = 16<<10, 1
		l.start(o)
		defer l.stop()
		l.log.seal(l.load.Segment(100_000, time.Now()))
		l.until("offloaded", time.Minute, l.drained)
		var held []Cold
		offset, stuck := int64(0), false
		for !stuck {
			ready := make(chan struct{})
			c, err := l.tier.Read(ReadRequest{Offset: offset, MaxBytes: 3000}, func() { close(ready) })
			if err != nil {
				t.Fatal(err)
			}
			if c.Pending {
				select {
				case <-ready:
				case <-time.After(time.Minute):
					stuck = true
				}
				continue
			}
			held = append(held, c)
			offset = c.NextOffset
		}
		if s := l.tier.Stats().Pool; s.UsedBytes > s.LimitBytes || s.Waiting != 1 || s.Waits == 0 {
			t.Fatalf("pool: %+v", s)
		}
		for i := range held {
			held[i].Release()
			held[i].Release()
		}
		synctest.Wait()
		if s := l.tier.Stats().Pool; s.Waiting != 0 {
			t.Fatalf("nobody was admitted after the release: %+v", s)
		}
		l.checkAll(5000)
	})
}

func FuzzDecodeRecord(f *testing.F) {
	l := tiertest.NewLoad(1, 3, 300)
	for _, rec := range sampleRecords(f, l) {
		f.Add(rec)
	}
	f.Fuzz(func(t *testing.T, rec []byte) {
		var r record
		var err error
		alloctest.Bound(t, len(rec), 24, func() { r, err = decodeRecord(rec) }) // a chain for 2 bytes
		if err != nil {
			return
		}
		key, dead, err := RecordKey(rec)
		if err != nil || key == "" || dead != (r.kind == recordTombstone) {
			t.Fatalf("decoded, but its key is %q, %v, %v", key, dead, err)
		}
		s := newState(NewMemIndex())
		for _, commits := range []bool{false, true} {
			if err := s.replay(r, commits); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func sampleRecords(t testing.TB, l *tiertest.Load) [][]byte {
	t.Helper()
	id, at := ObjectID{1, 2, 3}, time.UnixMilli(1234567)
	plan, err := object.NewPlan(object.Info{ID: id, Cluster: "c", Segment: 5, Block: object.MinBlock}, l.Segment(20_000, at))
	if err != nil {
		t.Fatal(err)
	}
	return [][]byte{
		prepareRecord(id, at, 5), commitRecord(id, at, plan.EncodedFooter()), destroyRecord(id, at), tombstoneRecord(id),
		trimRecord(7, 99, at), epochRecord(3),
		rewriteRecord(id, at, []move{{ObjectID{9}, 0, 1}, {ObjectID{8}, 2, 1 << 30}}, plan.EncodedFooter()),
	}
}

// Records survive the round trip, and one of another kind or cut short is refused.
func TestRecords(t *testing.T) {
	for _, rec := range sampleRecords(t, tiertest.NewLoad(1, 3, 300)) {
		r, err := decodeRecord(rec)
		if err != nil || r.kind != rec[0] {
			t.Fatalf("kind %d: %v", rec[0], err)
		}
		if r.kind == recordCommit && (len(r.footer.Runs) == 0 || r.segment != 5 || r.size <= r.footer.Data || r.notBefore.UnixMilli() != 1234567) {
			t.Fatalf("commit: %+v", r)
		}
		if r.kind == recordRewrite && (len(r.moves) != 2 || r.moves[1] != (move{ObjectID{8}, 2, 1 << 30}) || len(r.footer.Runs) == 0) {
			t.Fatalf("rewrite: %+v", r)
		}
		if r.kind == recordTrim && (r.stream != 7 || r.before != 99) {
			t.Fatalf("trim: %+v", r)
		}
		if _, err := decodeRecord(rec[:len(rec)-1]); err == nil && r.kind != recordPrepare {
			t.Errorf("kind %d: a record cut short was accepted", r.kind)
		}
	}
	if _, err := decodeRecord([]byte{99, 1}); err == nil {
		t.Error("an unknown kind was accepted")
	}
}

// A DELETE that fails is tried again soon, also when its turn comes while other
// deletes are still under way.
// What was put at the first attempt leaves the bucket as soon as it is dead; what needed more leaves when no attempt that
// failed can take effect any more.
func TestDeadObjectsLeaveSoon(t *testing.T) {
	for _, late := range []time.Duration{0, 15 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, 1, 1, 500)
			failed := false
			l.store.Inject = func(c tiertest.Call) tiertest.Fault {
				if late == 0 || failed || c.Op != "put" || !strings.HasPrefix(c.Name, "objects/") {
					return tiertest.Fault{}
				}
				failed = true
				return tiertest.Fault{Err: tiertest.ErrInternal, Late: late}
			}
			l.log.seal(l.load.Segment(5000, time.Now()))
			l.start(l.options())
			defer l.stop()
			l.until("offloaded", time.Minute, l.drained)
			if err := l.tier.Trim(t.Context(), 0, math.MaxInt64); err != nil {
				t.Fatal(err)
			}
			took := l.until("deleted", time.Hour, func() bool {
				l.tier.state.mu.Lock()
				defer l.tier.state.mu.Unlock()
				return len(l.tier.state.objects) == 0
			})
			if late == 0 && took > 10*time.Second || late > 0 && took < 10*time.Second {
				t.Errorf("put late by %v: deleted after %v", late, took)
			}
			time.Sleep(time.Minute)
			if names := l.store.Names("objects/"); len(names) > 0 {
				t.Errorf("put late by %v: %v is there again", late, names)
			}
		})
	}
}

func TestFailedDeletesAreRetriedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1, 1, 500)
		failed := false
		l.store.Inject = func(c tiertest.Call) tiertest.Fault {
			if c.Op == "delete" && !failed {
				failed = true
				return tiertest.Fault{Err: tiertest.ErrInternal}
			}
			return tiertest.Fault{Delay: 300 * time.Millisecond}
		}
		l.start(l.options())
		defer l.stop()
		for range 3 {
			l.log.seal(l.load.Segment(5000, time.Now()))
		}
		l.until("offloaded", time.Minute, l.drained)
		if err := l.tier.Trim(t.Context(), 0, 1<<62); err != nil {
			t.Fatal(err)
		}
		l.until("one deleted", time.Hour, func() bool { return l.tier.Stats().Orphans < 3 })
		l.until("all deleted", 5*time.Second, func() bool { return l.tier.Stats().Orphans == 0 })
	})
}

// staleSource makes its list, then takes its time to return it.
type staleSource struct {
	*localLog
	delay time.Duration
}

func (s staleSource) SealedSegments() []Segment {
	list := s.localLog.SealedSegments()
	time.Sleep(s.delay)
	return list
}

// A list of segments that is out of date when it arrives does not make a segment
// that was offloaded meanwhile look new.
func TestStaleListsUploadNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1, 1, 500)
		o := l.options()
		o.Source = staleSource{l.log, 3 * time.Second}
		l.store.Inject = func(tiertest.Call) tiertest.Fault { return tiertest.Fault{Delay: time.Second} }
		l.start(o)
		defer l.stop()
		for range 5 {
			l.log.seal(l.load.Segment(5000, time.Now()))
			time.Sleep(7 * time.Second)
		}
		l.until("offloaded", time.Minute, l.drained)
		time.Sleep(time.Minute)
		if n := len(l.store.Names("objects/")); n != 5 {
			t.Fatalf("%d objects for 5 segments", n)
		}
	})
}

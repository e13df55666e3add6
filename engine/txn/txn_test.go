package txn

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	t0 = time.UnixMilli(1_000_000)
	p0 = Partition{"t", 0}
	p1 = Partition{"t", 1}
)

const minute = time.Minute

// begun is a machine whose producer 7 has a transaction open.
func begun(t *testing.T) (*Transaction, Producer) {
	t.Helper()
	m := New("id", 7, t0)
	_, who, code := m.Init(t0, minute, NoProducer, -1)
	if code != None || who != (Producer{7, 0}) {
		t.Fatalf("init: %v, %v", who, code)
	}
	if steps, code := m.Add(t0, who, []Partition{p1, p0}); code != None || len(steps) != 1 || steps[0].Save.State != Ongoing {
		t.Fatalf("add: %v, %v", steps, code)
	}
	return m, who
}

func TestEnd_DecidesWritesMarkersCompletes(t *testing.T) {
	for _, tt := range []struct {
		name               string
		commit, bump       bool
		prepared, complete State
		marker, next       int16
	}{
		{"commit", true, false, PrepareCommit, CompleteCommit, 0, 0},
		{"abort", false, false, PrepareAbort, CompleteAbort, 0, 0},
		{"commit with a bump", true, true, PrepareCommit, CompleteCommit, 1, 1},
		{"abort with a bump", false, true, PrepareAbort, CompleteAbort, 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, who := begun(t)
			steps, next, code := m.End(t0, who, tt.commit, tt.bump, -1)
			if code != None || next != (Producer{7, tt.next}) || len(steps) != 3 {
				t.Fatalf("%v, %v, %v", steps, next, code)
			}
			if s := steps[0].Save; s == nil || s.State != tt.prepared || len(s.Partitions) != 2 {
				t.Errorf("first step: %+v", s)
			}
			want := &Markers{Producer: Producer{7, tt.marker}, Commit: tt.commit, Partitions: []Partition{p0, p1}}
			if diff := cmp.Diff(want, steps[1].Markers); diff != "" {
				t.Error(diff)
			}
			if s := steps[2].Save; s == nil || s.State != tt.complete || len(s.Partitions) != 0 {
				t.Errorf("last step: %+v", s)
			}
			// The client did not hear the answer: it gets the same one, and nothing is written.
			steps, again, code := m.End(t0, who, tt.commit, tt.bump, -1)
			if code != None || again != next || steps != nil {
				t.Errorf("repeated: %v, %v, %v", steps, again, code)
			}
			if _, _, code := m.End(t0, who, !tt.commit, tt.bump, -1); code != InvalidTxnState {
				t.Errorf("the other outcome: %v", code)
			}
		})
	}
}

func TestEnd_Refusals(t *testing.T) {
	m, who := begun(t)
	for _, tt := range []struct {
		name string
		who  Producer
		want Code
	}{
		{"another id", Producer{8, 0}, InvalidProducerIDMapping},
		{"an old epoch", Producer{7, -1}, ProducerFenced},
		{"a future epoch", Producer{7, 1}, ProducerFenced},
	} {
		if _, _, code := m.End(t0, tt.who, true, false, -1); code != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, code, tt.want)
		}
		if _, code := m.Add(t0, tt.who, []Partition{p0}); code != tt.want {
			t.Errorf("%s: add %v, want %v", tt.name, code, tt.want)
		}
		if code := m.Verify(tt.who, p0); code != tt.want {
			t.Errorf("%s: verify %v, want %v", tt.name, code, tt.want)
		}
	}
	if code := m.Verify(who, Partition{"t", 9}); code != InvalidTxnState {
		t.Errorf("a partition nobody added: %v", code)
	}
	if code := m.Verify(who, p0); code != None {
		t.Errorf("its own partition: %v", code)
	}
	m = New("id", 7, t0)
	_, who, _ = m.Init(t0, minute, NoProducer, -1)
	if _, _, code := m.End(t0, who, true, false, -1); code != InvalidTxnState {
		t.Errorf("nothing to commit: %v", code)
	}
	if _, _, code := m.End(t0, who, false, false, -1); code != InvalidTxnState {
		t.Errorf("nothing to abort: %v", code)
	}
	if steps, next, code := m.End(t0, who, false, true, -1); code != None || next.Epoch != 1 || len(steps) != 1 {
		t.Errorf("an empty abort of version 2: %v, %v, %v", steps, next, code)
	}
	if _, _, code := m.End(t0, Producer{7, 1}, true, true, -1); code != InvalidTxnState {
		t.Errorf("an empty commit of version 2: %v", code)
	}
}

func TestInit_FencesAndGoesOn(t *testing.T) {
	m, old := begun(t)
	steps, who, code := m.Init(t0, minute, NoProducer, -1)
	if code != None || who != (Producer{7, 2}) || len(steps) != 4 {
		t.Fatalf("%v, %v, %v", steps, who, code)
	}
	if k := steps[1].Markers; k == nil || k.Commit || k.Producer.Epoch != 1 {
		t.Errorf("the open transaction was ended by %+v", k)
	}
	if _, code := m.Add(t0, old, []Partition{p0}); code != ProducerFenced {
		t.Errorf("the old producer: %v", code)
	}
	if _, _, code := m.Init(t0, minute, old, -1); code != ProducerFenced {
		t.Errorf("the old producer goes on: %v", code)
	}
	_, next, code := m.Init(t0, minute, who, -1)
	if code != None || next != (Producer{7, 3}) {
		t.Fatalf("goes on: %v, %v", next, code)
	}
	if _, again, code := m.Init(t0, minute, who, -1); code != None || again != next {
		t.Errorf("asks again: %v, %v", again, code)
	}
}

func TestInit_GoesOnWithAnotherID(t *testing.T) {
	m, who := begun(t)
	for who.Epoch < math.MaxInt16-1 {
		_, next, code := m.Init(t0, minute, NoProducer, 99)
		if code != None || next.Epoch <= who.Epoch {
			t.Fatalf("after %v: %v, %v", who, next, code)
		}
		who = next
	}
	if !m.Exhausted() {
		t.Error("no fresh id was asked for")
	}
	_, next, code := m.Init(t0, minute, who, 99)
	if code != None || next != (Producer{99, 0}) {
		t.Fatalf("%v, %v", next, code)
	}
	if _, again, code := m.Init(t0, minute, who, 100); code != None || again != next {
		t.Errorf("asks again: %v, %v", again, code)
	}
}

func TestEnd_GoesOnWithAnotherID(t *testing.T) {
	m := Restore(Snapshot{
		ID: "id", Producer: Producer{7, math.MaxInt16 - 1}, LastEpoch: -1, PreviousID: -1, NextID: -1, Timeout: minute,
		State: Ongoing, Partitions: []Partition{p0}, Started: t0, Updated: t0,
	})
	who := Producer{7, math.MaxInt16 - 1}
	steps, next, code := m.End(t0, who, true, true, 99)
	if code != None || next != (Producer{99, 0}) || steps[1].Markers.Producer != (Producer{7, math.MaxInt16}) {
		t.Fatalf("%v, %v, %v", steps, next, code)
	}
	if _, again, code := m.End(t0, who, true, true, 100); code != None || again != next {
		t.Errorf("repeated: %v, %v", again, code)
	}
}

func TestExpired_AbortsAndFences(t *testing.T) {
	m, who := begun(t)
	if m.Expired(t0.Add(minute)) || !m.Expired(t0.Add(minute+1)) {
		t.Error("the timeout is not what the client asked for")
	}
	steps := m.Fence(t0.Add(2 * minute))
	if len(steps) != 3 || steps[1].Markers.Commit || steps[1].Markers.Producer.Epoch != 1 {
		t.Errorf("steps %+v", steps)
	}
	if code := m.Verify(who, p0); code != ProducerFenced {
		t.Errorf("it writes on: %v", code)
	}
	if m.Idle(t0.Add(3*minute), 2*minute) || !m.Idle(t0.Add(5*minute), 2*minute) {
		t.Error("idle at the wrong time")
	}
}

// Whatever clients do and wherever the machine is restored from its last save, epochs grow, outcomes are final and
// markers are written for exactly what was added.
func TestRandom(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		m, now, fresh := New("id", 1, t0), t0, int64(2)
		var saved *Snapshot
		added := map[Partition]bool{}
		seen := []Producer{{1, -1}}
		take := func(steps []Step) {
			for _, s := range steps {
				if k := s.Markers; k != nil {
					if len(k.Partitions) != len(added) {
						t.Fatalf("seed %d: markers for %v, added %v", seed, k.Partitions, added)
					}
					clear(added)
					continue
				}
				saved = s.Save
				if last := seen[len(seen)-1]; saved.Producer.ID == last.ID && saved.Producer.Epoch < last.Epoch {
					t.Fatalf("seed %d: %v after %v", seed, saved.Producer, last)
				}
				seen = append(seen, saved.Producer)
			}
		}
		for range 60 {
			now = now.Add(time.Second)
			who := seen[max(0, len(seen)-1-rng.IntN(3))]
			switch rng.IntN(7) {
			case 0:
				expected := NoProducer
				if rng.IntN(2) == 0 {
					expected = who
				}
				fresh++
				steps, _, _ := m.Init(now, minute, expected, fresh)
				take(steps)
			case 1, 2:
				p := Partition{"t", rng.Int32N(3)}
				steps, code := m.Add(now, who, []Partition{p})
				if code == None {
					added[p] = true
				}
				take(steps)
			case 3, 4:
				fresh++
				steps, _, _ := m.End(now, who, rng.IntN(2) == 0, rng.IntN(2) == 0, fresh)
				take(steps)
			case 5:
				if m.Expired(now) {
					take(m.Fence(now))
				}
			case 6:
				if saved == nil {
					continue
				}
				s := m.Snapshot()
				s.LastEpoch = -1
				if diff := cmp.Diff(s, func() Snapshot { x := *saved; x.LastEpoch = -1; return x }()); diff != "" {
					t.Fatalf("seed %d: the machine is not what it saved: %s", seed, diff)
				}
				m = Restore(s)
			}
		}
	}
}

package drill

import (
	"context"
	"strings"
	"testing"
	"time"
)

// fakeWorker tells what a test says.
type fakeWorker struct {
	Worker
	stats Stats
}

func (w *fakeWorker) Stats() Stats { return w.stats }

// fakeLab has a store only.
type fakeLab struct {
	Lab
	store *fakeWorker
}

func (l fakeLab) Store() Worker {
	if l.store == nil {
		return nil
	}
	return l.store
}

func hurtStage(store *fakeWorker) (*Stage, *fakeWorker) {
	w := &fakeWorker{stats: Stats{Revoked: 2}}
	s := &Stage{Lab: fakeLab{store: store}, Topic: "t", meter: newMeter(), deaths: 1, member: []*member{{spec: Spec{ClientID: "c-0"}, w: w, revoked: 4}}}
	s.expectPain(injectedAt)
	return s, w
}

func TestClientsHurt(t *testing.T) {
	at := func(seconds int) time.Time { return injectedAt.Add(time.Duration(seconds) * time.Second) }
	s, w := hurtStage(nil)
	if i := s.clientsHurt(at(1)); i != nil {
		t.Errorf("what was before the injection hurts nobody: %+v", i)
	}
	w.stats.Revoked = 3
	if i := s.clientsHurt(at(2)); i != nil {
		t.Errorf("one rebalance is no impact: %+v", i)
	}
	w.stats.Revoked = 5
	if i := s.clientsHurt(at(9)); i == nil || i.Seconds != 2 || !strings.Contains(i.Text, "c-0 lost its partitions 3 times") {
		t.Errorf("three are, from the first on: %+v", i)
	}

	s, _ = hurtStage(nil)
	s.died()
	if i := s.clientsHurt(at(3)); i != nil {
		t.Errorf("one death: %+v", i)
	}
	s.died()
	if i := s.clientsHurt(at(8)); i == nil || i.Seconds != 3 {
		t.Errorf("two deaths, from the first on: %+v", i)
	}

	s, _ = hurtStage(nil)
	s.meter.produced(at(4), map[int32]int64{3: 5})
	if i := s.clientsHurt(at(13)); i != nil {
		t.Errorf("nine seconds late: %+v", i)
	}
	if i := s.clientsHurt(at(14)); i == nil || i.Seconds != 14 || !strings.Contains(i.Text, "partition 3") {
		t.Errorf("ten seconds late: %+v", i)
	}
}

func TestStoreHurt(t *testing.T) {
	at := func(seconds int) time.Time { return injectedAt.Add(time.Duration(seconds) * time.Second) }
	store := &fakeWorker{stats: Stats{Errors: 7, Records: 100}}
	s, _ := hurtStage(store)
	store.stats.Records = 104
	if i := storeHurt(context.Background(), s, at(5)); i != nil {
		t.Errorf("a store that answers hurts nobody: %+v", i)
	}
	if i := storeHurt(context.Background(), s, at(15)); i == nil || !strings.Contains(i.Text, "no call") {
		t.Errorf("nobody reached it for ten seconds: %+v", i)
	}
	s, _ = hurtStage(store)
	store.stats.Errors = 10
	if i := storeHurt(context.Background(), s, at(2)); i == nil || !strings.Contains(i.Text, "failed 3 calls") {
		t.Errorf("three failed calls: %+v", i)
	}
}

package drill

import (
	"testing"
	"time"
)

func TestMeter(t *testing.T) {
	at := func(seconds int) time.Time { return injectedAt.Add(time.Duration(seconds) * time.Second) }
	m := newMeter()
	m.produced(at(0), map[int32]int64{0: 10, 1: 10})
	m.produced(at(5), map[int32]int64{0: 20, 1: 20})
	m.produced(at(6), map[int32]int64{0: 20, 1: 15}) // nothing new, and an older word
	m.consumed(map[int32]int64{0: 20, 1: 9})
	if p, behind := m.worst(at(12)); p != 1 || behind != 12*time.Second {
		t.Errorf("partition %d is %s behind, want 1 and 12 s: its first record waits", p, behind)
	}
	m.consumed(map[int32]int64{1: 10})
	if p, behind := m.worst(at(12)); p != 1 || behind != 7*time.Second {
		t.Errorf("partition %d is %s behind, want 1 and 7 s", p, behind)
	}
	m.consumed(map[int32]int64{1: 3}) // the next owner starts over
	m.consumed(map[int32]int64{1: 20})
	if _, behind := m.worst(at(12)); behind != 0 {
		t.Errorf("%s behind, want none: all is processed", behind)
	}
	if m.done() != 40 {
		t.Errorf("%d processed, want 40: what is done twice counts once", m.done())
	}
	m.consumed(map[int32]int64{2: 7})
	m.produced(at(13), map[int32]int64{2: 7}) // the consumer was told of before the producer
	if _, behind := m.worst(at(20)); behind != 0 {
		t.Errorf("%s behind, want none", behind)
	}
}

func TestPace(t *testing.T) {
	var p pace
	n := 0
	for range 1000 {
		n += p.due(33.3, .01)
	}
	if n < 332 || n > 333 {
		t.Errorf("%d records in 10 s at 33.3 a second", n)
	}
	if n := p.due(33.3, 60); n > 34 {
		t.Errorf("%d records after a stall of a minute: more than a second's worth is a debt", n)
	}
	if n := p.due(0, 60); n > 1 {
		t.Errorf("%d records at a rate of 0", n)
	}
}

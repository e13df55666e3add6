package kafka

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// A table holds what a map would, in order.
func TestTableIsAMapInOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var got table[position]
	want := map[partition]position{}
	for range 5_000 {
		where := partition{string(rune('a' + rnd.IntN(5))), int32(rnd.IntN(7))}
		v := positionAt(int64(rnd.IntN(4)) - 1) // a quarter takes out
		got.put(where, v)
		if want[where] = v; v == 0 {
			delete(want, where)
		}
		if got.n != len(want) || got.at(where) != v {
			t.Fatalf("%d entries and %d at %v, want %d and %d", got.n, got.at(where), where, len(want), v)
		}
	}
	keys := slices.SortedFunc(maps.Keys(want), comparePartitions)
	var seen []partition
	topics := map[string]bool{}
	for where, v := range got.all() {
		if v != want[where] {
			t.Errorf("%v is %d, want %d", where, v, want[where])
		}
		seen = append(seen, where)
		topics[where.topic] = true
	}
	if !slices.Equal(seen, keys) {
		t.Errorf("seen %v, want %v", seen, keys)
	}
	if names := slices.Collect(got.names()); !slices.Equal(names, slices.Sorted(maps.Keys(topics))) {
		t.Errorf("topics %v", names)
	}
	for where := range got.all() { // all of it, while it is gone through
		got.put(where, 0)
	}
	if got.n != 0 || len(slices.Collect(got.names())) != 0 {
		t.Errorf("%d entries of %v are left", got.n, slices.Collect(got.names()))
	}
	for _, where := range []partition{{"a", -1}, {"a", 1 << 30}, {"nobody", 0}} {
		if v := got.at(where); v != 0 {
			t.Errorf("%v = %d", where, v)
		}
		got.put(partition{where.topic, max(where.index, 0)}, 0)
	}
}

package engine_test

import (
	"maps"
	"slices"
	"testing"
)

// harmless are syncs whose loss breaks no promise, with the reason.
var harmless = map[string]string{
	"index/log:data": "the index runs without a write-ahead log; Pebble still closes an empty one",
	"index/log":      "the index runs without a write-ahead log; Pebble still closes an empty one",
}

// TestCrash_SwallowedSyncIsFound proves that TestCrash can fail: for each kind of sync the engine makes, one that lies
// must break a promise within a bounded number of seeds.
func TestCrash_SwallowedSyncIsFound(t *testing.T) {
	sites := map[string]int{}
	for seed := range uint64(5) {
		c := newCrash(seed+1, "")
		if err := c.run(); err != nil {
			t.Fatal(err)
		}
		for s, n := range c.sites {
			sites[s] += n
		}
	}
	t.Log(sites)
	for _, site := range slices.Sorted(maps.Keys(sites)) {
		if harmless[site] != "" {
			continue
		}
		t.Run(site, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(1000) {
				if err := newCrash(seed+1, site).run(); err != nil {
					t.Logf("seed %d: %v", seed+1, err)
					return
				}
			}
			t.Errorf("no seed noticed that syncs of %s do nothing", site)
		})
	}
}

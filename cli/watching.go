package cli

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// watching is which clusters are watched, and what their sources say of themselves. Clusters may be added while it is
// used: it is safe for concurrent use. The zero value has none.
type watching struct {
	mu       sync.Mutex
	clusters map[string]*watchedCluster
}

// watchedCluster is how one cluster is watched.
type watchedCluster struct {
	every     time.Duration
	listeners []listener
}

// add begins to watch a cluster.
func (w *watching) add(name string, c watchedCluster) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.clusters == nil {
		w.clusters = map[string]*watchedCluster{}
	}
	w.clusters[name] = &c
}

func (w *watching) names() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.clusters))
}

// get is one cluster; the zero value when it is not watched.
func (w *watching) get(name string) watchedCluster {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.clusters[name]; c != nil {
		return *c
	}
	return watchedCluster{}
}

func (w *watching) interval(name string) time.Duration { return w.get(name).every }

// told marks the sources that only listen, and leaves them out while nobody speaks to them: what is not used is not in
// trouble.
func (w *watching) told(of func(cluster string) []streamkeeper.Source) func(cluster string) []streamkeeper.Source {
	return func(cluster string) []streamkeeper.Source {
		heard := map[string]bool{}
		for _, l := range w.get(cluster).listeners {
			heard[l.Kind()] = l.Heard()
		}
		all := slices.DeleteFunc(of(cluster), func(s streamkeeper.Source) bool { spoken, listens := heard[s.Kind]; return listens && !spoken })
		for i := range all {
			_, all[i].Listens = heard[all[i].Kind]
		}
		return all
	}
}

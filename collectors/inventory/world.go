package inventory

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// DefaultMaxAge is how long an entity is remembered after it was last seen.
const DefaultMaxAge = 15 * time.Minute

// World is what exists. It is safe for concurrent use; everything it returns is the caller's own and in a
// fixed order.
type World struct {
	mu       sync.RWMutex
	maxAge   time.Duration
	clusters map[string]*cluster
}

// cluster holds what each source told last of one cluster, and what was learned from series.
type cluster struct {
	now     time.Time // the newest time told
	aged    time.Time // when what is too old was last dropped
	sources map[string]streamkeeper.Inventory
	learned map[streamkeeper.Entity]time.Time
	facts   map[streamkeeper.Entity]map[string]streamkeeper.State

	listed  map[streamkeeper.EntityKind][]streamkeeper.Entity // what Entities answered since the last change
	merged  streamkeeper.Inventory                            // of all live sources; rebuilt when stale is set
	stale   bool
	topicOf map[string][]string // group to topics
	groupOf map[string][]string // topic to groups
	clients map[string][]string // client id to groups
	groups  map[string]streamkeeper.GroupInfo
}

// NewWorld makes an empty world that forgets entities maxAge after they were last seen; 0 means DefaultMaxAge.
func NewWorld(maxAge time.Duration) *World {
	if maxAge <= 0 {
		maxAge = DefaultMaxAge
	}
	return &World{maxAge: maxAge, clusters: map[string]*cluster{}}
}

// Add replaces what a source told before of a cluster. Other sources' word stays until it is too old.
func (w *World) Add(inv streamkeeper.Inventory) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.cluster(inv.Cluster.Name)
	if old, ok := c.sources[inv.Source]; ok && old.At.After(inv.At) {
		return // late: something newer is known
	}
	c.sources[inv.Source] = inv
	c.tick(inv.At)
	c.stale = true
}

// Entities lists the entities of a kind in a cluster, by name.
func (w *World) Entities(name string, kind streamkeeper.EntityKind) []streamkeeper.Entity {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.clusters[name]
	if c == nil {
		return nil
	}
	c.refresh(w.maxAge)
	if c.listed == nil {
		c.listed = map[streamkeeper.EntityKind][]streamkeeper.Entity{}
	}
	list, ok := c.listed[kind]
	if !ok {
		list = c.entities(name, kind)
		c.listed[kind] = list
	}
	return slices.Clone(list)
}

// Clusters lists the clusters that were ever told of, by name.
func (w *World) Clusters() []string {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return slices.Sorted(maps.Keys(w.clusters))
}

// Cluster names a cluster; for an unheard one only the name is set.
func (w *World) Cluster(name string) streamkeeper.ClusterInfo { return w.Inventory(name).Cluster }

// Inventory is the merged view of a cluster: the newest word on each entity over all sources.
func (w *World) Inventory(name string) streamkeeper.Inventory {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.clusters[name]
	if c == nil {
		return streamkeeper.Inventory{Cluster: streamkeeper.ClusterInfo{Name: name}}
	}
	c.refresh(w.maxAge)
	out := c.merged
	out.Brokers, out.Topics = slices.Clone(out.Brokers), slices.Clone(out.Topics)
	out.Groups, out.Stores = slices.Clone(out.Groups), slices.Clone(out.Stores)
	out.Facts = maps.Clone(out.Facts)
	return out
}

// Snapshot is the merged view of every cluster, by name.
func (w *World) Snapshot() []streamkeeper.Inventory {
	names := w.Clusters()
	out := make([]streamkeeper.Inventory, 0, len(names))
	for _, name := range names {
		out = append(out, w.Inventory(name))
	}
	return out
}

func (w *World) cluster(name string) *cluster {
	c := w.clusters[name]
	if c == nil {
		c = &cluster{
			sources: map[string]streamkeeper.Inventory{}, learned: map[streamkeeper.Entity]time.Time{},
			facts: map[streamkeeper.Entity]map[string]streamkeeper.State{}, merged: streamkeeper.Inventory{Cluster: streamkeeper.ClusterInfo{Name: name}},
		}
		w.clusters[name] = c
	}
	return c
}

// tick moves the cluster's time forward.
func (c *cluster) tick(at time.Time) {
	if at.After(c.now) {
		c.now = at
	}
}

func (c *cluster) entities(name string, kind streamkeeper.EntityKind) []streamkeeper.Entity {
	seen := map[string]bool{}
	add := func(n string) {
		if n != "" {
			seen[n] = true
		}
	}
	switch kind {
	case streamkeeper.KindCluster:
		add(name)
	case streamkeeper.KindBroker:
		for _, b := range c.merged.Brokers {
			add(strconv.Itoa(int(b.ID)))
		}
	case streamkeeper.KindTopic:
		for _, t := range c.merged.Topics {
			add(t.Name)
		}
	case streamkeeper.KindPartition:
		for _, t := range c.merged.Topics {
			if t.Internal {
				continue
			}
			for i := range t.Partitions {
				add(t.Name + "-" + strconv.Itoa(int(i)))
			}
		}
	case streamkeeper.KindGroup:
		for _, g := range c.merged.Groups {
			add(g.Name)
		}
	case streamkeeper.KindStore:
		for _, s := range c.merged.Stores {
			add(s.Name)
		}
	case streamkeeper.KindClient:
		for id := range c.clients {
			add(id)
		}
	}
	for e := range c.learned {
		if e.Kind == kind {
			add(e.Name)
		}
	}
	if kind == streamkeeper.KindTopic { // the cluster's own topics are its business, nobody is late on them
		for _, t := range c.merged.Topics {
			if t.Internal {
				delete(seen, t.Name)
			}
		}
	}
	out := make([]streamkeeper.Entity, 0, len(seen))
	for _, n := range slices.SortedFunc(maps.Keys(seen), compareNames) {
		out = append(out, streamkeeper.Entity{Kind: kind, Name: n, Cluster: name})
	}
	return out
}

// compareNames orders numbers as numbers (broker 2 before broker 10), all else as text.
func compareNames(a, b string) int {
	if isDigit(a) && isDigit(b) { // else Atoi would make errors, of ten thousand names each time they are sorted
		x, errA := strconv.Atoi(a)
		y, errB := strconv.Atoi(b)
		if errA == nil && errB == nil && x != y {
			return x - y
		}
	}
	return strings.Compare(a, b)
}

// isDigit reports whether a name begins with a digit.
func isDigit(name string) bool { return name != "" && name[0] >= '0' && name[0] <= '9' }

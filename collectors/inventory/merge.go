package inventory

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// refresh rebuilds the merged view when something changed or aged out.
func (c *cluster) refresh(maxAge time.Duration) {
	if !c.stale && c.now.Equal(c.aged) {
		return
	}
	c.aged = c.now
	oldest := c.now.Add(-maxAge)
	for source, inv := range c.sources {
		if inv.At.Before(oldest) {
			delete(c.sources, source)
			c.stale = true
		}
	}
	for e, at := range c.learned {
		if at.Before(oldest) {
			delete(c.learned, e)
			delete(c.listed, e.Kind)
		}
	}
	if c.stale {
		c.listed = nil
		c.merge()
		c.index()
		c.stale = false
	}
}

// merge lays the sources over each other, oldest first, so that the newest word on an entity wins.
func (c *cluster) merge() {
	sources := slices.SortedFunc(maps.Values(c.sources), func(a, b streamkeeper.Inventory) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Source, b.Source))
	})
	out := streamkeeper.Inventory{Cluster: c.merged.Cluster, At: c.now, Facts: map[string]bool{}}
	brokers, topics := map[int32]streamkeeper.BrokerInfo{}, map[string]streamkeeper.TopicInfo{}
	groups, stores := map[string]streamkeeper.GroupInfo{}, map[string]streamkeeper.StoreInfo{}
	var names []string
	for _, inv := range sources {
		names = append(names, inv.Source)
		out.Cluster.ID = cmp.Or(inv.Cluster.ID, out.Cluster.ID)
		out.Cluster.Kind = cmp.Or(inv.Cluster.Kind, out.Cluster.Kind)
		maps.Copy(out.Facts, inv.Facts)
		for _, b := range inv.Brokers {
			brokers[b.ID] = b
		}
		for _, t := range inv.Topics {
			topics[t.Name] = mergeTopic(topics[t.Name], t)
		}
		for _, g := range inv.Groups {
			groups[g.Name] = mergeGroup(groups[g.Name], g)
		}
		for _, s := range inv.Stores {
			stores[s.Name] = s
		}
	}
	slices.Sort(names)
	out.Source = strings.Join(names, ",")
	out.Brokers = slices.SortedFunc(maps.Values(brokers), func(a, b streamkeeper.BrokerInfo) int { return cmp.Compare(a.ID, b.ID) })
	out.Topics = slices.SortedFunc(maps.Values(topics), func(a, b streamkeeper.TopicInfo) int { return strings.Compare(a.Name, b.Name) })
	out.Groups = slices.SortedFunc(maps.Values(groups), func(a, b streamkeeper.GroupInfo) int { return strings.Compare(a.Name, b.Name) })
	out.Stores = slices.SortedFunc(maps.Values(stores), func(a, b streamkeeper.StoreInfo) int { return strings.Compare(a.Name, b.Name) })
	c.merged = out
}

// mergeTopic keeps what an older source knew and the newer one does not say.
func mergeTopic(old, t streamkeeper.TopicInfo) streamkeeper.TopicInfo {
	if t.Configs == nil {
		t.Configs = old.Configs
	}
	if t.Leaders == nil {
		t.Leaders = old.Leaders
	}
	t.Partitions = cmp.Or(t.Partitions, old.Partitions)
	t.Replicas = cmp.Or(t.Replicas, old.Replicas)
	return t
}

func mergeGroup(old, g streamkeeper.GroupInfo) streamkeeper.GroupInfo {
	if g.State == "" { // this source knows of the group, not of its inside
		g.State, g.Protocol, g.Assignor, g.Members = old.State, old.Protocol, old.Assignor, old.Members
	}
	if old.Name != "" {
		topics := slices.Concat(old.Topics, g.Topics)
		slices.Sort(topics)
		g.Topics = slices.Compact(topics)
		facts := maps.Clone(old.Facts)
		if facts == nil {
			facts = map[string]bool{}
		}
		maps.Copy(facts, g.Facts)
		g.Facts = facts
	}
	return g
}

// index builds the relations that Related answers from.
func (c *cluster) index() {
	c.topicOf, c.groupOf, c.clients = map[string][]string{}, map[string][]string{}, map[string][]string{}
	c.groups = make(map[string]streamkeeper.GroupInfo, len(c.merged.Groups))
	for _, g := range c.merged.Groups { // in name order, so the lists are too
		c.groups[g.Name] = g
		topics := slices.Clone(g.Topics)
		for _, m := range g.Members {
			for _, set := range m.Assigned {
				topics = append(topics, set.Topic)
			}
			if m.ClientID != "" && !slices.Contains(c.clients[m.ClientID], g.Name) {
				c.clients[m.ClientID] = append(c.clients[m.ClientID], g.Name)
			}
		}
		slices.Sort(topics)
		c.topicOf[g.Name] = slices.Compact(topics)
		for _, t := range c.topicOf[g.Name] {
			c.groupOf[t] = append(c.groupOf[t], g.Name)
		}
	}
}

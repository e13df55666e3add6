package inventory

import (
	"slices"
	"strings"

	"github.com/streamkeeper-io/streamkeeper"
)

// Related lists the entities of a kind that a cause on e can touch, by name: a group and its topics, a
// topic and its groups, a client id and the groups it is a member of, a partition and its topic. What is
// shared (the cluster, its brokers and object stores) is related to everything in the cluster: where the
// leaders are now does not say whom a broker that is gone has hurt. An entity of the asked kind is related
// to itself only.
func (w *World) Related(e streamkeeper.Entity, kind streamkeeper.EntityKind) []streamkeeper.Entity {
	if e.Kind == kind {
		return []streamkeeper.Entity{e}
	}
	if kind == streamkeeper.KindCluster {
		return []streamkeeper.Entity{{Kind: kind, Name: e.Cluster, Cluster: e.Cluster}}
	}
	if shared(e.Kind) || shared(kind) {
		return w.Entities(e.Cluster, kind)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.clusters[e.Cluster]
	if c == nil {
		return nil
	}
	c.refresh(w.maxAge)
	var out []streamkeeper.Entity
	for _, name := range c.related(e, kind) {
		out = append(out, streamkeeper.Entity{Kind: kind, Name: name, Cluster: e.Cluster})
	}
	return out
}

func shared(kind streamkeeper.EntityKind) bool {
	return kind == streamkeeper.KindCluster || kind == streamkeeper.KindBroker || kind == streamkeeper.KindStore
}

func (c *cluster) related(e streamkeeper.Entity, kind streamkeeper.EntityKind) []string {
	switch {
	case e.Kind == streamkeeper.KindGroup && kind == streamkeeper.KindTopic:
		return c.topicOf[e.Name]
	case e.Kind == streamkeeper.KindTopic && kind == streamkeeper.KindGroup:
		return c.groupOf[e.Name]
	case e.Kind == streamkeeper.KindClient && kind == streamkeeper.KindGroup:
		return c.clients[e.Name]
	case e.Kind == streamkeeper.KindGroup && kind == streamkeeper.KindClient:
		return c.clientsOf(e.Name)
	case e.Kind == streamkeeper.KindPartition && kind == streamkeeper.KindTopic:
		if i := strings.LastIndexByte(e.Name, '-'); i > 0 {
			return []string{e.Name[:i]}
		}
	case e.Kind == streamkeeper.KindTopic && kind == streamkeeper.KindPartition:
		var out []string
		for _, p := range c.entities(e.Cluster, kind) {
			if i := strings.LastIndexByte(p.Name, '-'); i > 0 && p.Name[:i] == e.Name {
				out = append(out, p.Name)
			}
		}
		return out
	}
	return nil
}

func (c *cluster) clientsOf(group string) []string {
	var out []string
	for _, m := range c.groups[group].Members {
		if m.ClientID != "" {
			out = append(out, m.ClientID)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

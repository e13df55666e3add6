package streamkeeper

import (
	"fmt"
	"strings"
)

// EntityKind names a kind of thing that is watched and alerted on.
type EntityKind string

// The kinds of entities.
const (
	KindCluster   EntityKind = "cluster"
	KindBroker    EntityKind = "broker"
	KindTopic     EntityKind = "topic"
	KindPartition EntityKind = "partition"
	KindGroup     EntityKind = "group"
	KindClient    EntityKind = "client"
	KindStore     EntityKind = "store"
	KindDisk      EntityKind = "disk"
)

// Entity identifies one watched thing. It is comparable and usable as a map key; its text form is
// kind/name@cluster. A partition's name is topic-index (orders-3).
type Entity struct {
	Kind    EntityKind `json:"kind"`
	Name    string     `json:"name"`
	Cluster string     `json:"cluster"`
}

// Key is the entity's text form, kind/name@cluster.
func (e Entity) Key() string { return string(e.Kind) + "/" + e.Name + "@" + e.Cluster }

// String is the short form for people: kind name.
func (e Entity) String() string { return string(e.Kind) + " " + e.Name }

// ParseEntity reads kind/name@cluster. Names may hold '/' and '@'; the cluster may not hold '@'.
func ParseEntity(s string) (Entity, error) {
	kind, rest, ok := strings.Cut(s, "/")
	at := strings.LastIndexByte(rest, '@')
	if !ok || kind == "" || at <= 0 {
		return Entity{}, fmt.Errorf("entity %q: want kind/name@cluster", s)
	}
	return Entity{Kind: EntityKind(kind), Name: rest[:at], Cluster: rest[at+1:]}, nil
}

// CompareEntities orders by kind, then name, then cluster, for stable output.
func CompareEntities(a, b Entity) int {
	if c := strings.Compare(string(a.Kind), string(b.Kind)); c != 0 {
		return c
	}
	if c := strings.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	return strings.Compare(a.Cluster, b.Cluster)
}

// Locus is what is blamed inside an entity: a member, a host, a partition. Members are named by
// instance id, or client id + host, never by member id.
type Locus struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

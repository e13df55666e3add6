package streamkeeper

import "time"

// Inventory is what one collector saw of a cluster at one moment: its entities and how they hang
// together. Collectors hand it over whole; places merge by cluster and source.
type Inventory struct {
	Cluster ClusterInfo     `json:"cluster"`
	Source  string          `json:"source"`
	At      time.Time       `json:"at"`
	Brokers []BrokerInfo    `json:"brokers,omitempty"`
	Topics  []TopicInfo     `json:"topics,omitempty"`
	Groups  []GroupInfo     `json:"groups,omitempty"`
	Stores  []StoreInfo     `json:"stores,omitempty"`
	Facts   map[string]bool `json:"facts,omitempty"` // cluster-wide context atoms: tiering, multi_broker, kafka, ...
}

// ClusterInfo names a cluster. Kind is embedded or kafka.
type ClusterInfo struct {
	Name string `json:"name"`
	ID   string `json:"id"`
	Kind string `json:"kind"`
}

// BrokerInfo is one node.
type BrokerInfo struct {
	ID      int32  `json:"id"`
	Address string `json:"address"`
	Rack    string `json:"rack,omitempty"`
}

// TopicInfo is one topic with what diagnosis and advice need of its configuration.
type TopicInfo struct {
	Name       string            `json:"name"`
	Partitions int32             `json:"partitions"`
	Replicas   int32             `json:"replicas,omitempty"` // of the partition that has the fewest; 0 when not known
	Leaders    []int32           `json:"leaders,omitempty"`  // by partition, -1 when there is none
	Internal   bool              `json:"internal,omitempty"`
	Configs    map[string]string `json:"configs,omitempty"`
}

// GroupInfo is one consumer group.
type GroupInfo struct {
	Name     string          `json:"name"`
	State    string          `json:"state"`    // Kafka's words: Stable, Empty, PreparingRebalance, ...
	Protocol string          `json:"protocol"` // classic or consumer (KIP-848)
	Assignor string          `json:"assignor,omitempty"`
	Members  []MemberInfo    `json:"members,omitempty"`
	Topics   []string        `json:"topics,omitempty"` // read by assignment or by committed offsets
	Facts    map[string]bool `json:"facts,omitempty"`  // context atoms of the group: classic, static, dynamic, leave_reasons, poll_limit, ...; absent = not known
}

// MemberInfo is one member of a group. Key is its instance id, or client id + host.
type MemberInfo struct {
	Key        string              `json:"key"`
	MemberID   string              `json:"member_id"`
	ClientID   string              `json:"client_id"`
	Host       string              `json:"host"`
	InstanceID string              `json:"instance_id,omitempty"`
	Assigned   []TopicPartitionSet `json:"assigned,omitempty"`
}

// TopicPartitionSet is some partitions of one topic.
type TopicPartitionSet struct {
	Topic      string  `json:"topic"`
	Partitions []int32 `json:"partitions"`
}

// TieredStorage names the object store of an Apache Kafka cluster with tiered storage: there is one, behind the brokers'
// plugin, which does not tell its bucket.
const TieredStorage = "tiered-storage"

// StoreInfo is one object store. Name is its bucket, or its directory's base name.
type StoreInfo struct {
	Name string `json:"name"`
	URL  string `json:"url"` // without credentials
}

package broker

import (
	"slices"
	"strconv"
	"strings"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/meta"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// clusterDefaultOf names the cluster-level config that is a topic config's default.
var clusterDefaultOf = map[string]string{
	"max.message.bytes":      "message.max.bytes",
	"retention.ms":           "log.retention.ms",
	"retention.bytes":        "log.retention.bytes",
	"cleanup.policy":         "log.cleanup.policy",
	"message.timestamp.type": "log.message.timestamp.type",
}

// configTypes are Kafka's numbers of the types.
var configTypes = map[string]kmsg.ConfigType{
	"boolean": kmsg.ConfigTypeBoolean, "string": kmsg.ConfigTypeString, "int": kmsg.ConfigTypeInt,
	"long": kmsg.ConfigTypeLong, "double": kmsg.ConfigTypeDouble, "list": kmsg.ConfigTypeList,
}

// setting is one config with where its value comes from.
type setting struct {
	def      engine.ConfigDef
	value    string
	source   kmsg.ConfigSource
	readOnly bool
	synonyms []synonym // in order of precedence, the effective one first
}

type synonym struct {
	name, value string
	source      kmsg.ConfigSource
}

// topicSettings are all configs of a topic, given those set on it.
func (b *Broker) topicSettings(own map[string]string) []setting {
	cluster := b.engine.BrokerConfigs()
	var list []setting
	for _, def := range engine.TopicConfigDefs() {
		s := setting{def: def}
		if v, ok := own[def.Name]; ok {
			s.synonyms = append(s.synonyms, synonym{def.Name, v, kmsg.ConfigSourceDynamicTopicConfig})
		}
		name := def.Name
		if c, ok := clusterDefaultOf[def.Name]; ok {
			name = c
			if v, ok := cluster[c]; ok {
				s.synonyms = append(s.synonyms, synonym{c, v, kmsg.ConfigSourceDynamicDefaultBrokerConfig})
			}
		}
		s.synonyms = append(s.synonyms, synonym{name, def.Default, kmsg.ConfigSourceDefaultConfig})
		list = append(list, s.effective())
	}
	return list
}

func (s setting) effective() setting {
	s.value, s.source = s.synonyms[0].value, s.synonyms[0].source
	return s
}

// brokerSettings are the cluster-level configs and what is fixed at the start. dynamicOnly leaves the fixed ones out.
func (b *Broker) brokerSettings(dynamicOnly bool) []setting {
	set := b.engine.BrokerConfigs()
	var list []setting
	for _, def := range engine.BrokerConfigDefs() {
		s := setting{def: def}
		if v, ok := set[def.Name]; ok {
			s.synonyms = append(s.synonyms, synonym{def.Name, v, kmsg.ConfigSourceDynamicDefaultBrokerConfig})
		} else if dynamicOnly {
			continue
		}
		s.synonyms = append(s.synonyms, synonym{def.Name, def.Default, kmsg.ConfigSourceDefaultConfig})
		if v, ok := b.startValue(def.Name); ok {
			s.synonyms[len(s.synonyms)-1] = synonym{def.Name, v, kmsg.ConfigSourceStaticBrokerConfig}
		}
		list = append(list, s.effective())
	}
	if dynamicOnly {
		return list
	}
	advertised := "PLAINTEXT://" + b.host + ":" + strconv.Itoa(int(b.port))
	for _, fixed := range [][3]string{
		{"advertised.listeners", "string", advertised},
		{"broker.id", "int", strconv.Itoa(int(b.o.NodeID))},
		{"default.replication.factor", "int", "1"},
		{"listeners", "string", "PLAINTEXT://" + b.Addr()},
		{"max.connections", "int", strconv.Itoa(b.o.MaxConnections)},
		{"max.connections.per.ip", "int", strconv.Itoa(b.o.MaxConnectionsPerIP)},
		{"node.id", "int", strconv.Itoa(int(b.o.NodeID))},
		{"offsets.topic.replication.factor", "int", "1"},
		{"queued.max.request.bytes", "long", strconv.FormatInt(b.o.MemoryBudget, 10)},
		{"socket.request.max.bytes", "int", strconv.Itoa(produceMaxFrame)},
	} {
		s := setting{def: engine.ConfigDef{Name: fixed[0], Type: meta.ConfigType(fixed[1])}, readOnly: true}
		s.synonyms = []synonym{{fixed[0], fixed[2], kmsg.ConfigSourceStaticBrokerConfig}}
		list = append(list, s.effective())
	}
	slices.SortFunc(list, func(a, b setting) int { return strings.Compare(a.def.Name, b.def.Name) })
	return list
}

// startValue is a cluster-level config given to this process.
func (b *Broker) startValue(name string) (string, bool) {
	switch name {
	case "auto.create.topics.enable":
		return strconv.FormatBool(b.o.AutoCreateTopics), true
	case "num.partitions":
		return strconv.Itoa(int(b.o.DefaultPartitions)), true
	}
	return "", false
}

// createdConfigs are what CreateTopics answers.
func (b *Broker) createdConfigs(own map[string]string) []kmsg.CreateTopicsResponseTopicConfig {
	var list []kmsg.CreateTopicsResponseTopicConfig
	for _, s := range b.topicSettings(own) {
		c := kmsg.NewCreateTopicsResponseTopicConfig()
		c.Name, c.Value, c.Source = s.def.Name, &s.value, int8(s.source)
		list = append(list, c)
	}
	return list
}

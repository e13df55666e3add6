package meta

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// ConfigType is the type of a config's value, in Kafka's terms.
type ConfigType string

// The types in use.
const (
	TypeInt    ConfigType = "int"
	TypeLong   ConfigType = "long"
	TypeBool   ConfigType = "boolean"
	TypeDouble ConfigType = "double"
	TypeString ConfigType = "string"
	TypeList   ConfigType = "list"
)

// ConfigDef describes one config.
type ConfigDef struct {
	Name    string
	Type    ConfigType
	Default string
	Min     float64  // for numbers
	Allowed []string // for strings and lists; empty = anything
	Doc     string
}

func table(defs ...ConfigDef) map[string]ConfigDef {
	m := make(map[string]ConfigDef, len(defs))
	for _, d := range defs {
		m[d.Name] = d
	}
	return m
}

func number(name string, t ConfigType, def string, least float64, doc string) ConfigDef {
	return ConfigDef{Name: name, Type: t, Default: def, Min: least, Doc: doc}
}

func choice(name, def string, allowed []string, doc string) ConfigDef {
	return ConfigDef{Name: name, Type: TypeString, Default: def, Allowed: allowed, Doc: doc}
}

// topicConfigs are the topic settings we accept. Those that mean nothing here (segment sizes, in-sync replicas) are kept
// because tools set them; the comment says so in Doc.
var topicConfigs = table(
	ConfigDef{Name: "cleanup.policy", Type: TypeList, Default: "delete", Allowed: []string{"delete", "compact"}, Doc: "What happens to old records."},
	// A recompressing broker would have to decode every batch.
	choice("compression.type", "producer", []string{"producer"}, "Only producer: batches are stored as they come."),
	choice("message.timestamp.type", "CreateTime", []string{"CreateTime", "LogAppendTime"}, "Whose clock stamps the records."),
	number("retention.ms", TypeLong, "604800000", -1, "Age at which records are deleted; -1 = never."),
	number("retention.bytes", TypeLong, "-1", -1, "Size of a partition above which its oldest records are deleted; -1 = never."),
	number("max.message.bytes", TypeInt, "1048588", 0, "Largest record batch accepted."),
	number("delete.retention.ms", TypeLong, "86400000", 0, "How long tombstones stay in a compacted topic."),
	number("min.compaction.lag.ms", TypeLong, "0", 0, "Age before which a record is not compacted."),
	number("max.compaction.lag.ms", TypeLong, "9223372036854775807", 1, "Age after which a record must be compacted."),
	number("message.timestamp.before.max.ms", TypeLong, "9223372036854775807", 0, "How far in the past a timestamp may lie."),
	number("message.timestamp.after.max.ms", TypeLong, "9223372036854775807", 0, "How far in the future a timestamp may lie."),
	number("min.cleanable.dirty.ratio", TypeDouble, "0.5", 0, "Share of uncompacted bytes that starts a compaction."),
	number("min.insync.replicas", TypeInt, "1", 1, "Accepted; one replica is always in sync."),
	number("segment.bytes", TypeInt, "1073741824", 14, "Accepted; log segments are shared by all partitions."),
	number("segment.ms", TypeLong, "604800000", 1, "Accepted; log segments are shared by all partitions."),
	number("segment.jitter.ms", TypeLong, "0", 0, "Accepted; unused."),
	number("segment.index.bytes", TypeInt, "10485760", 4, "Accepted; unused."),
	number("index.interval.bytes", TypeInt, "4096", 0, "Accepted; unused."),
	number("file.delete.delay.ms", TypeLong, "60000", 0, "Accepted; unused."),
	number("flush.messages", TypeLong, "9223372036854775807", 1, "Accepted; the log is flushed per group commit."),
	number("flush.ms", TypeLong, "9223372036854775807", 0, "Accepted; the log is flushed per group commit."),
	number("local.retention.ms", TypeLong, "-2", -2, "Accepted; the local log is a shared ring."),
	number("local.retention.bytes", TypeLong, "-2", -2, "Accepted; the local log is a shared ring."),
	ConfigDef{Name: "remote.storage.enable", Type: TypeBool, Default: "true", Allowed: []string{"true"}, Doc: "Every topic tiers."},
	// Our own: Kafka's brokers never wait for an object store.
	choice("backpressure", "throttle", []string{"throttle", "fail_fast"}, "What producers meet while the local log is full because the object store takes too little: throttle slows them down and makes them wait, fail_fast refuses at once where throttle would begin to slow."),
	ConfigDef{Name: "preallocate", Type: TypeBool, Default: "false", Doc: "Accepted; unused."},
	ConfigDef{Name: "unclean.leader.election.enable", Type: TypeBool, Default: "false", Doc: "Accepted; unused."},
	ConfigDef{Name: "leader.replication.throttled.replicas", Type: TypeList, Doc: "Accepted; unused."},
	ConfigDef{Name: "follower.replication.throttled.replicas", Type: TypeList, Doc: "Accepted; unused."},
)

// brokerConfigs are the dynamic cluster-level settings; all but the first two are defaults for topics.
var brokerConfigs = table(
	number("message.max.bytes", TypeInt, "1048588", 0, "Default of max.message.bytes."),
	ConfigDef{Name: "auto.create.topics.enable", Type: TypeBool, Default: "true", Doc: "Create topics that clients ask for."},
	number("num.partitions", TypeInt, "1", 1, "Partitions of topics created automatically."),
	number("log.retention.ms", TypeLong, "604800000", -1, "Default of retention.ms."),
	number("log.retention.bytes", TypeLong, "-1", -1, "Default of retention.bytes."),
	ConfigDef{Name: "log.cleanup.policy", Type: TypeList, Default: "delete", Allowed: []string{"delete", "compact"}, Doc: "Default of cleanup.policy."},
	choice("log.message.timestamp.type", "CreateTime", []string{"CreateTime", "LogAppendTime"}, "Default of message.timestamp.type."),
	number("producer.id.expiration.ms", TypeInt, "86400000", 1, "How long an idle producer's sequences are remembered."),
	number("group.min.session.timeout.ms", TypeInt, "6000", 1, "Smallest session timeout a member may ask for."),
	number("group.max.session.timeout.ms", TypeInt, "1800000", 1, "Largest session timeout a member may ask for."),
	number("group.initial.rebalance.delay.ms", TypeInt, "3000", 0, "How long the first rebalance of an empty group waits for members."),
	number("group.consumer.session.timeout.ms", TypeInt, "45000", 300, "How long a member of a KIP-848 group may be silent."),
	number("group.consumer.heartbeat.interval.ms", TypeInt, "5000", 100, "How often members of a KIP-848 group are told to speak."),
	number("transaction.max.timeout.ms", TypeInt, "900000", 1, "Longest transaction timeout a client may ask for."),
	number("transactional.id.expiration.ms", TypeInt, "604800000", 1, "How long an idle transactional id is remembered."),
	number("offsets.retention.minutes", TypeInt, "10080", 1, "How long offsets of an empty group are kept."),
)

// TopicConfigs are the topic settings, sorted by name.
func TopicConfigs() []ConfigDef { return sorted(topicConfigs) }

// BrokerConfigs are the dynamic cluster-level settings, sorted by name.
func BrokerConfigs() []ConfigDef { return sorted(brokerConfigs) }

func sorted(m map[string]ConfigDef) []ConfigDef {
	out := make([]ConfigDef, 0, len(m))
	for _, d := range m {
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b ConfigDef) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func validate(defs map[string]ConfigDef, name, value string) error {
	d, ok := defs[name]
	if !ok {
		return fmt.Errorf("unknown config %s: %w", name, ErrInvalidConfig)
	}
	if err := d.check(strings.TrimSpace(value)); err != nil {
		return fmt.Errorf("config %s = %q: %v: %w", name, value, err, ErrInvalidConfig)
	}
	return nil
}

func (d ConfigDef) check(v string) error {
	switch d.Type {
	case TypeInt, TypeLong, TypeDouble:
		return d.checkNumber(v)
	case TypeBool:
		if v != "true" && v != "false" {
			return fmt.Errorf("use true or false")
		}
	case TypeList:
		for part := range strings.SplitSeq(v, ",") {
			if err := d.allowed(strings.TrimSpace(part)); err != nil {
				return err
			}
		}
		return nil
	}
	return d.allowed(v)
}

func (d ConfigDef) allowed(v string) error {
	if len(d.Allowed) > 0 && !slices.Contains(d.Allowed, v) {
		return fmt.Errorf("use %s", strings.Join(d.Allowed, ", "))
	}
	return nil
}

func (d ConfigDef) checkNumber(v string) error {
	var f float64
	var err error
	switch d.Type {
	case TypeDouble:
		f, err = strconv.ParseFloat(v, 64)
	default:
		bits := 64
		if d.Type == TypeInt {
			bits = 32
		}
		var n int64
		n, err = strconv.ParseInt(v, 10, bits)
		f = float64(n)
	}
	if err != nil || math.IsNaN(f) {
		return fmt.Errorf("not a number of type %s", d.Type)
	}
	if f < d.Min {
		return fmt.Errorf("smaller than %g", d.Min)
	}
	return nil
}

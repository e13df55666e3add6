package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/streamkeeper-io/streamkeeper/engine/meta"
)

// topicState is what partitions share: the topic and its resolved configs.
type topicState struct {
	id   TopicID
	name string
	conf atomic.Pointer[topicConf]
	gone atomic.Bool
}

// topicConf are the configs the engine acts on, topic over cluster over default.
type topicConf struct {
	appendTime bool
	failFast   bool // backpressure=fail_fast
	deletes    bool // cleanup.policy contains delete
	compacts   bool // … or compact
	dirtyRatio float64
	// In milliseconds.
	deleteRetentionMs, minCompactionLagMs, maxCompactionLagMs int64
	retentionMs                                               int64
	retentionBytes                                            int64
}

func resolve(t *meta.Topic, broker map[string]string) *topicConf {
	get := func(topic, cluster, def string) string {
		if v, ok := t.Configs[topic]; ok {
			return strings.TrimSpace(v)
		}
		if v, ok := broker[cluster]; ok {
			return strings.TrimSpace(v)
		}
		return def
	}
	number := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return -1 // meta validates; keeping data is the safe reading of a value from elsewhere
		}
		return n
	}
	ratio := func(s string) float64 {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return 1
		}
		return f
	}
	return &topicConf{
		appendTime: get("message.timestamp.type", "log.message.timestamp.type", "CreateTime") == "LogAppendTime",
		failFast:   get(BackpressureConfig, "", "") == FailFast,
		deletes:    strings.Contains(get("cleanup.policy", "log.cleanup.policy", "delete"), "delete"),
		compacts:   strings.Contains(get("cleanup.policy", "log.cleanup.policy", "delete"), "compact"),
		dirtyRatio: ratio(get("min.cleanable.dirty.ratio", "", "0.5")),

		deleteRetentionMs:  number(get("delete.retention.ms", "", "86400000")),
		minCompactionLagMs: number(get("min.compaction.lag.ms", "", "0")),
		maxCompactionLagMs: number(get("max.compaction.lag.ms", "", "9223372036854775807")),
		retentionMs:        number(get("retention.ms", "log.retention.ms", "604800000")),
		retentionBytes:     number(get("retention.bytes", "log.retention.bytes", "-1")),
	}
}

// Metadata methods block on one fsync; the context is checked before it, not during.

// ClusterID names the cluster for ever.
func (e *Engine) ClusterID() string { return e.meta.ClusterID() }

// CreateTopic creates a topic; it is durable on return.
func (e *Engine) CreateTopic(ctx context.Context, name string, partitions int32, configs map[string]string) (Topic, error) {
	return e.createTopic(ctx, name, partitions, configs, false)
}

// CheckTopic validates what CreateTopic would be asked without creating anything.
func (e *Engine) CheckTopic(name string, partitions int32, configs map[string]string) error {
	if err := meta.CheckTopic(name, partitions, configs); err != nil {
		return metaErr(err)
	}
	if _, ok := e.Topic(name); ok {
		return fmt.Errorf("topic %s: %w", name, ErrTopicExists)
	}
	return nil
}

func (e *Engine) createTopic(ctx context.Context, name string, partitions int32, configs map[string]string, internal bool) (Topic, error) {
	if err := e.usable(ctx); err != nil {
		return Topic{}, err
	}
	defer e.leave()
	t, err := e.meta.CreateTopic(name, partitions, configs, internal)
	if err != nil {
		return Topic{}, metaErr(err)
	}
	e.topics.put(t)
	e.event(EventTopicCreated, "topic "+name+" created", map[string]any{"topic": name, "partitions": int(partitions)})
	return publicTopic(t), nil
}

// DeleteTopic deletes a topic; its name is free on return, its data goes in the background.
func (e *Engine) DeleteTopic(ctx context.Context, name string) error {
	if err := e.usable(ctx); err != nil {
		return err
	}
	defer e.leave()
	t, err := e.meta.DeleteTopic(name)
	if err != nil {
		return metaErr(err)
	}
	e.topics.drop(t)
	e.wake()
	e.event(EventTopicDeleted, "topic "+name+" deleted", map[string]any{"topic": name})
	return nil
}

// AddPartitions raises a topic's partition count to total.
func (e *Engine) AddPartitions(ctx context.Context, name string, total int32) error {
	if err := e.usable(ctx); err != nil {
		return err
	}
	defer e.leave()
	t, err := e.meta.AddPartitions(name, total)
	if err != nil {
		return metaErr(err)
	}
	e.topics.put(t)
	e.event(EventPartitionsAdded, fmt.Sprintf("topic %s has %d partitions", name, total), map[string]any{"topic": name, "partitions": int(total)})
	return nil
}

// AlterTopicConfigs sets and unsets configs of a topic in one step.
func (e *Engine) AlterTopicConfigs(ctx context.Context, name string, set map[string]string, unset []string) error {
	if err := e.usable(ctx); err != nil {
		return err
	}
	defer e.leave()
	t, err := e.meta.SetConfigs(name, set, unset)
	if err != nil {
		return metaErr(err)
	}
	e.topics.put(t)
	e.configEvent("topic", name, set, unset)
	return nil
}

// BrokerConfigs are the cluster-level configs that were set.
func (e *Engine) BrokerConfigs() map[string]string { return maps.Clone(e.meta.Snapshot().Broker) }

// AlterBrokerConfigs sets and unsets cluster-level configs in one step.
func (e *Engine) AlterBrokerConfigs(ctx context.Context, set map[string]string, unset []string) error {
	if err := e.usable(ctx); err != nil {
		return err
	}
	defer e.leave()
	if err := e.meta.SetBroker(set, unset); err != nil {
		return metaErr(err)
	}
	for _, t := range e.meta.Snapshot().Topics {
		e.topics.put(t)
	}
	e.configEvent("broker", "", set, unset)
	return nil
}

func (e *Engine) configEvent(kind, name string, set map[string]string, unset []string) {
	keys := append(slices.Sorted(maps.Keys(set)), unset...)
	e.event(EventConfigChanged, strings.TrimSpace(kind+" "+name)+": "+strings.Join(keys, ", "),
		map[string]any{"kind": kind, "name": name, "set": maps.Clone(set), "unset": slices.Clone(unset)})
}

// Topic looks a topic up by name.
func (e *Engine) Topic(name string) (Topic, bool) {
	t, ok := e.meta.Snapshot().Topic(name)
	if !ok {
		return Topic{}, false
	}
	return publicTopic(t), true
}

// TopicByID looks a topic up by id.
func (e *Engine) TopicByID(id TopicID) (Topic, bool) {
	t, ok := e.meta.Snapshot().TopicByID(meta.ID(id))
	if !ok {
		return Topic{}, false
	}
	return publicTopic(t), true
}

// Topics is a snapshot of all topics, sorted by name.
func (e *Engine) Topics() []Topic {
	s := e.meta.Snapshot()
	out := make([]Topic, len(s.Topics))
	for i, t := range s.Topics {
		out[i] = publicTopic(t)
	}
	return out
}

// ConfigDef describes a config that may be set.
type ConfigDef = meta.ConfigDef

// TopicConfigDefs are the topic configs, sorted by name.
func TopicConfigDefs() []ConfigDef { return meta.TopicConfigs() }

// BrokerConfigDefs are the cluster-level configs, sorted by name.
func BrokerConfigDefs() []ConfigDef { return meta.BrokerConfigs() }

func publicTopic(t *meta.Topic) Topic {
	return Topic{
		ID: TopicID(t.ID), Name: t.Name, Partitions: t.Partitions, Configs: t.Configs, CreatedAt: t.CreatedAt, Internal: t.Internal,
	}
}

// pidBlock hands out producer ids from blocks, so that not every producer costs an fsync.
type pidBlock struct {
	mu         sync.Mutex
	next, last int64
}

const pidBlockSize = 1000

// AllocateProducerID returns an id that was never given before, also across crashes.
func (e *Engine) AllocateProducerID(ctx context.Context) (int64, error) {
	if err := e.usable(ctx); err != nil {
		return 0, err
	}
	defer e.leave()
	b := &e.pids
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == b.last {
		first, err := e.meta.ProducerIDs(pidBlockSize)
		if err != nil {
			return 0, metaErr(err)
		}
		b.next, b.last = first, first+pidBlockSize
	}
	b.next++
	return b.next - 1, nil
}

// usable is enter with the caller's deadline checked first.
func (e *Engine) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return e.enter()
}

// metaErr marks what is not the caller's mistake as a storage failure.
func metaErr(err error) error {
	for _, mistake := range []error{ErrUnknownTopic, ErrTopicExists, ErrInvalidTopic, ErrInvalidConfig, ErrInvalidPartitions} {
		if errors.Is(err, mistake) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrStorage, err)
}

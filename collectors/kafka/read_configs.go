package kafka

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	configsEvery  = 30 * time.Second
	configsAtOnce = 500 // topics
	dynamicAtOnce = 5   // brokers
	maxConfig     = 200 // characters of a value; lists of throttled replicas are longer
)

// hiddenValue stands for the value of what holds secrets: brokers do not tell it, and we would not.
const hiddenValue = "(not shown)"

// topicConfigs are the configurations of a topic that decide what happens to its records.
var topicConfigs = []string{
	"cleanup.policy", "retention.ms", "retention.bytes", "segment.bytes", "segment.ms", "min.insync.replicas",
	"max.message.bytes", "message.timestamp.type", "remote.storage.enable", "local.retention.ms", "compression.type",
	"remote.copy.lag.ms", "remote.copy.lag.bytes",
}

// readConfigs reads the configurations of some topics and brokers, in turn.
func (c *Collector) readConfigs(ctx context.Context, s *snapshot) {
	if c.cache.configs.due(s.at, configsEvery) {
		c.readTopicConfigs(ctx, s)
	}
	if c.o.Kind != "embedded" && c.cache.dynamic.due(s.at, configsEvery) { // ours has none that can be set while it runs
		c.readDynamicConfigs(ctx, s)
	}
}

func (c *Collector) readTopicConfigs(ctx context.Context, s *snapshot) {
	if len(s.topics) == 0 || c.budget.Wait(ctx) != nil {
		return // next round
	}
	names := topicConfigs
	if c.o.MoreConfigs != nil {
		names = slices.Concat(topicConfigs, c.o.MoreConfigs())
		slices.Sort(names)
		names = slices.Compact(names)
	}
	before := c.cache.configs
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, topic := range c.cache.configs.next(s.at, sortedKeys(s.topics), configsAtOnce) {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, topic, names
		req.Resources = append(req.Resources, r)
	}
	answer, err := c.client.Request(ctx, req)
	if err != nil {
		c.cache.configs = before
		s.fail(fmt.Errorf("asking for topic configurations: %w", err))
		return
	}
	s.configs = map[string]map[string]string{}
	denied := false
	for _, r := range answer.(*kmsg.DescribeConfigsResponse).Resources {
		denied = denied || r.ErrorCode == kerr.TopicAuthorizationFailed.Code
		if r.ErrorCode != 0 { // configurations are a help, not a need
			continue
		}
		values := make(map[string]string, len(r.Configs))
		for _, v := range r.Configs {
			if v.Value != nil && !v.IsSensitive {
				values[v.Name] = *v.Value
			}
		}
		s.configs[r.ResourceName] = values
	}
	c.denials.set(seesTopicConfigs, denied)
	if denied && len(s.configs) == 0 {
		c.cache.configs.rest(s.at, configsEvery)
	}
}

// readDynamicConfigs reads what was set on brokers while they run: on all of them, and on the next few.
func (c *Collector) readDynamicConfigs(ctx context.Context, s *snapshot) {
	brokers := c.cache.dynamic.next(s.at, sortedKeys(s.brokers), dynamicAtOnce)
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, name := range append([]string{""}, nodeNames(brokers)...) {
		if c.budget.Wait(ctx) != nil {
			return
		}
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, name
		req.Resources = append(req.Resources, r)
	}
	s.dynamic = map[string]map[string]string{}
	denied := false
	for _, shard := range c.client.RequestSharded(ctx, req) {
		if shard.Err != nil {
			continue // a broker that is away is told of elsewhere
		}
		for _, r := range shard.Resp.(*kmsg.DescribeConfigsResponse).Resources {
			denied = denied || r.ErrorCode == kerr.ClusterAuthorizationFailed.Code
			if r.ErrorCode == 0 && r.ResourceType == kmsg.ConfigResourceTypeBroker {
				s.dynamic[r.ResourceName] = dynamicOf(r)
			}
		}
	}
	c.denials.set(seesDynamicConfigs, denied)
	if denied {
		c.cache.dynamic.rest(s.at, configsEvery)
	}
}

func nodeNames(ids []int32) []string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = itoa(id)
	}
	return names
}

// dynamicOf are the values that were set on this very resource; what it inherits is told of where it was set.
func dynamicOf(r kmsg.DescribeConfigsResponseResource) map[string]string {
	source := kmsg.ConfigSourceDynamicBrokerConfig
	if _, err := strconv.Atoi(r.ResourceName); err != nil {
		source = kmsg.ConfigSourceDynamicDefaultBrokerConfig
	}
	values := map[string]string{}
	for _, v := range r.Configs {
		switch {
		case v.Source != source:
		case v.IsSensitive || v.Value == nil:
			values[v.Name] = hiddenValue
		case len(*v.Value) > maxConfig:
			values[v.Name] = strings.ToValidUTF8((*v.Value)[:maxConfig], "") + "…"
		default:
			values[v.Name] = *v.Value
		}
	}
	return values
}

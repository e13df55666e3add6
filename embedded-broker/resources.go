package broker

import (
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The configs of one group of the consumer protocol.
const (
	groupSession   = "consumer.session.timeout.ms"
	groupHeartbeat = "consumer.heartbeat.interval.ms"
)

// resourceKind is what the engine calls a type of resource; ok is false for topics, brokers and unknown ones.
func resourceKind(of kmsg.ConfigResourceType) (kind string, source kmsg.ConfigSource, ok bool) {
	switch of {
	case kmsg.ConfigResourceTypeGroupConfig:
		return engine.GroupResource, kmsg.ConfigSourceGroupConfig, true
	case kmsg.ConfigResourceTypeClientMetrics:
		return engine.ClientMetricsResource, kmsg.ConfigSourceClientMetricsConfig, true
	}
	return "", 0, false
}

// clusterValueOf is the cluster's word on a group's config, where it has one.
var clusterValueOf = map[string]string{
	groupSession:   "group.consumer.session.timeout.ms",
	groupHeartbeat: "group.consumer.heartbeat.interval.ms",
}

// resourceSettings are all configs of a group or a client metrics subscription, which need not exist yet.
func (b *Broker) resourceSettings(kind string, source kmsg.ConfigSource, name string) ([]setting, error) {
	if name == "" {
		return nil, fail(codeInvalidRequest, "name a %s: there are no configs of all of them", kind)
	}
	own, cluster := b.engine.ResourceConfigs(kind, name), b.engine.BrokerConfigs()
	var list []setting
	for _, def := range engine.ResourceConfigDefs(kind) {
		s := setting{def: def}
		if v, ok := own[def.Name]; ok {
			s.synonyms = append(s.synonyms, synonym{def.Name, v, source})
		}
		if v, ok := cluster[clusterValueOf[def.Name]]; ok {
			s.synonyms = append(s.synonyms, synonym{clusterValueOf[def.Name], v, kmsg.ConfigSourceDynamicDefaultBrokerConfig})
		}
		s.synonyms = append(s.synonyms, synonym{def.Name, b.resourceDefault(def), kmsg.ConfigSourceDefaultConfig})
		list = append(list, s.effective())
	}
	return list, nil
}

// resourceDefault is a config's default, or what this process was given for it at its start.
func (b *Broker) resourceDefault(def engine.ConfigDef) string {
	switch def.Name {
	case groupSession:
		return formatMillis(b.groups.consumerSession)
	case groupHeartbeat:
		return formatMillis(b.groups.consumerHeartbeat)
	}
	return def.Default
}

// alterResource changes a group's or a client metrics subscription's configs; dry only checks.
func (b *Broker) alterResource(kind, name string, c configChange, dry bool) error {
	if err := checkConfigs(engine.ResourceConfigDefs(kind), c); err != nil {
		return err
	}
	if err := b.engine.CheckResourceConfigs(kind, name, c.set, c.unset); err != nil {
		return err
	}
	var err error
	switch kind {
	case engine.GroupResource:
		err = b.checkGroupTimeouts(name, c)
	case engine.ClientMetricsResource:
		_, err = parseSubscription(c.set)
	}
	if err != nil {
		return err
	}
	if dry {
		return nil
	}
	return b.engine.AlterResourceConfigs(b.ctx, kind, name, c.set, c.unset)
}

// checkGroupTimeouts refuses heartbeats so rare that every session ends between two of them.
func (b *Broker) checkGroupTimeouts(name string, c configChange) error {
	o := b.groups.consumerOptions(name)
	for config, of := range map[string]*time.Duration{groupSession: &o.SessionTimeout, groupHeartbeat: &o.HeartbeatInterval} {
		if d := millis(c.set[config]); d > 0 {
			*of = d
		}
	}
	if o.HeartbeatInterval >= o.SessionTimeout {
		return fail(codeInvalidConfig, "%s (%s) must be less than %s (%s)", groupHeartbeat, o.HeartbeatInterval, groupSession, o.SessionTimeout)
	}
	return nil
}

package broker

// IncrementalAlterConfigs, key 44, versions 0–1. Deviations: a broker's configs are those of the cluster, whichever of the two
// is named; brokers' loggers have none.

import (
	"errors"
	"slices"
	"strings"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func incrementalAlterConfigsAPI() api {
	return api{key: 44, min: 0, max: 1, handle: handleIncrementalAlterConfigs}
}

func handleIncrementalAlterConfigs(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.IncrementalAlterConfigsRequest)
	resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
	for _, res := range req.Resources {
		out := kmsg.NewIncrementalAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = res.ResourceType, res.ResourceName
		out.ErrorCode, out.ErrorMessage = codeAndText(b.alterIncrementally(res, req.ValidateOnly))
		resp.Resources = append(resp.Resources, out)
	}
	reply(resp)
}

func (b *Broker) alterIncrementally(res kmsg.IncrementalAlterConfigsRequestResource, dry bool) error {
	current, err := b.settingsOf(res.ResourceType, res.ResourceName)
	if err != nil {
		return err
	}
	change := configChange{set: map[string]string{}}
	for _, c := range res.Configs {
		if change.has(c.Name) {
			return fail(codeInvalidRequest, "config %s is changed twice", c.Name)
		}
		if c.Op != kmsg.IncrementalAlterConfigOpDelete && c.Value == nil {
			return fail(codeInvalidRequest, "config %s has no value", c.Name)
		}
		switch c.Op {
		case kmsg.IncrementalAlterConfigOpSet:
			change.set[c.Name] = *c.Value
		case kmsg.IncrementalAlterConfigOpDelete:
			change.unset = append(change.unset, c.Name)
		case kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
			v, err := editList(current, c)
			if err != nil {
				return err
			}
			change.set[c.Name] = v
		default:
			return fail(codeInvalidRequest, "operation %d is not known", c.Op)
		}
	}
	return b.applyConfigs(res.ResourceType, res.ResourceName, change, dry)
}

// editList appends to or subtracts from a config that is a list.
func editList(current []setting, c kmsg.IncrementalAlterConfigsRequestResourceConfig) (string, error) {
	at := slices.IndexFunc(current, func(s setting) bool { return s.def.Name == c.Name })
	if at < 0 || string(current[at].def.Type) != "list" {
		return "", fail(codeInvalidConfig, "config %s is no list: only set and delete apply", c.Name)
	}
	have := splitList(current[at].value)
	for _, v := range splitList(*c.Value) {
		have = slices.DeleteFunc(have, func(h string) bool { return h == v })
		if c.Op == kmsg.IncrementalAlterConfigOpAppend {
			have = append(have, v)
		}
	}
	return strings.Join(have, ","), nil
}

func splitList(s string) []string {
	var list []string
	for v := range strings.SplitSeq(s, ",") {
		if v = strings.TrimSpace(v); v != "" {
			list = append(list, v)
		}
	}
	return list
}

// configChange is what to set and what to return to its default.
type configChange struct {
	set   map[string]string
	unset []string
}

func (c *configChange) has(name string) bool {
	_, ok := c.set[name]
	return ok || slices.Contains(c.unset, name)
}

// applyConfigs changes a topic's or the cluster's configs; dry only checks.
func (b *Broker) applyConfigs(kind kmsg.ConfigResourceType, name string, c configChange, dry bool) error {
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		if err := checkConfigs(engine.TopicConfigDefs(), c); err != nil {
			return err
		}
		if dry {
			err := b.engine.CheckTopic(name, 1, c.set)
			if errors.Is(err, engine.ErrTopicExists) {
				return nil // it has nothing else to complain of
			}
			return err
		}
		return b.engine.AlterTopicConfigs(b.ctx, name, c.set, c.unset)
	case kmsg.ConfigResourceTypeBroker:
		if err := checkConfigs(engine.BrokerConfigDefs(), c); err != nil || dry {
			return err
		}
		err := b.engine.AlterBrokerConfigs(b.ctx, c.set, c.unset)
		b.refreshSettings()
		return err
	}
	if kind, _, ok := resourceKind(kind); ok {
		return b.alterResource(kind, name, c, dry)
	}
	return fail(codeInvalidRequest, "configs of resource type %d cannot be changed", kind)
}

func checkConfigs(defs []engine.ConfigDef, c configChange) error {
	for name := range c.set {
		if !slices.ContainsFunc(defs, func(d engine.ConfigDef) bool { return d.Name == name }) {
			return fail(codeInvalidConfig, "config %s is not known", name)
		}
	}
	for _, name := range c.unset {
		if !slices.ContainsFunc(defs, func(d engine.ConfigDef) bool { return d.Name == name }) {
			return fail(codeInvalidConfig, "config %s is not known", name)
		}
	}
	return nil
}

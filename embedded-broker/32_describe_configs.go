package broker

// DescribeConfigs, key 32, versions 0–4. Deviations: brokers' loggers have no configs.

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func describeConfigsAPI() api { return api{key: 32, min: 0, max: 4, handle: handleDescribeConfigs} }

func handleDescribeConfigs(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.DescribeConfigsRequest)
	resp := kmsg.NewPtrDescribeConfigsResponse()
	for _, ask := range req.Resources {
		out := kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName = ask.ResourceType, ask.ResourceName
		list, err := b.settingsOf(ask.ResourceType, ask.ResourceName)
		out.ErrorCode, out.ErrorMessage = codeAndText(err)
		out.Configs = []kmsg.DescribeConfigsResponseResourceConfig{}
		for _, s := range list {
			if ask.ConfigNames == nil || slices.Contains(ask.ConfigNames, s.def.Name) {
				out.Configs = append(out.Configs, s.described(req.IncludeSynonyms, req.IncludeDocumentation))
			}
		}
		resp.Resources = append(resp.Resources, out)
	}
	reply(resp)
}

// settingsOf lists the configs of a resource; a broker's name is its number, and "" stands for all brokers.
func (b *Broker) settingsOf(kind kmsg.ConfigResourceType, name string) ([]setting, error) {
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		if t, ok := b.engine.Topic(name); ok {
			return b.topicSettings(t.Configs), nil
		}
		if err := b.engine.CheckTopic(name, 1, nil); err != nil {
			return nil, err
		}
		return nil, fail(codeUnknownTopic, "topic %s does not exist", name)
	case kmsg.ConfigResourceTypeBroker:
		return b.brokerSettings(name == ""), b.checkBroker(name, true)
	case kmsg.ConfigResourceTypeBrokerLogger:
		return nil, b.checkBroker(name, false)
	}
	if kind, source, ok := resourceKind(kind); ok {
		return b.resourceSettings(kind, source, name)
	}
	return nil, fail(codeInvalidRequest, "config resource type %d is not known", kind)
}

func (b *Broker) checkBroker(name string, all bool) error {
	if name == strconv.Itoa(int(b.o.NodeID)) || all && name == "" {
		return nil
	}
	return fail(codeInvalidRequest, "broker %q: this is broker %d", name, b.o.NodeID)
}

func (s *setting) described(synonyms, doc bool) kmsg.DescribeConfigsResponseResourceConfig {
	c := kmsg.NewDescribeConfigsResponseResourceConfig()
	c.Name, c.Value, c.ReadOnly, c.Source = s.def.Name, &s.value, s.readOnly, s.source
	c.IsDefault = s.source == kmsg.ConfigSourceDefaultConfig
	c.ConfigType = configTypes[string(s.def.Type)]
	if synonyms {
		for _, y := range s.synonyms {
			o := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
			o.Name, o.Value, o.Source = y.name, &y.value, y.source
			c.ConfigSynonyms = append(c.ConfigSynonyms, o)
		}
	}
	if doc && s.def.Doc != "" {
		c.Documentation = &s.def.Doc
	}
	return c
}

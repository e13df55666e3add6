package broker

// AlterConfigs (legacy), key 33, versions 0–2: what is not named returns to its default. Deviations: as for
// IncrementalAlterConfigs.

import "github.com/twmb/franz-go/pkg/kmsg"

func alterConfigsAPI() api { return api{key: 33, min: 0, max: 2, handle: handleAlterConfigs} }

func handleAlterConfigs(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.AlterConfigsRequest)
	resp := kmsg.NewPtrAlterConfigsResponse()
	for _, res := range req.Resources {
		out := kmsg.NewAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = res.ResourceType, res.ResourceName
		out.ErrorCode, out.ErrorMessage = codeAndText(b.replaceConfigs(res, req.ValidateOnly))
		resp.Resources = append(resp.Resources, out)
	}
	reply(resp)
}

func (b *Broker) replaceConfigs(res kmsg.AlterConfigsRequestResource, dry bool) error {
	current, err := b.settingsOf(res.ResourceType, res.ResourceName)
	if err != nil {
		return err
	}
	change := configChange{set: map[string]string{}}
	for _, c := range res.Configs {
		if change.has(c.Name) {
			return fail(codeInvalidRequest, "config %s is named twice", c.Name)
		}
		if c.Value == nil {
			return fail(codeInvalidRequest, "config %s has no value", c.Name)
		}
		change.set[c.Name] = *c.Value
	}
	for _, s := range current {
		own := s.source == kmsg.ConfigSourceDynamicTopicConfig || s.source == kmsg.ConfigSourceGroupConfig || s.source == kmsg.ConfigSourceClientMetricsConfig || s.source == kmsg.ConfigSourceDynamicDefaultBrokerConfig && res.ResourceType == kmsg.ConfigResourceTypeBroker
		if own && !change.has(s.def.Name) {
			change.unset = append(change.unset, s.def.Name)
		}
	}
	return b.applyConfigs(res.ResourceType, res.ResourceName, change, dry)
}

package broker

// ListConfigResources, key 74, versions 0–1 (version 0: client metrics only). Deviations: none.

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func listConfigResourcesAPI() api {
	return api{key: 74, min: 0, max: 1, handle: handleListConfigResources}
}

func handleListConfigResources(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.ListConfigResourcesRequest)
	resp := kmsg.NewPtrListConfigResourcesResponse()
	resp.ConfigResources = []kmsg.ListConfigResourcesResponseConfigResource{}
	add := func(kind kmsg.ConfigResourceType, name string) {
		resp.ConfigResources = append(resp.ConfigResources, kmsg.ListConfigResourcesResponseConfigResource{Name: name, Type: int8(kind)})
	}
	wanted := func(kind kmsg.ConfigResourceType) bool {
		return r.version >= 1 && (len(req.ResourceTypes) == 0 || slices.Contains(req.ResourceTypes, int8(kind)))
	}
	if wanted(kmsg.ConfigResourceTypeTopic) {
		for _, t := range b.engine.Topics() {
			add(kmsg.ConfigResourceTypeTopic, t.Name)
		}
	}
	for _, kind := range []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger} {
		if wanted(kind) {
			add(kind, strconv.Itoa(int(b.o.NodeID)))
		}
	}
	for _, kind := range []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeClientMetrics, kmsg.ConfigResourceTypeGroupConfig} {
		if wanted(kind) || r.version == 0 && kind == kmsg.ConfigResourceTypeClientMetrics {
			name, _, _ := resourceKind(kind)
			for _, name := range b.engine.ResourceNames(name) {
				add(kind, name)
			}
		}
	}
	reply(resp)
}

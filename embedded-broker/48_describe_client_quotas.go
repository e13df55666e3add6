package broker

// DescribeClientQuotas, key 48, versions 0–1. Deviations: quotas cannot be set, so there are none.

import "github.com/twmb/franz-go/pkg/kmsg"

func describeClientQuotasAPI() api {
	return api{key: 48, min: 0, max: 1, handle: handleDescribeClientQuotas}
}

func handleDescribeClientQuotas(_ *Broker, _ *request, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrDescribeClientQuotasResponse()
	resp.Entries = []kmsg.DescribeClientQuotasResponseEntry{}
	reply(resp)
}

package broker

// DescribeAcls, key 29, versions 1–3. Deviations: there is no authorizer, so it answers SECURITY_DISABLED, as Kafka
// does without one.

import "github.com/twmb/franz-go/pkg/kmsg"

func describeACLsAPI() api { return api{key: 29, min: 1, max: 3, handle: handleDescribeACLs} }

func handleDescribeACLs(_ *Broker, _ *request, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrDescribeACLsResponse()
	resp.ErrorCode, resp.ErrorMessage = codeAndText(fail(codeSecurityDisabled, "no authorizer is configured"))
	reply(resp)
}

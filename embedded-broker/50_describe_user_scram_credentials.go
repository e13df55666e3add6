package broker

// DescribeUserScramCredentials, key 50, version 0. Deviations: there are no users.

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func describeUserSCRAMCredentialsAPI() api {
	return api{key: 50, min: 0, max: 0, handle: handleDescribeUserSCRAMCredentials}
}

func handleDescribeUserSCRAMCredentials(_ *Broker, r *request, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrDescribeUserSCRAMCredentialsResponse()
	for _, u := range r.body.(*kmsg.DescribeUserSCRAMCredentialsRequest).Users {
		out := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
		out.User = u.Name
		out.ErrorCode, out.ErrorMessage = codeAndText(fail(kerr.ResourceNotFound.Code, "there is no user %s", u.Name))
		resp.Results = append(resp.Results, out)
	}
	reply(resp)
}

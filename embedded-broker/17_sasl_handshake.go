package broker

// SaslHandshake, key 17, versions 0–1. Deviations: there is no authentication, so it answers ILLEGAL_SASL_STATE, as Kafka
// does on a plaintext listener.

import "github.com/twmb/franz-go/pkg/kmsg"

func saslHandshakeAPI() api { return api{key: 17, min: 0, max: 1, handle: handleSASLHandshake} }

func handleSASLHandshake(_ *Broker, _ *request, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrSASLHandshakeResponse()
	resp.ErrorCode = codeIllegalSASLState
	reply(resp)
}

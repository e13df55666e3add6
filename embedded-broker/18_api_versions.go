package broker

// ApiVersions, key 18, versions 0–4. Deviations: none.

import (
	"regexp"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func apiVersionsAPI() api { return api{key: keyAPIVersions, min: 0, max: 4, handle: handleAPIVersions} }

// softwareText is what KIP-511 allows a client to call itself.
var softwareText = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]{0,253}[a-zA-Z0-9])?$`)

func handleAPIVersions(b *Broker, r *request, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrApiVersionsResponse()
	if r.downgraded {
		// The client asked for a version we do not know, and retries with one it finds here.
		resp.ErrorCode = codeUnsupportedVersion
		resp.ApiKeys = append(resp.ApiKeys, apiKeyOf(b.apis[keyAPIVersions]))
		reply(resp)
		return
	}
	req := r.body.(*kmsg.ApiVersionsRequest)
	if r.version >= 3 {
		if !softwareText.MatchString(req.ClientSoftwareName) || !softwareText.MatchString(req.ClientSoftwareVersion) {
			resp.ErrorCode = codeInvalidRequest
			reply(resp)
			return
		}
		r.conn.software.Store(&software{req.ClientSoftwareName, req.ClientSoftwareVersion})
	}
	for _, a := range b.apis {
		resp.ApiKeys = append(resp.ApiKeys, apiKeyOf(a))
	}
	announceFeatures(resp)
	slices.SortFunc(resp.ApiKeys, func(a, b kmsg.ApiVersionsResponseApiKey) int { return int(a.ApiKey) - int(b.ApiKey) })
	reply(resp)
}

func apiKeyOf(a *api) kmsg.ApiVersionsResponseApiKey {
	return kmsg.ApiVersionsResponseApiKey{ApiKey: a.key, MinVersion: a.min, MaxVersion: a.max}
}

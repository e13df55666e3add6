package broker

// GetTelemetrySubscriptions, key 71, version 0 (KIP-714). Deviations: without any subscription configured, the metrics that
// serve diagnosis are asked for (ClientMetricsInterval).

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func getTelemetrySubscriptionsAPI() api {
	return api{key: 71, min: 0, max: 0, handle: handleGetTelemetrySubscriptions}
}

// acceptedCodecs are Kafka's, the preferred first: zstd, lz4, gzip, snappy. No compression is always accepted.
var acceptedCodecs = []int8{4, 3, 1, 2}

func handleGetTelemetrySubscriptions(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.GetTelemetrySubscriptionsRequest)
	resp := kmsg.NewPtrGetTelemetrySubscriptionsResponse()
	id := req.ClientInstanceID
	if id == ([16]byte{}) {
		id = newInstanceID()
		resp.ClientInstanceID = id // zero says: as before
	}
	w, code := b.clientMetrics.subscribe(id, r)
	if code != 0 {
		resp.ErrorCode = code
		reply(resp)
		return
	}
	resp.SubscriptionID, resp.AcceptedCompressionTypes = w.id(id), acceptedCodecs
	resp.PushIntervalMillis = int32(w.interval / time.Millisecond)
	resp.TelemetryMaxBytes, resp.DeltaTemporality = maxTelemetryBytes, true
	resp.RequestedMetrics = append([]string{}, w.metrics...)
	reply(resp)
}

// subscribe notes that a client asked what is wanted of it, unless it asks too often.
func (t *clientMetrics) subscribe(id [16]byte, r *request) (wanted, int16) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	c := t.instance(id, r)
	if !c.early && !c.last().IsZero() && tooEarly(now.Sub(c.last()), c.interval) {
		return wanted{}, codeThrottlingQuota
	}
	w := t.want(describeClient(r, id))
	c.got, c.early, c.ended = now, false, false
	c.subscription, c.interval = w.id(id), w.interval
	return w, 0
}

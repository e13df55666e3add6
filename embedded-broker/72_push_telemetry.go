package broker

// PushTelemetry, key 72, version 0 (KIP-714). Deviations: a client that never asked for its subscription is told to
// (UNKNOWN_SUBSCRIPTION_ID); what is over 4 MiB decompressed is TELEMETRY_TOO_LARGE too.

import (
	"bytes"
	"errors"
	"math"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/embedded-broker/otlp"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func pushTelemetryAPI() api { return api{key: 72, min: 0, max: 0, handle: handlePushTelemetry} }

func handlePushTelemetry(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.PushTelemetryRequest)
	resp := kmsg.NewPtrPushTelemetryResponse()
	if resp.ErrorCode = b.clientMetrics.mayPush(req, r); resp.ErrorCode == 0 {
		resp.ErrorCode = b.takePush(req, r)
	}
	b.telemetry.pushes.add(codeName(resp.ErrorCode), 1)
	reply(resp)
}

// mayPush says whether a push comes in time and to the subscription that holds.
func (t *clientMetrics) mayPush(req *kmsg.PushTelemetryRequest, r *request) int16 {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, c := t.now(), t.instances[req.ClientInstanceID]
	switch {
	case req.ClientInstanceID == ([16]byte{}):
		return codeInvalidRequest
	case c == nil:
		return codeUnknownSubscription
	case c.ended:
		return codeInvalidRequest
	// The first push after a subscription may come at once, and so may the last.
	case !c.pushed.Before(c.got) && tooEarly(now.Sub(c.pushed), c.interval) && !req.Terminating:
		return codeThrottlingQuota
	case req.SubscriptionID != c.subscription || c.subscription != t.want(describeClient(r, req.ClientInstanceID)).id(req.ClientInstanceID):
		c.early = true
		return codeUnknownSubscription
	case req.CompressionType < 0 || req.CompressionType > int8(batch.Zstd):
		c.early = true
		return codeUnsupportedCodec
	case len(req.Metrics) > maxTelemetryBytes:
		return codeTelemetryTooLarge
	}
	c.pushed, c.ended = now, req.Terminating
	c.clientID, c.host = r.clientID, r.conn.host
	return 0
}

// takePush opens a push, reads the numbers that serve diagnosis and hands it on.
func (b *Broker) takePush(req *kmsg.PushTelemetryRequest, r *request) int16 {
	metrics := bytes.Clone(req.Metrics) // it may be kept, the frame goes
	if codec := batch.Codec(req.CompressionType); codec != batch.None {
		if err := r.lease.take(b.ctx, maxTelemetryOpened); err != nil {
			return codeUnknown // stopping
		}
		var err error
		metrics, err = batch.Decompress(codec, metrics, maxTelemetryOpened)
		switch {
		case errors.Is(err, batch.ErrTooLarge):
			return codeTelemetryTooLarge
		case err != nil:
			return codeInvalidRecord
		}
	}
	var read clientReading
	if err := otlp.Decode(metrics, read.point); err != nil {
		return codeInvalidRecord
	}
	t := b.clientMetrics
	t.took(req.ClientInstanceID, &read, b.groups)
	if t.receiver != nil {
		software, version := r.conn.library()
		t.receiver.ClientMetrics(ClientPush{
			InstanceID: req.ClientInstanceID, ClientID: r.clientID, Host: r.conn.host,
			Software: software, Version: version, Terminating: req.Terminating, Metrics: metrics,
		})
	}
	return 0
}

// clientReading is what one push says of the numbers we know.
type clientReading struct {
	values [clientValues]float64
	known  uint32
	group  string
}

func (c *clientReading) point(p *otlp.Point) {
	if c.group == "" {
		c.group = string(p.Resource.Get("group_id"))
	}
	i, ok := clientNames[string(p.Name)]
	if !ok || math.IsNaN(p.Value) || math.IsInf(p.Value, 0) {
		return
	}
	c.merge(i, p.Value*streamkeeper.ClientMeasures[i].Scale)
}

// merge keeps the worse of two values: of several partitions, nodes or processes.
func (c *clientReading) merge(i int, v float64) {
	if c.known&(1<<i) != 0 {
		if streamkeeper.ClientMeasures[i].Lowest {
			v = min(v, c.values[i])
		} else {
			v = max(v, c.values[i])
		}
	}
	c.values[i] = v
	c.known |= 1 << i
}

// took keeps a push's numbers until the next one.
func (t *clientMetrics) took(id [16]byte, read *clientReading, g *groups) {
	now := t.now()
	t.mu.Lock()
	c := t.instances[id]
	t.mu.Unlock()
	if c == nil {
		return // forgotten meanwhile
	}
	group := g.groupOf(read.group, c.clientID, c.host)
	t.mu.Lock()
	defer t.mu.Unlock()
	c.values, c.known, c.group, c.valuesAt = read.values, read.known, group, now
	if c.ended {
		c.known, c.valuesAt = 0, time.Time{} // what it did last is no state of now
	}
}

// groupOf is the group a client belongs to: the one it says, if there is such a group, else the only one it is a member of
// as far as its client id and host tell.
func (s *groups) groupOf(said, clientID, host string) string {
	if said != "" {
		s.mu.RLock()
		_, ok := s.byName[said]
		s.mu.RUnlock()
		if ok {
			return said
		}
	}
	group := ""
	for _, m := range s.fetchers.of(clientID, host) {
		if group != "" && m.group != group {
			return ""
		}
		group = m.group
	}
	return group
}

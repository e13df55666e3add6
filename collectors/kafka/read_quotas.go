package kafka

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper"
)

const (
	slotsEvery = 5 * time.Minute // how often brokers are asked how much they copy at once
	maxQuotas  = 500             // that have series of their own
)

// quota names what a quota holds: a client id, or a user where it holds for all of a user's, in one kind of request. The
// default has no client.
type quota struct{ client, api string }

// quotaKeys are the limits in bytes, by their names in Kafka.
var quotaKeys = map[string]string{"producer_byte_rate": "produce", "consumer_byte_rate": "fetch"}

// readQuotas reads the limits of clients. Who may not see them is not told of any: they are a help, not a need.
func (c *Collector) readQuotas(ctx context.Context, s *snapshot) {
	if c.o.Kind == "embedded" || !c.cache.quotas.due(s.at, configsEvery) || c.budget.Wait(ctx) != nil {
		return
	}
	c.cache.quotas.at = s.at
	answer, err := c.client.Request(ctx, kmsg.NewPtrDescribeClientQuotasRequest()) // without a filter: all of them
	if err != nil {                                                                // it may not know the request
		c.cache.quotas.rest(s.at, configsEvery)
		return
	}
	resp := answer.(*kmsg.DescribeClientQuotasResponse)
	denied := resp.ErrorCode == kerr.ClusterAuthorizationFailed.Code
	c.denials.set(seesQuotas, denied)
	if denied {
		c.cache.quotas.rest(s.at, configsEvery)
	}
	if resp.ErrorCode != 0 {
		return
	}
	s.quotas, s.quotasSet = map[quota]float64{}, len(resp.Entries) > 0
	for _, e := range resp.Entries {
		client, ok := quotaOf(e.Entity)
		for _, v := range e.Values {
			if api := quotaKeys[v.Key]; ok && api != "" {
				s.quotas[quota{client, api}] = v.Value
			} else {
				s.unattributed = true
			}
		}
		if len(e.Entity) != 1 || e.Entity[0].Type != "client-id" {
			s.unattributed = true
		}
	}
}

// quotaOf names whom a quota holds: the client id before the user; "" is every client without one of its own. Defaults
// for users, and quotas of addresses, are nobody's here.
func quotaOf(entity []kmsg.DescribeClientQuotasResponseEntryEntity) (client string, ok bool) {
	for _, kind := range []string{"client-id", "user"} {
		i := slices.IndexFunc(entity, func(e kmsg.DescribeClientQuotasResponseEntryEntity) bool { return e.Type == kind })
		switch {
		case i < 0:
		case entity[i].Name != nil:
			return *entity[i].Name, true
		case kind == "client-id" && len(entity) == 1:
			return "", true
		}
	}
	return "", false
}

// copierSlots is how many segments a broker copies to its remote storage at once.
const copierSlots = "remote.log.manager.copier.thread.pool.size"

// readSlots asks every broker how much it copies at once, where there is something to copy.
func (c *Collector) readSlots(ctx context.Context, s *snapshot) {
	if c.o.Kind == "embedded" || len(c.track.tiered) == 0 || !c.cache.slots.due(s.at, slotsEvery) {
		return
	}
	c.cache.slots.at = s.at
	var mu sync.Mutex
	slots := map[int32]int{}
	c.each(ctx, slices.Collect(maps.Keys(s.brokers)), func(id int32) error {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeBroker, itoa(id), []string{copierSlots}
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.Resources = append(req.Resources, r)
		answer, err := c.client.Broker(int(id)).RetriableRequest(ctx, req)
		if err != nil {
			return fmt.Errorf("its configuration: %w", err)
		}
		for _, r := range answer.(*kmsg.DescribeConfigsResponse).Resources {
			if r.ErrorCode != 0 && r.ErrorCode != kerr.ClusterAuthorizationFailed.Code {
				return fmt.Errorf("its configuration: %w", kerr.ErrorForCode(r.ErrorCode))
			}
			for _, v := range r.Configs {
				if n, err := strconv.Atoi(value(v)); err == nil && v.Name == copierSlots && n > 0 {
					mu.Lock()
					slots[id] = n
					mu.Unlock()
				}
			}
		}
		return nil
	}, s)
	if len(slots) == len(s.brokers) {
		s.slots = slots
	}
}

func value(c kmsg.DescribeConfigsResponseResourceConfig) string {
	if c.Value == nil {
		return ""
	}
	return *c.Value
}

func compareQuotas(a, b quota) int {
	return cmp.Or(strings.Compare(a.client, b.client), strings.Compare(a.api, b.api))
}

// absorbLimits remembers limits until they are read again.
func (t *tracker) absorbLimits(s *snapshot) {
	if s.quotas != nil {
		t.quotas, t.quotasSet, t.unattributed = s.quotas, s.quotasSet, s.unattributed
	}
	if s.slots != nil {
		t.slots = 0
		for _, n := range s.slots {
			t.slots += n
		}
	}
}

// measureLimits tells the quotas: those that name somebody, then the default's for the members of groups that have none of
// their own; and how many segments brokers copy at once.
func (t *tracker) measureLimits(r *round) {
	held := maps.Clone(t.quotas)
	for _, api := range quotaKeys {
		limit, ok := held[quota{"", api}]
		delete(held, quota{"", api})
		if !ok {
			continue
		}
		for _, g := range t.groups {
			for _, m := range g.members {
				q := quota{m.state.client, api}
				if _, own := held[q]; !own && q.client != "" {
					held[q] = limit
				}
			}
		}
	}
	told := 0
	for _, q := range slices.SortedFunc(maps.Keys(held), compareQuotas) {
		if told++; told > maxQuotas {
			break
		}
		r.add("streamkeeper_client_quota_bytes_per_second", map[string]string{"cluster": t.cluster, "client": q.client, "api": q.api}, held[q])
	}
	t.measureLimited(r)
	if t.slots > 0 {
		r.add("streamkeeper_tier_upload_slots", map[string]string{"cluster": t.cluster, "store": streamkeeper.TieredStorage}, float64(t.slots))
	}
}

// measureLimited tells of the members of groups whether a quota limits them, where somebody has one and each is one of client
// ids: of users nobody knows who they are. One on producing counts: who reads and writes under one id waits with both.
func (t *tracker) measureLimited(r *round) {
	if !t.quotasSet || t.unattributed {
		return
	}
	limited := map[string]bool{}
	for _, g := range t.groups {
		for _, m := range g.members {
			if client := m.state.client; client != "" {
				limited[client] = t.limits(client, "fetch") || t.limits(client, "produce")
			}
		}
	}
	clients := slices.Sorted(maps.Keys(limited))
	for _, client := range clients[:min(len(clients), maxQuotas)] {
		r.add("streamkeeper_client_limited", map[string]string{"cluster": t.cluster, "client": client}, truth(limited[client]))
	}
}

// limits reports whether a quota in bytes holds the client back in one kind of request.
func (t *tracker) limits(client, api string) bool {
	_, own := t.quotas[quota{client, api}]
	_, all := t.quotas[quota{"", api}]
	return client != "" && (own || all)
}

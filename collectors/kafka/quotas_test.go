package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper"
)

func TestQuotaOf(t *testing.T) {
	name := func(s string) *string { return &s }
	type entity = kmsg.DescribeClientQuotasResponseEntryEntity
	for _, c := range []struct {
		reason string
		of     []entity
		client string
		ok     bool
	}{
		{"a client id", []entity{{Type: "client-id", Name: name("a")}}, "a", true},
		{"a user", []entity{{Type: "user", Name: name("u")}}, "u", true},
		{"a user's client id", []entity{{Type: "user", Name: name("u")}, {Type: "client-id", Name: name("a")}}, "a", true},
		{"all clients of a user", []entity{{Type: "user", Name: name("u")}, {Type: "client-id"}}, "u", true},
		{"every client without its own", []entity{{Type: "client-id"}}, "", true},
		{"every user", []entity{{Type: "user"}}, "", false},
		{"an address", []entity{{Type: "ip", Name: name("10.0.0.1")}}, "", false},
	} {
		if client, ok := quotaOf(c.of); client != c.client || ok != c.ok {
			t.Errorf("%s: %q, %v", c.reason, client, ok)
		}
	}
}

func TestMeasureLimits_TheDefaultHoldsForMembersWithoutTheirOwn(t *testing.T) {
	s := newScene(t, 2)
	s.members = map[string][]int32{"a": {0}, "b": {1}}
	s.track.quotas = map[quota]float64{{"", "fetch"}: 100, {"a", "fetch"}: 7, {"writer", "produce"}: 50}
	s.track.slots = 20
	s.round(0, 1)
	s.want("limits", map[string]float64{
		"client_quota_bytes_per_second/a/fetch":        7,
		"client_quota_bytes_per_second/b/fetch":        100,
		"client_quota_bytes_per_second/writer/produce": 50,
		"tier_upload_slots":                            20,
	})
	if got, ok := s.series["client_quota_bytes_per_second/a/produce"]; ok {
		t.Errorf("nobody limits what a sends, and %v is told", got)
	}
}

// TestMeasureLimits_WhoIsLimited: of users, addresses and shares of time nobody knows whom they hold.
func TestMeasureLimits_WhoIsLimited(t *testing.T) {
	s := newScene(t, 3)
	s.members = map[string][]int32{"a": {0}, "b": {1}, "c": {2}}
	s.track.quotas = map[quota]float64{{"a", "fetch"}: 7, {"b", "produce"}: 50}
	s.round(0, 1)
	if got, ok := s.series["client_limited/a"]; ok {
		t.Errorf("nobody said that anybody is limited, and %v is told", got)
	}
	s.track.quotasSet = true
	s.round(0, 1)
	s.want("a in reading, b in sending, c not", map[string]float64{"client_limited/a": 1, "client_limited/b": 1, "client_limited/c": 0})
	s.track.unattributed = true
	s.round(0, 1)
	if got, ok := s.series["client_limited/c"]; ok {
		t.Errorf("c may be limited as a user, and %v is told", got)
	}
}

func TestCollect_Quotas(t *testing.T) {
	l := newLab(t, 1, Options{})
	client := "reader"
	if _, err := l.admin.AlterClientQuotas(t.Context(), []kadm.AlterClientQuotaEntry{{
		Entity: kadm.ClientQuotaEntity{{Type: "client-id", Name: &client}},
		Ops:    []kadm.AlterClientQuotaOp{{Key: "consumer_byte_rate", Value: 1000}, {Key: "request_percentage", Value: 50}},
	}}); err != nil {
		t.Fatal(err)
	}
	l.mustRound(0)
	const series = "client_quota_bytes_per_second{api=fetch,client=reader}"
	l.want("the quota in bytes", map[string]any{series: 1000, "cluster_fact{fact=quotas}": 1})
	if !l.collector.track.unattributed {
		t.Error("a share of time may hold others than those who are named")
	}
	l.cluster.ControlKey(int16(kmsg.DescribeClientQuotas), func(req kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		resp := req.ResponseKind().(*kmsg.DescribeClientQuotasResponse)
		resp.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		return resp, nil, true
	})
	l.mustRound(60) // who may not see quotas may see the rest
}

func TestCollect_CopierSlots(t *testing.T) {
	l := newLab(t, 2, Options{})
	l.cluster.ControlKey(int16(kmsg.DescribeConfigs), func(req kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		asked := req.(*kmsg.DescribeConfigsRequest).Resources
		if len(asked) != 1 || asked[0].ResourceType != kmsg.ConfigResourceTypeBroker {
			return nil, nil, false
		}
		five := "5"
		resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
		resp.Resources = []kmsg.DescribeConfigsResponseResource{{
			ResourceType: asked[0].ResourceType, ResourceName: asked[0].ResourceName,
			Configs: []kmsg.DescribeConfigsResponseResourceConfig{{Name: copierSlots, Value: &five}},
		}}
		return resp, nil, true
	})
	const series = "tier_upload_slots{store=tiered-storage}"
	l.mustRound(0)
	l.want("nothing is tiered", map[string]any{series: "absent"})
	l.collector.track.tiered = map[string]bool{"t": true}
	l.mustRound(5)
	l.want("five on each broker", map[string]any{series: 10})
	if s := l.inventory.Stores; len(s) != 1 || s[0].Name != streamkeeper.TieredStorage {
		t.Errorf("stores %+v", s)
	}
}

// TestFetched_ByWhatIsCommitted: how much of its quota a consumer uses is estimated, on each broker, from commits and from what
// records weigh.
func TestFetched_ByWhatIsCommitted(t *testing.T) {
	s := newScene(t, 2)
	s.members = map[string][]int32{"a": {0}, "b": {1}}
	s.track.quotas = map[quota]float64{{"a", "fetch"}: 500, {"b", "produce"}: 500}
	s.round(0, 1)
	for i := range s.track.topics["t"].parts {
		s.track.topics["t"].parts[i].weigh(100*s.heads[i], 0)
	}
	s.rounds(3, 0, 1)
	s.want("150 records of 100 bytes", map[string]float64{"client_committed_bytes_total/1/a": 15_000})
	if _, ok := s.series["client_committed_bytes_total/1/b"]; ok {
		t.Error("nobody limits what b fetches")
	}
	s.track.topics["t"].parts[0].weigh(0, 0)
	s.rounds(3, 0, 1)
	if got, ok := s.series["client_committed_bytes_total/1/a"]; ok {
		t.Errorf("nobody knows what its records weigh, and %v is told", got)
	}
}

package collectors

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper"
)

// keeper keeps what it is given.
type keeper struct {
	samples []streamkeeper.Sample
	events  []streamkeeper.Event
	inv     streamkeeper.Inventory
}

func (k *keeper) Samples(_ context.Context, s []streamkeeper.Sample) error { k.samples = s; return nil }

func (k *keeper) Events(_ context.Context, e []streamkeeper.Event, _ streamkeeper.Watermark) error {
	k.events = e
	return nil
}

func (k *keeper) Inventory(_ context.Context, inv streamkeeper.Inventory) error {
	k.inv = inv
	return nil
}

func TestWithoutOwn(t *testing.T) {
	var k keeper
	s := WithoutOwn(&k)
	samples := []streamkeeper.Sample{
		{Metric: "a", Labels: map[string]string{"group": OwnPrefix + "-3"}},
		{Metric: "b", Labels: map[string]string{"topic": OwnPrefix}},
		{Metric: "c", Labels: map[string]string{"topic": "orders", "group": "billing"}},
	}
	events := []streamkeeper.Event{
		{Kind: "x", Attrs: map[string]any{"topic": OwnPrefix}},
		{Kind: "y", Entity: streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: OwnPrefix + "-1", Cluster: "c"}},
		{Kind: "z", Attrs: map[string]any{"topic": "orders"}},
	}
	inv := streamkeeper.Inventory{
		Topics: []streamkeeper.TopicInfo{{Name: OwnPrefix}, {Name: "orders"}},
		Groups: []streamkeeper.GroupInfo{{Name: "billing"}, {Name: OwnPrefix + "-9"}},
	}
	for _, err := range []error{s.Samples(t.Context(), samples), s.Events(t.Context(), events, streamkeeper.Watermark{}), s.Inventory(t.Context(), inv)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	got := []string{k.samples[0].Metric, k.events[0].Kind, k.inv.Topics[0].Name, k.inv.Groups[0].Name}
	if d := cmp.Diff([]string{"c", "z", "orders", "billing"}, got); d != "" || len(k.samples)+len(k.events)+len(k.inv.Topics)+len(k.inv.Groups) != 4 {
		t.Errorf("%s %+v", d, k)
	}
	if samples[0].Metric != "a" || events[0].Kind != "x" || len(inv.Topics) != 2 {
		t.Error("the source's own slices were changed")
	}
}

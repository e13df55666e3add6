package cli

import (
	"context"
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors/series"
	"github.com/streamkeeper-io/streamkeeper/diagnose"
)

// TestTick_TopicDeletedUnderReaders: the event alone is the answer, there is no symptom of what is not there any more.
func TestTick_TopicDeletedUnderReaders(t *testing.T) {
	ctx, every := context.Background(), 2*time.Second
	start := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	now := start
	p, err := openPlaces(series.Options{Interval: every}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	book, err := loadCatalog(nil)
	if err != nil {
		t.Fatal(err)
	}
	tick := &diagnose.Tick{Catalog: book, Signals: p.series, World: p.world, Events: p.events, Config: diagnose.Config{Interval: every}}
	var memory diagnose.Memory
	var report streamkeeper.Report
	round := func(events ...streamkeeper.Event) {
		t.Helper()
		now = now.Add(every)
		inv := streamkeeper.Inventory{
			At: now, Source: "kafka", Cluster: streamkeeper.ClusterInfo{Name: "c", Kind: "kafka"},
			Groups: []streamkeeper.GroupInfo{{Name: "g", State: "Stable", Members: []streamkeeper.MemberInfo{{Key: "a", ClientID: "a", Host: "h"}}}},
		}
		for _, err := range []error{
			p.Inventory(ctx, inv),
			p.Samples(ctx, []streamkeeper.Sample{{Metric: "streamkeeper_cluster_brokers", Labels: map[string]string{"cluster": "c"}, At: now, Value: 1}}),
			p.Events(ctx, events, streamkeeper.Watermark{Source: "kafka", Cluster: "c", From: start, Through: now, Heartbeat: now}),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if report, _, memory, err = tick.Run(ctx, "c", now, memory); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		round()
	}
	if len(report.Findings) > 0 || len(report.Changes) > 0 {
		t.Fatalf("nothing happened, and told is %+v", report)
	}
	round(streamkeeper.Event{
		Seq: 1, At: now, Kind: "read_topic_deleted", Source: "kafka", Text: "topic orders was deleted", Entity: streamkeeper.Entity{Kind: streamkeeper.KindTopic, Name: "orders", Cluster: "c"},
		Attrs: map[string]any{"topic": "orders", "group": "g", "unread": 38.0, "working": true, "made_anew": false},
	})
	round()
	if len(report.Findings) != 1 || report.Findings[0].Cause != "topic_deleted_under_readers" || report.Findings[0].Entity.Name != "g" || report.Findings[0].Verdict != streamkeeper.VerdictRootCause {
		t.Errorf("findings %+v", report.Findings)
	}
	if len(report.Changes) != 1 || !report.Changes[0].Risky || report.Changes[0].Text != "topic orders was deleted" {
		t.Errorf("changes %+v", report.Changes)
	}
}

package cli

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors/series"
)

// shop is a group on six partitions of three brokers, as a fluid: what arrives and what its members can do, by time.
type shop struct {
	from, fault, end time.Time
	members          float64
	arrive, read     func(since time.Duration) float64 // records a second on all partitions; since the fault, negative before
	tells            func(at time.Time, who string) bool
}

const (
	shopPartitions = 6
	shopScrape     = 15 * time.Second
	shopCommit     = 5 * time.Second
)

// serve plays the shop to a Prometheus that scraped a kafka_exporter. tells says what the exporter could read at a time: the
// partitions that a broker leads, "broker-0" to "broker-2", and "members"; nil is everything.
func (s shop) serve(t *testing.T) string {
	t.Helper()
	store, err := series.Memory(series.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	var samples []streamkeeper.Sample
	add := func(at time.Time, metric string, v float64, labels map[string]string) {
		labels["kafka_cluster"] = "eu"
		samples = append(samples, streamkeeper.Sample{Metric: metric, Labels: labels, At: at, Value: v})
	}
	head, done, committed := 1000.0, 1000.0, 1000.0 // of each partition
	for at := s.from; !at.After(s.end); at = at.Add(time.Second) {
		since := at.Sub(s.fault)
		head += s.arrive(since) / shopPartitions
		done = min(head, done+s.read(since)/shopPartitions)
		if at.Unix()%int64(shopCommit.Seconds()) == 0 && s.read(since) > 0 {
			committed = done
		}
		if at.Unix()%int64(shopScrape.Seconds()) != 0 {
			continue
		}
		for p := range shopPartitions {
			if s.tells != nil && !s.tells(at, fmt.Sprintf("broker-%d", p%3)) {
				continue
			}
			add(at, "kafka_consumergroup_current_offset", float64(int(committed)), map[string]string{"topic": "orders", "partition": fmt.Sprint(p), "consumergroup": "billing"})
			add(at, "kafka_topic_partition_current_offset", float64(int(head)), map[string]string{"topic": "orders", "partition": fmt.Sprint(p)})
		}
		if s.tells == nil || s.tells(at, "members") {
			members := s.members
			if s.read(since) == 0 {
				members = 0
			}
			add(at, "kafka_consumergroup_members", members, map[string]string{"consumergroup": "billing"})
		}
	}
	if err := store.Append(t.Context(), samples); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(store.Handler())
	t.Cleanup(server.Close)
	return server.URL
}

// answer is what is told first of the group, a fault before what is harmless.
func (s shop) answer(t *testing.T) *streamkeeper.Finding {
	t.Helper()
	got, code, log := diagnoseAs(t, "--prometheus", s.serve(t), "--at", s.end.Format(time.RFC3339))
	if len(got.Reports) != 1 {
		t.Fatalf("exit %d with %d reports: %s", code, len(got.Reports), log)
	}
	for i := range got.Reports[0].Findings {
		if f := &got.Reports[0].Findings[i]; f.Entity.Name == "billing" {
			return f
		}
	}
	return nil
}

func steadily(rate float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return rate }
}

func suddenly(before, after float64) func(time.Duration) float64 {
	return func(since time.Duration) float64 {
		if since < 0 {
			return before
		}
		return after
	}
}

func told(f *streamkeeper.Finding) string {
	if f == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s %s %v %.2f", f.Verdict, f.Cause, f.Causes, f.Confidence)
}

// More arrives than members can do, or they got slower: without history that is one answer, and after ten minutes two.
func TestReplayed_UndersizedAndSlowedPart(t *testing.T) {
	pair := []string{"consumer_undersized", "processing_slowed"}
	end := time.Now().Add(-time.Hour).Truncate(shopScrape)
	for cause, s := range map[string]shop{
		"consumer_undersized": {arrive: suddenly(60, 140), read: steadily(80)},
		"processing_slowed":   {arrive: steadily(60), read: suddenly(80, 30)},
	} {
		s.members, s.end, s.fault = 2, end, end.Add(-3*time.Minute)
		s.from = s.fault.Add(-10 * time.Minute)
		f := s.answer(t)
		if f == nil || f.Cause != cause || f.Verdict == streamkeeper.VerdictOneOf {
			t.Errorf("%s after ten minutes of history: %s", cause, told(f))
		}
		s.from = s.fault.Add(time.Second) // whoever looks for the first time knows of no before
		s.end = s.fault.Add(2 * time.Minute)
		f = s.answer(t)
		if f == nil || f.Verdict != streamkeeper.VerdictOneOf || !slices.Contains(f.Causes, pair[0]) || !slices.Contains(f.Causes, pair[1]) {
			t.Errorf("%s cold: %s, want one of %v", cause, told(f), pair)
		}
	}
}

// Telemetry that is lost makes answers less sure, never wrong: neither what one broker's partitions told, nor what all did.
func TestReplayed_LostTelemetryNeverMisnames(t *testing.T) {
	end := time.Now().Add(-time.Hour).Truncate(shopScrape)
	lost := func(who ...string) func(time.Time, string) bool {
		return func(at time.Time, teller string) bool {
			return at.Before(end.Add(-4*time.Minute)) || !slices.Contains(who, teller)
		}
	}
	for _, fault := range []struct {
		right []string
		s     shop
	}{
		{[]string{"no_active_consumers"}, shop{members: 2, arrive: steadily(60), read: suddenly(80, 0)}},
		{[]string{"consumer_undersized"}, shop{members: 2, arrive: suddenly(60, 140), read: steadily(80)}},
		{[]string{"processing_slowed"}, shop{members: 2, arrive: steadily(60), read: suddenly(80, 30)}},
		{nil, shop{members: 2, arrive: steadily(60), read: steadily(80)}},
	} {
		for name, tells := range map[string]func(time.Time, string) bool{
			"nothing lost": lost(), "one broker": lost("broker-1"), "all brokers": lost("broker-0", "broker-1", "broker-2"),
			"members": lost("members"), "a broker that was never read": func(_ time.Time, who string) bool { return who != "broker-2" },
		} {
			s := fault.s
			s.end, s.fault, s.from, s.tells = end, end.Add(-5*time.Minute), end.Add(-13*time.Minute), tells
			f := s.answer(t)
			named := f != nil && f.Verdict != streamkeeper.VerdictBenign && f.Verdict != streamkeeper.VerdictOther
			right := named && slices.ContainsFunc(fault.right, func(c string) bool { return c == f.Cause || slices.Contains(f.Causes, c) })
			switch {
			case name == "nothing lost" && fault.right != nil && !right:
				t.Errorf("%v, nothing lost: %s", fault.right, told(f))
			case named && !right && (f.Confidence >= .9 || fault.right == nil):
				t.Errorf("%v without %s: %s", fault.right, name, told(f))
			}
		}
	}
}

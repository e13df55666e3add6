package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors/series"
)

// foreignPrometheus serves a foreignStore.
func foreignPrometheus(t *testing.T, end time.Time, clusters ...string) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(foreignStore(t, end, clusters...).Handler())
	t.Cleanup(server.Close)
	return server
}

// foreignStore holds what a kafka_exporter told of one group of a cluster, scraped every fifteen seconds for 50
// minutes until end. Its members are gone since five minutes before that.
func foreignStore(t *testing.T, end time.Time, clusters ...string) *series.Store {
	t.Helper()
	store, err := series.Memory(series.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	const every = 15 * time.Second
	gone := end.Add(-5 * time.Minute)
	var samples []streamkeeper.Sample
	for _, cluster := range clusters {
		add := func(at time.Time, metric string, v float64, labels ...string) {
			l := map[string]string{"job": "kafka", "kafka_cluster": cluster}
			for i := 0; i < len(labels); i += 2 {
				l[labels[i]] = labels[i+1]
			}
			samples = append(samples, streamkeeper.Sample{Metric: metric, Labels: l, At: at, Value: v})
		}
		head, committed := 0.0, 0.0
		for at := end.Add(-50 * time.Minute); !at.After(end); at = at.Add(every) {
			head += 150
			members := 0.0
			if at.Before(gone) {
				committed, members = head, 1
			}
			for p := range 4 {
				add(at, "kafka_topic_partition_current_offset", head, "topic", "orders", "partition", fmt.Sprint(p))
				add(at, "kafka_consumergroup_current_offset", committed, "topic", "orders", "partition", fmt.Sprint(p), "consumergroup", "billing")
			}
			add(at, "kafka_consumergroup_members", members, "consumergroup", "billing")
		}
	}
	if err := store.Append(t.Context(), samples); err != nil {
		t.Fatal(err)
	}
	return store
}

// diagnoseAs runs `diagnose` and returns its reports, exit code and what it said on standard error.
func diagnoseAs(t *testing.T, args ...string) (streamkeeper.Reports, int, string) {
	t.Helper()
	var out, log bytes.Buffer
	code := Run(context.Background(), Process{
		Args: append([]string{"diagnose", "-o", "json"}, args...), Stdout: &out, Stderr: &log,
		Getenv: func(string) string { return "" }, Environ: func() []string { return nil },
	})
	var answer streamkeeper.Reports
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
			t.Fatalf("%v: %s", err, out.String())
		}
	}
	return answer, code, log.String()
}

func TestReplayed_Prometheus(t *testing.T) {
	end := time.Now().Add(-time.Hour).Truncate(time.Second)
	server := foreignPrometheus(t, end, "eu", "us")
	at := end.Format(time.RFC3339)
	answer, code, log := diagnoseAs(t, "--prometheus", server.URL, "--at", at)
	if code != exitFindings || len(answer.Reports) != 2 {
		t.Fatalf("exit %d with %d reports: %s", code, len(answer.Reports), log)
	}
	eu := answer.Reports[0]
	if len(eu.Findings) == 0 || eu.Findings[0].Cause != "no_active_consumers" || eu.Findings[0].Verdict != streamkeeper.VerdictRootCause {
		t.Errorf("findings of eu: %+v", eu.Findings)
	}
	if eu.Cluster.Name != "eu" || len(eu.Sources) != 1 || eu.Sources[0].Name != "kafka_exporter" || eu.Sources[0].FreshSeconds == nil {
		t.Errorf("cluster %+v, sources %+v", eu.Cluster, eu.Sources)
	}
	untold := ""
	for _, n := range eu.NotJudged {
		untold += n.What + "\n"
	}
	for _, want := range []string{"which member owns which partition", "partitions without a leader", "produce_errors"} {
		if !strings.Contains(untold, want) {
			t.Errorf("not judged lacks %q:\n%s", want, untold)
		}
	}

	t.Run("the same moment gives the same answer", func(t *testing.T) {
		again, _, _ := diagnoseAs(t, "--prometheus", server.URL, "--at", at, "--cluster", "eu")
		if diff := cmp.Diff([]streamkeeper.Report{eu}, again.Reports); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("before the fault nothing is wrong", func(t *testing.T) {
		before, code, log := diagnoseAs(t, "--prometheus", server.URL, "--at", end.Add(-8*time.Minute).Format(time.RFC3339), "--cluster", "us")
		if code != exitOK || len(before.Reports) != 1 || len(before.Reports[0].Findings) != 0 {
			t.Errorf("exit %d, %+v: %s", code, before.Reports, log)
		}
	})
	t.Run("an unknown cluster is refused with those that there are", func(t *testing.T) {
		_, code, log := diagnoseAs(t, "--prometheus", server.URL, "--at", at, "--cluster", "asia")
		if code != exitUsage || !strings.Contains(log, "eu, us") {
			t.Errorf("exit %d: %s", code, log)
		}
	})
	t.Run("without Kafka series it says what it looked for", func(t *testing.T) {
		_, code, log := diagnoseAs(t, "--prometheus", server.URL, "--at", end.Add(-10*time.Hour).Format(time.RFC3339))
		for _, dialect := range []string{"kminion", "kafka_exporter", "redpanda", "jmx"} {
			if code != exitBlind || !strings.Contains(log, dialect) {
				t.Errorf("exit %d: %s", code, log)
			}
		}
	})
}

func TestDiagnose_PrometheusRefuses(t *testing.T) {
	asked := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Get("X-Scope-OrgID")
		http.Error(w, "no", http.StatusUnauthorized)
	}))
	defer server.Close()
	if _, code, log := diagnoseAs(t, "--prometheus", server.URL, "--tenant", "team-a"); code != exitBlind || !strings.Contains(log, "--token-file") && !strings.Contains(log, "token file") {
		t.Errorf("exit %d: %s", code, log)
	}
	if asked != "team-a" {
		t.Errorf("asked as tenant %q", asked)
	}
	for _, args := range [][]string{{"--prometheus", "nowhere"}, {"--prometheus", server.URL, "--sasl", "PLAIN"}, {"--tenant", "x"}} {
		if _, code, log := diagnoseAs(t, args...); code != exitUsage {
			t.Errorf("%v: exit %d: %s", args, code, log)
		}
	}
}

func TestSharedLabel(t *testing.T) {
	row := func(metric, job string, more ...string) series.Counted {
		l := map[string]string{"__name__": metric, "job": job}
		for i := 0; i < len(more); i += 2 {
			l[more[i]] = more[i+1]
		}
		return series.Counted{Labels: l, N: 1}
	}
	for _, c := range []struct {
		name string
		rows []series.Counted
		want string
	}{
		{"one exporter", []series.Counted{row("a", "x")}, ""},
		{"two exporters of one cluster", []series.Counted{row("a", "x"), row("b", "y")}, ""},
		{"one exporter in two jobs", []series.Counted{row("a", "x"), row("a", "y")}, "job"},
		{"a cluster label", []series.Counted{row("a", "x", "cluster", "k8s"), row("a", "y", "cluster", "k9s")}, "cluster"},
		{"Kafka's own label wins", []series.Counted{row("a", "x", "cluster", "k8s", "kafka_cluster", "eu")}, "kafka_cluster"},
	} {
		if got := sharedLabel(c.rows); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

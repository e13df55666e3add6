package scrape

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

func TestParseTargets(t *testing.T) {
	want := []Options{
		{URL: "http://a:9100/metrics", Labels: map[string]string{"job": "node", "rack": "1"}},
		{URL: "https://b:443/probe?module=x", Instance: "b", Labels: map[string]string{"job": "node"}},
	}
	yaml := `
- targets: ["a:9100"]
  labels: {job: node, rack: "1"}
- targets: ["b:443"]
  labels: {job: node, __scheme__: https, __metrics_path__: /probe, __param_module: x, instance: b}
`
	json := `[{"targets": ["a:9100"], "labels": {"job": "node", "rack": "1"}},
	 {"targets": ["b:443"], "labels": {"job": "node", "__scheme__": "https", "__metrics_path__": "/probe", "__param_module": "x", "instance": "b"}}]`
	for format, text := range map[string]string{"yaml": yaml, "json": json} {
		got, err := parseTargets([]byte(text), format)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", format, diff)
		}
	}
	for name, text := range map[string]string{
		"no list": "targets: [a:1]", "another key": "- {target: [a:1]}", "no address": `- {targets: [""]}`, "a path": `- {targets: ["http://a/metrics"]}`,
		"an empty group": "- ", "no YAML": "- [",
	} {
		if got, err := parseTargets([]byte(text), "yaml"); err == nil {
			t.Errorf("%s was read as %+v", name, got)
		}
	}
}

func FuzzParseTargets(f *testing.F) {
	f.Add([]byte("- targets: ['a:1']\n  labels: {a: b}"))
	f.Add([]byte(`[{"targets": ["a:1"], "labels": {"__scheme__": "x y"}}]`))
	f.Add([]byte("- &a [*a]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, format := range []string{"json", "yaml"} {
			targets, err := parseTargets(text, format)
			if err != nil && targets != nil {
				t.Fatal("targets of a file that could not be read")
			}
			for _, o := range targets {
				o.Cluster = "c"
				_, _ = New(o) // refuses what is no address
			}
		}
	})
}

// lives is a sink that keeps which series live. Scrapes run side by side.
type lives struct {
	mu  sync.Mutex
	now map[string]bool
}

func (l *lives) Samples(_ context.Context, samples []streamkeeper.Sample) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range samples {
		key := s.Metric + "@" + s.Labels["instance"]
		if collectors.IsStale(s.Value) {
			delete(l.now, key)
		} else {
			l.now[key] = true
		}
	}
	return nil
}

func (*lives) Events(context.Context, []streamkeeper.Event, streamkeeper.Watermark) error { return nil }

func (*lives) Inventory(context.Context, streamkeeper.Inventory) error { return nil }

// Targets come, go and are kept while their file is broken.
func TestTargetsFollowTheirFiles(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "open 3") }))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	dir := t.TempDir()
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	out := &lives{now: map[string]bool{}}
	c, err := NewTargets(TargetsOptions{Cluster: "c", Files: []string{filepath.Join(dir, "*.yml")}, Client: server.Client()})
	if err != nil {
		t.Fatal(err)
	}
	round := func(text string) error {
		t.Helper()
		now = now.Add(15 * time.Second)
		path := filepath.Join(dir, "a.yml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now, now); err != nil {
			t.Fatal(err)
		}
		return c.Collect(t.Context(), now, out)
	}
	want := func(when string, instances ...string) {
		t.Helper()
		var got []string
		for key := range out.now {
			if instance, ok := strings.CutPrefix(key, "open@"); ok {
				got = append(got, instance)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, instances) {
			t.Errorf("%s: %v, want %v", when, got, instances)
		}
	}
	one, two := fmt.Sprintf("- {targets: [%q], labels: {instance: one}}\n", host), fmt.Sprintf("- {targets: [%q], labels: {instance: two}}\n", host)
	if err := round(one + two); err != nil {
		t.Fatal(err)
	}
	want("both", "one", "two")
	if err := round(one); err != nil {
		t.Fatal(err)
	}
	want("one is listed no more", "one")
	if err := round("- ["); err == nil {
		t.Error("a broken file is no error")
	}
	want("what it listed stays", "one")
	if err := round(two + "- {targets: ['127.0.0.1:1'], labels: {instance: gone}}"); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("%v: want the target that fails named", err)
	}
	want("the others are scraped", "two")
	if _, there := out.now["up@one"]; there {
		t.Error("a target that is gone is still told to be up or down")
	}
}

func TestNewTargetsRefuses(t *testing.T) {
	for _, o := range []TargetsOptions{{Cluster: "c"}, {Files: []string{"a.yml"}}, {Cluster: "c", Files: []string{"a.txt"}}, {Cluster: "c", Files: []string{"[.yml"}}} {
		if _, err := NewTargets(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

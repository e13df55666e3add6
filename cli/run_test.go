package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/streamkeeper-io/streamkeeper"
)

// run runs one command as the program does and returns what it printed.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	code = Run(ctx, Process{Args: args, Getenv: func(string) string { return "" }, Environ: func() []string { return nil }, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs})
	return code, out.String(), errs.String()
}

func TestRun_BadInputIsAClearErrorWithItsCode(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file("rules/symptoms/x.yaml", "id: x\nentty: group\n")
	up := func(more ...string) []string {
		return append([]string{"up", "--data", filepath.Join(dir, "data"), "--kafka-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"}, more...)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"an unknown command", []string{"nope"}, 2, "unknown command"},
		{"an unknown flag", []string{"diagnose", "--nope"}, 2, "--help"},
		{"an argument too many", []string{"version", "x"}, 2, "unknown command"},
		{"a bad output", []string{"diagnose", "-o", "xml"}, 2, "text, json or markdown"},
		{"an unknown config key, with its place", []string{"up", "--config", file("c.yaml", "broker:\n  lissten: x\n")}, 2, "[2:3]"},
		{"a config file that is not there", []string{"up", "--config", filepath.Join(dir, "none.yaml")}, 2, "none.yaml"},
		{"a data folder that cannot be made", []string{"up", "--data", filepath.Join(file("plain", ""), "x")}, 2, "--data"},
		{"a broken rule, with its place", up("--rules", filepath.Join(dir, "rules")), 2, "symptoms/x.yaml:2:1"},
		{"a port in use by the dashboard", up("--http-listen", taken.Addr().String()), 2, "--http-listen"},
		{"a port in use by the broker", up("--kafka-listen", taken.Addr().String()), 2, "--kafka-listen"},
		{"a store without credentials", up("--object-store", "s3://b?endpoint=http://127.0.0.1:1"), 2, "AWS_ACCESS_KEY_ID"},
		{"no server", []string{"diagnose", "--server", "127.0.0.1:1"}, 3, "streamkeeper up"},
		{"no brokers", []string{"diagnose", "--brokers", "127.0.0.1:1", "--for", "10s"}, 3, "connection refused"},
		{"too short a look", []string{"diagnose", "--brokers", "127.0.0.1:1", "--for", "1s"}, 2, "--for"},
		{"not a recording", []string{"diagnose", "--recording", file("text", "hello")}, 3, "not a recording"},
		{"a recording of a server", []string{"diagnose", "--record", file("kept", "")}, 2, "--record is for --brokers"},
		{"a moment to come", []string{"diagnose", "--at", "2999-01-01T00:00:00Z"}, 2, "in the past"},
		{"a moment that is none", []string{"diagnose", "--since", "yesterday"}, 2, "how long ago"},
		{"an unknown drill", []string{"drill", "run", "nope"}, 2, "drill list"},
		{"an unknown rule", []string{"rules", "show", "nope"}, 2, "rules list"},
	} {
		code, stdout, stderr := run(t, c.args...)
		if code != c.code || !strings.Contains(stderr, c.want) || strings.Contains(stderr, "panic") {
			t.Errorf("%s: exit %d, want %d with %q; printed %q %q", c.name, code, c.code, c.want, stdout, stderr)
		}
	}
}

func TestRun_UpServesIsDiagnosedRecordedAndStops(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	out, in := io.Pipe()
	var log bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- Run(ctx, Process{
			Args:   []string{"up", "--data", t.TempDir(), "--kafka-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--set", "diagnose.tick=1s"},
			Getenv: func(string) string { return "" }, Environ: func() []string { return nil }, Stdin: strings.NewReader(""), Stdout: in, Stderr: &log,
		})
		in.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "ready kafka=127.0.0.1:") {
		t.Fatalf("ready line %q, %v: %s", line, err, log.String())
	}
	_, address, _ := strings.Cut(strings.TrimSpace(line), "http=")
	waitFor(t, "http://"+address+"/-/ready")

	// The first ticks have nothing to go by and say so (exit 3); then an idle broker is healthy.
	var code int
	var stdout, stderr string
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if code, stdout, stderr = run(t, "diagnose", "--server", address, "-o", "json"); code == 0 {
			break
		}
	}
	if code != 0 {
		t.Fatalf("diagnose of an idle broker: exit %d: %s %s", code, stdout, stderr)
	}
	if families := metricsOf(t, http.Get, "http://"+address+"/metrics"); families["streamkeeper_broker_reachable"] == nil ||
		families["streamkeeper_broker_up"] == nil || families["streamkeeper_collector_up"] == nil || families["streamkeeper_diagnose_health_score"] == nil {
		t.Errorf("%d metrics, want those of broker, sources and diagnosis", len(families))
	}
	var reports streamkeeper.Reports
	if err := json.Unmarshal([]byte(stdout), &reports); err != nil || len(reports.Reports) != 1 || reports.Reports[0].Cluster.Name != "local" {
		t.Errorf("reports: %v %s", err, stdout)
	}
	file := filepath.Join(t.TempDir(), "r.txtar.gz")
	if code, _, stderr := run(t, "record", "--server", address, "--since", "1m", "--out", file); code != 0 {
		t.Fatalf("record: exit %d: %s", code, stderr)
	}
	// At the moment of the live answer both ways of looking back give the same one.
	live := reports.Reports[0]
	at := live.GeneratedAt.Format(time.RFC3339Nano)
	for _, from := range [][]string{{"--recording", file}, {"--server", address}} {
		code, stdout, stderr = run(t, append([]string{"diagnose", "--at", at, "-o", "json"}, from...)...)
		var past streamkeeper.Reports
		if err := json.Unmarshal([]byte(stdout), &past); code != 0 || err != nil || len(past.Reports) != 1 {
			t.Fatalf("%v at %s: exit %d, %v: %s %s", from, at, code, err, stdout, stderr)
		}
		past.Reports[0].Sources = live.Sources // of the collectors, which a replay has not
		if d := cmp.Diff(live, past.Reports[0], cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%v differs from the live answer (-live +replay):\n%s", from, d)
		}
	}
	if code, stdout, stderr := run(t, "diagnose", "--server", address, "--since", "1h"); code != 0 || !strings.Contains(stdout, "incidents since") {
		t.Errorf("diagnose --since: exit %d: %s %s", code, stdout, stderr)
	}
	stop()
	select {
	case code := <-done:
		if code != 0 {
			t.Errorf("a clean stop exits %d: %s", code, log.String())
		}
	case <-time.After(30 * time.Second):
		t.Fatal("up did not stop")
	}
}

func waitFor(t *testing.T, url string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		resp, err := http.Get(url)
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
	}
	t.Fatalf("%s is not there", url)
}

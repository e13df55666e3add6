package cli

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// TestRun_ProbesTheBundledBroker: the path is measured, and neither the topic nor the groups that this takes are anybody's.
func TestRun_ProbesTheBundledBroker(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	var log bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- Run(ctx, Process{
			Args:   []string{"up", "--data", t.TempDir(), "--kafka-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--set", "diagnose.tick=1s", "--set", "broker.probe.enabled=true"},
			Getenv: func(string) string { return "" }, Environ: func() []string { return nil }, Stdin: strings.NewReader(""), Stdout: in, Stderr: &log,
		})
		in.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%v: %s", err, log.String())
	}
	_, address, _ := strings.Cut(strings.TrimSpace(line), "http=")
	waitFor(t, "http://"+address+"/-/ready")
	get := func(path string) string {
		resp, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	wanted := []string{
		`streamkeeper_probe_available{broker="0",case="path",cluster="local",stage="ack",topic=""} 1`,
		`streamkeeper_probe_available{broker="0",case="path",cluster="local",stage="round_trip",topic=""} 1`,
		`streamkeeper_probe_available{broker="0",case="path",cluster="local",stage="commit",topic=""} 1`,
		`streamkeeper_probe_records_total{broker="0",case="path",cluster="local",fate="lost",topic=""} 0`,
	}
	var missing string
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		page := get("/metrics")
		missing = ""
		for _, w := range wanted {
			if !strings.Contains(page, w) {
				missing = w
			}
		}
		if missing == "" {
			break
		}
	}
	if missing != "" {
		t.Errorf("/metrics has no %s", missing)
	}
	for _, path := range []string{"/api/v1/entities", "/api/v1/topology", "/api/v1/reports", "/api/v1/events", "/prometheus/api/v1/label/group/values", "/prometheus/api/v1/label/topic/values"} {
		if text := get(path); strings.Contains(text, collectors.OwnPrefix) {
			t.Errorf("%s shows the probe's own: %s", path, text)
		}
	}
	stop()
	if code := <-done; code != 0 {
		t.Errorf("up ended with %d: %s", code, log.String())
	}
}

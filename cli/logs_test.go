package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamkeeper-io/streamkeeper"
)

// foreign is an `up` that watches a Kafka that is not ours, and one group on it.
type foreign struct {
	t       *testing.T
	address string
	log     bytes.Buffer
}

// watchForeign starts a fake Kafka, a group `orders` with one member that reads on, and an `up` that watches them.
func watchForeign(t *testing.T, more ...string) *foreign {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	ctx, stop := context.WithCancel(context.Background())
	consumer, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ClientID("orders-1"), kgo.ConsumerGroup("orders"), kgo.ConsumeTopics("orders"))
	if err != nil {
		t.Fatal(err)
	}
	polled := make(chan struct{})
	go func() {
		defer close(polled)
		for ctx.Err() == nil {
			consumer.PollFetches(ctx)
		}
	}()
	if err := consumer.ProduceSync(ctx, &kgo.Record{Topic: "orders", Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	f := &foreign{t: t}
	in, out := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- Run(ctx, Process{
			Args: append([]string{
				"up", "--data", t.TempDir(), "--http-listen", "127.0.0.1:0", "--set", "broker.enabled=false", "--set", "diagnose.tick=1s",
				"--set", fmt.Sprintf("clusters=[{name: prod, brokers: [%q], scrape: 1s}]", cluster.ListenAddrs()[0]),
			}, more...),
			Getenv: func(string) string { return "" }, Environ: func() []string { return nil }, Stdin: strings.NewReader(""), Stdout: out, Stderr: &f.log,
		})
		out.Close()
	}()
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "ready http=") {
		t.Fatalf("ready line %q, %v: %s", line, err, f.log.String())
	}
	_, f.address, _ = strings.Cut(strings.TrimSpace(line), "http=")
	t.Cleanup(func() {
		stop()
		<-polled
		consumer.Close()
		if code := <-done; code != 0 {
			t.Errorf("exit %d: %s", code, f.log.String())
		}
	})
	waitFor(t, "http://"+f.address+"/-/ready")
	return f
}

// push sends a line as Promtail and Alloy do.
func (f *foreign) push(labels, line string) {
	f.t.Helper()
	raw, err := (&push.PushRequest{Streams: []push.Stream{{Labels: labels, Entries: []push.Entry{{Timestamp: time.Now(), Line: line}}}}}).Marshal()
	if err != nil {
		f.t.Fatal(err)
	}
	f.post("/loki/api/v1/push", "application/x-protobuf", snappy.Encode(nil, raw), http.StatusNoContent)
}

func (f *foreign) post(path, kind string, body []byte, want int) {
	f.t.Helper()
	res, err := http.Post("http://"+f.address+path, kind, bytes.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	if res.StatusCode != want {
		f.t.Fatalf("POST %s: HTTP %s: %s", path, res.Status, text)
	}
}

// until waits for a report that holds.
func (f *foreign) until(what string, holds func(streamkeeper.Report) bool) streamkeeper.Report {
	f.t.Helper()
	var last []byte
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		res, err := http.Get("http://" + f.address + "/api/v1/reports")
		if err != nil {
			f.t.Fatal(err)
		}
		last, _ = io.ReadAll(res.Body)
		res.Body.Close()
		var all streamkeeper.Reports
		if err := json.Unmarshal(last, &all); err != nil {
			f.t.Fatal(err)
		}
		if len(all.Reports) == 1 && holds(all.Reports[0]) {
			return all.Reports[0]
		}
	}
	f.t.Fatalf("no report with %s: %s\n%s", what, last, f.log.String())
	return streamkeeper.Report{}
}

// TestLogs_APushedClientLogIsEvidence: on a foreign cluster nothing but the client's own log tells why a member left.
func TestLogs_APushedClientLogIsEvidence(t *testing.T) {
	f := watchForeign(t)
	line := `[2026-03-04 12:00:00,000] WARN [Consumer clientId=orders-1, groupId=orders] consumer poll timeout has expired. This means the time between subsequent calls to poll() was longer than the configured max.poll.interval.ms, which typically implies that the poll loop is spending too much time processing messages. (org.apache.kafka.clients.consumer.internals.ConsumerCoordinator)`
	f.push(`{app="orders", pod="orders-7f9c", cluster="k8s-eu"}`, line)
	r := f.until("left_on_poll_timeout", func(r streamkeeper.Report) bool {
		for _, found := range r.Findings {
			for _, e := range found.Evidence {
				if found.Cause == "max_poll_interval_exceeded" && found.Entity.Key() == "group/orders@prod" && e.ID == "left_on_poll_timeout" && e.Bearing == streamkeeper.Supports {
					return true
				}
			}
		}
		return false
	})
	for _, s := range r.Sources {
		if s.Kind == "loki" {
			return
		}
	}
	t.Errorf("the logs are no source of the report: %+v", r.Sources)
}

// TestDeploys_AMarkIsEvidenceForWhatFollows: the pipeline's own command, then a fault.
func TestDeploys_AMarkIsEvidenceForWhatFollows(t *testing.T) {
	f := watchForeign(t)
	if code, stdout, stderr := run(t, "deploy", "mark", "--server", f.address, "--app", "orders", "--version", "1.4.2"); code != 0 || !strings.Contains(stdout, "marked") {
		t.Fatalf("exit %d: %s %s", code, stdout, stderr)
	}
	if code, _, stderr := run(t, "deploy", "mark", "--server", f.address, "--cluster", "nope", "x"); code != 2 || !strings.Contains(stderr, "not watched") {
		t.Errorf("an unknown cluster: exit %d: %s", code, stderr)
	}
	f.push(`{app="orders"}`, `[2026-03-04 12:00:00,000] WARN [Consumer clientId=orders-1, groupId=orders] consumer poll timeout has expired. This means the time between subsequent calls to poll() was longer than the configured max.poll.interval.ms`)
	f.until("deploy_seen", func(r streamkeeper.Report) bool {
		for _, found := range r.Findings {
			for _, e := range found.Evidence {
				if found.Cause == "max_poll_interval_exceeded" && e.ID == "deploy_seen" && e.Bearing == streamkeeper.Supports {
					return true
				}
			}
		}
		return false
	})
}

package loki

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
)

// dull are lines of brokers and applications that tell nothing; some come near.
var dull = []string{
	`[2026-03-04 12:00:00,000] INFO [LocalLog partition=orders-3, dir=/var/lib/kafka/data-0] Rolled new log segment at offset 93742 in 3 ms. (kafka.log.LocalLog)`,
	`[2026-03-04 12:00:00,000] INFO [GroupCoordinator 1]: Assignment received from leader orders-1 for group orders for generation 7. The group has 3 members (kafka.coordinator.group.GroupCoordinator)`,
	`2026-03-04T12:00:00.000Z  INFO 1 --- [ntainer#0-0-C-1] o.a.k.c.c.internals.ConsumerCoordinator  : [Consumer clientId=orders-1, groupId=orders] Successfully joined group with generation Generation{`,
	`{"level":"info","ts":1772625600.123,"caller":"orders/handler.go:87","msg":"order accepted","order":"8c2f0d19-4a63-41e7","customer":"a0ba8122","took_ms":12.5}`,
	`10.1.2.3 - - [04/Mar/2026:12:00:00 +0000] "POST /api/v1/orders HTTP/1.1" 201 1234 "-" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"`,
}

// mixed makes lines of 200 bytes on 50 streams of which one in a hundred tells something, and says how many do.
func mixed(t testing.TB, n int) (streams []push.Stream, relevant int) {
	patterns := builtIn(t)
	rng := rand.New(rand.NewPCG(1, 2))
	streams = make([]push.Stream, 50)
	for i := range streams {
		streams[i].Labels = fmt.Sprintf(`{app="a", namespace="prod", pod="app-%d", group="g%d"}`, i, i)
	}
	for i := range n {
		line := dull[rng.IntN(len(dull))]
		if i%100 == 7 {
			p := patterns[relevant%len(patterns)]
			line = p.Lines[rng.IntN(len(p.Lines))].Line
			relevant++
		} else {
			line += strings.Repeat(" x", 100)
			line = line[:200]
		}
		s := &streams[i%len(streams)]
		s.Entries = append(s.Entries, push.Entry{Timestamp: noon.Add(time.Duration(i) * time.Microsecond), Line: line})
	}
	return streams, relevant
}

func TestPush_MixedLinesGiveTheRightEvents(t *testing.T) {
	b := newBench(t, Limits{})
	b.Source(SourceOptions{Cluster: "prod"})
	streams, relevant := mixed(t, 10_000)
	if w := b.do(encode(t, streams...)); w.Code != http.StatusNoContent {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if got := b.counts.relevant.Load(); got != int64(relevant) || relevant != 100 {
		t.Errorf("%d relevant lines, want %d", got, relevant)
	}
}

// BenchmarkPush is a whole push: HTTP handler, snappy, protobuf, scan, patterns. It must be ≥ 100,000 lines/s on one core.
func BenchmarkPush(b *testing.B) {
	r := newBench(b, Limits{})
	s := r.Source(SourceOptions{Cluster: "prod"})
	const lines = 5000
	streams, relevant := mixed(b, lines)
	body := encode(b, streams...)
	b.ReportAllocs()
	for b.Loop() {
		req := httptest.NewRequest(http.MethodPost, "/loki/api/v1/push", bytes.NewReader(body))
		w := httptest.NewRecorder()
		r.ServeHTTP(w, req)
		if w.Code != http.StatusNoContent {
			b.Fatal(w.Code)
		}
		s.mu.Lock()
		if len(s.hits) != relevant {
			b.Fatalf("%d hits, want %d", len(s.hits), relevant)
		}
		s.hits = s.hits[:0]
		s.mu.Unlock()
	}
	b.ReportMetric(float64(b.N*lines)/b.Elapsed().Seconds(), "lines/s")
}

// BenchmarkDullLines is the same without anything relevant.
func BenchmarkDullLines(b *testing.B) {
	r := newBench(b, Limits{})
	r.Source(SourceOptions{Cluster: "prod"})
	const lines = 5000
	streams, _ := mixed(b, lines)
	for i := range streams {
		for j := range streams[i].Entries {
			streams[i].Entries[j].Line = (dull[j%len(dull)] + strings.Repeat(" x", 100))[:200]
		}
	}
	body := encode(b, streams...)
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/loki/api/v1/push", bytes.NewReader(body)))
		if w.Code != http.StatusNoContent {
			b.Fatal(w.Code)
		}
	}
	b.ReportMetric(float64(b.N*lines)/b.Elapsed().Seconds(), "lines/s")
}

func TestLook_DullLinesAllocateNothing(t *testing.T) {
	r := newBench(t, Limits{})
	r.Source(SourceOptions{Cluster: "prod"})
	s, tl, err := r.find([]byte(`{app="a", broker="1"}`), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range dull {
		e := entry{at: noon, line: []byte(line)}
		if n := testing.AllocsPerRun(100, func() { tl.look(r.Receiver, s, e) }); n != 0 {
			t.Errorf("%.0f allocations for %.60s", n, line)
		}
	}
	if len(tl.hits) != 0 {
		t.Errorf("%d of them tell something", len(tl.hits))
	}
}

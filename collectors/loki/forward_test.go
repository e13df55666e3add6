package loki

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// queue is an event log with a bound.
type queue struct {
	mu      sync.Mutex
	events  []streamkeeper.Event
	lost    uint64
	changed chan struct{}
}

func (q *queue) add(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for range n {
		q.events = append(q.events, streamkeeper.Event{At: noon, Kind: "deploy", Source: "deploys", Entity: streamkeeper.Entity{Kind: "group", Name: "orders", Cluster: "prod"}})
	}
	close(q.changed)
	q.changed = make(chan struct{})
}

func (q *queue) feed(after uint64, limit int) ([]streamkeeper.Event, uint64, uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	end := min(len(q.events), int(after)+limit)
	lost := q.lost
	q.lost = 0
	return q.events[after:end], uint64(end), lost
}

func (q *queue) more() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.changed
}

// fakeLoki answers in turn, then 204, and keeps when it was asked and what it took.
type fakeLoki struct {
	mu      sync.Mutex
	start   time.Time
	answers []*http.Response
	asked   []time.Duration
	took    []push.PushRequest
}

func (l *fakeLoki) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, time.Since(l.start))
	if len(l.answers) > 0 {
		a := l.answers[0]
		l.answers = l.answers[1:]
		if a == nil {
			return nil, io.ErrUnexpectedEOF
		}
		return a, nil
	}
	body, _ := io.ReadAll(r.Body)
	raw, err := snappy.Decode(nil, body)
	if err != nil {
		return nil, err
	}
	var req push.PushRequest
	if err := req.Unmarshal(raw); err != nil {
		return nil, err
	}
	l.took = append(l.took, req)
	return answerOf(204, ""), nil
}

func answerOf(status int, retry string) *http.Response {
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{"Retry-After": {retry}}, Body: io.NopCloser(bytes.NewReader(nil))}
}

func TestForwarder_TriesAgainAndDropsWhatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{changed: make(chan struct{}), lost: 7}
		loki := &fakeLoki{start: time.Now(), answers: []*http.Response{nil, answerOf(503, ""), answerOf(429, "30")}}
		f := NewForwarder(ForwardOptions{
			URL: "http://u:p@loki/loki/api/v1/push", Feed: q.feed, Changed: q.more,
			Client: &http.Client{Transport: loki}, Logger: slog.New(slog.DiscardHandler),
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- f.Run(ctx) }()
		q.add(forwardBatch + 20)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		// The first after nothing, then 1 s, 2 s, what Loki asked for; the second batch at once.
		want := []time.Duration{0, time.Second, 3 * time.Second, 33 * time.Second, 33 * time.Second}
		if len(loki.asked) != len(want) {
			t.Fatalf("asked at %v, want %v", loki.asked, want)
		}
		for i := range want {
			if loki.asked[i] != want[i] {
				t.Errorf("asked at %v, want %v", loki.asked, want)
				break
			}
		}
		if f.sent.Load() != forwardBatch+20 || f.dropped.Load() != 7 || f.failed.Load() != 3 {
			t.Errorf("sent %d, dropped %d, failed %d", f.sent.Load(), f.dropped.Load(), f.failed.Load())
		}
		s := loki.took[0].Streams
		if len(s) != 1 || len(s[0].Entries) != forwardBatch || !strings.Contains(s[0].Labels, `kind="deploy"`) || !strings.Contains(s[0].Entries[0].Line, `"orders"`) {
			t.Errorf("%d streams, %s", len(s), s[0].Labels)
		}
		loki.mu.Lock()
		loki.answers = []*http.Response{answerOf(400, "")}
		loki.mu.Unlock()
		q.add(1)
		q.add(1)
		time.Sleep(time.Minute)
		synctest.Wait()
		if f.dropped.Load() < 8 {
			t.Errorf("dropped %d, want the refused ones too", f.dropped.Load())
		}
		cancel()
		if err := <-done; err != context.Canceled {
			t.Errorf("ended with %v", err)
		}
	})
}

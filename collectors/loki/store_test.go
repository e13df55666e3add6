package loki

import (
	"testing"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

func TestStoreCalls_CountWhatBrokersSaidLately(t *testing.T) {
	var c storeCalls
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	fail := func(after time.Duration, class string, answered bool) bool {
		return c.take(streamkeeper.Event{
			At: at.Add(after), Kind: storeCallFailed, Attrs: map[string]any{"class": class, "answered": answered},
		}, at.Add(after))
	}
	if got := c.samples("c", at); got != nil {
		t.Errorf("nobody wrote of a failure, and %d counts are told", len(got))
	}
	for i, want := range []bool{true, false, false, true} { // one event in five seconds
		if got := fail(time.Duration(i)*2*time.Second, "denied", true); got != want {
			t.Errorf("failure %d is told: %v", i, got)
		}
	}
	if fail(7*time.Second, "not_found", true) {
		t.Error("an object that is not there is told as a failure")
	}
	fail(7*time.Second, "down", false)
	got := map[string]float64{}
	for _, s := range c.samples("c", at.Add(10*time.Second)) {
		got[s.Labels["class"]+"/"+s.Labels["answered"]] = s.Value
	}
	for class, want := range map[string]float64{"denied/true": 4, "down/false": 1, "down/true": 0, "throttled/true": 0} {
		if v, ok := got[class]; !ok || v != want {
			t.Errorf("%s is %v (told: %v), want %v", class, v, ok, want)
		}
	}
	if got := c.samples("c", at.Add(5*time.Minute)); got != nil {
		t.Error("after minutes without a failure the counts still speak")
	}
}

func TestPatterns_ApplicationsHaveStoresOfTheirOwn(t *testing.T) {
	s, err := newScanner(builtIn(t))
	if err != nil {
		t.Fatal(err)
	}
	line := "Caused by: software.amazon.awssdk.services.s3.model.S3Exception: Access Denied (Service: S3, Status Code: 403, Request ID: null)"
	p, attrs, facts := s.read([]byte(line))
	if p == nil {
		t.Fatal("not read")
	}
	h := hit{at: time.Unix(1, 0), p: p, attrs: attrs, facts: facts, labels: map[string]string{"pod": "billing-0"}, line: line}
	if e, _, ok := h.event("c", "loki", newIndex()); ok {
		t.Errorf("claimed for %v", e.Entity)
	}
}

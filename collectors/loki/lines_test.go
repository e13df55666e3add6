package loki

import "testing"

// TestTake: lines that come by another door give the same events, within the same limits.
func TestTake(t *testing.T) {
	b := newBench(t, Limits{})
	s := b.Source(SourceOptions{Cluster: "prod"})
	long := make([]byte, b.limits.LineBytes+1)
	rejected, err := b.Take("prod", map[string]string{"pod_ip": "10.0.0.3"}, []Pushed{
		{At: noon, Text: []byte(maxPoll), Metadata: map[string]string{"consumer_group": "bills"}}, {At: noon, Text: long},
	})
	if rejected != 1 || err == nil {
		t.Errorf("%d rejected, %v", rejected, err)
	}
	if _, err := b.Take("", nil, []Pushed{{At: noon, Text: []byte("nothing")}}); err != nil {
		t.Errorf("a stream without labels: %v", err)
	}
	k := collect(t, s, noon)
	if len(k.events) != 1 || k.events[0].Kind != "member_left" || k.events[0].Entity.Name != "bills" || k.events[0].String("host") != "10.0.0.3" {
		t.Errorf("%+v", k.events)
	}
}

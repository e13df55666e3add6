package events

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper"
)

var epoch = time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }

func event(seq uint64, seconds int, kind string) streamkeeper.Event {
	return streamkeeper.Event{Seq: seq, At: at(seconds), Kind: kind, Entity: streamkeeper.Entity{Kind: "group", Name: "g", Cluster: "c"}, Source: "broker"}
}

func watermark(source string, from, through int) streamkeeper.Watermark {
	return streamkeeper.Watermark{Source: source, Cluster: "c", From: at(from), Through: at(through), Heartbeat: at(through)}
}

func seqs(es []streamkeeper.Event) []uint64 {
	var out []uint64
	for _, e := range es {
		out = append(out, e.Seq)
	}
	return out
}

func TestLogOrdersAndDeduplicates(t *testing.T) {
	l := NewLog(Options{})
	l.Add([]streamkeeper.Event{event(1, 10, "a"), event(2, 30, "b")}, watermark("broker", 0, 30))
	added := l.Add([]streamkeeper.Event{event(2, 30, "b"), event(3, 20, "a")}, watermark("broker", 0, 40))
	if d := cmp.Diff([]uint64{3}, seqs(added)); d != "" {
		t.Errorf("new events: %s", d)
	}
	for _, test := range []struct {
		name     string
		kinds    []string
		from, to int
		want     []uint64
	}{
		{"a late event is in its place", nil, 0, 40, []uint64{1, 3, 2}},
		{"by kind", []string{"a"}, 0, 40, []uint64{1, 3}},
		{"the start is excluded, the end is not", nil, 10, 30, []uint64{3, 2}},
		{"none", []string{"c"}, 0, 40, nil},
	} {
		if d := cmp.Diff(test.want, seqs(l.Events("c", test.kinds, at(test.from), at(test.to)))); d != "" {
			t.Errorf("%s: %s", test.name, d)
		}
	}
	if got := l.Events("other", nil, at(0), at(40)); got != nil {
		t.Errorf("another cluster has %v", got)
	}
	// The same number from another source, or without a number, is another event.
	other := event(1, 10, "a")
	other.Source = "broker-1"
	if added := l.Add([]streamkeeper.Event{other, event(0, 10, "a"), event(0, 10, "a")}, streamkeeper.Watermark{}); len(added) != 3 {
		t.Errorf("%d added, want 3", len(added))
	}
}

func TestLogFillsInWhatTheSourceLeftOut(t *testing.T) {
	l := NewLog(Options{})
	l.Add([]streamkeeper.Event{{Seq: 1, At: at(1), Kind: "a"}}, watermark("broker", 0, 1))
	got := l.Events("c", nil, at(0), at(1))
	if len(got) != 1 || got[0].Entity.Cluster != "c" || got[0].Source != "broker" {
		t.Errorf("%+v", got)
	}
}

func TestCovered(t *testing.T) {
	tests := []struct {
		name     string
		marks    []streamkeeper.Watermark
		kind     string
		from, to int
		want     bool
	}{
		{"the window lies inside", []streamkeeper.Watermark{watermark("broker", 0, 100)}, "member_left", 0, 100, true},
		{"it begins before the source did", []streamkeeper.Watermark{watermark("broker", 10, 100)}, "member_left", 0, 100, false},
		{
			"a zero start covers all the past: the source knows everything since its beginning",
			[]streamkeeper.Watermark{{Source: "broker", Cluster: "c", Through: at(100), Heartbeat: at(100)}},
			"member_left", -1000, 100, true,
		},
		{"a source trails by a poll", []streamkeeper.Watermark{watermark("broker", 0, 100)}, "member_left", 0, 110, true},
		{"a source that trails by three is late", []streamkeeper.Watermark{watermark("broker", 0, 100)}, "member_left", 0, 115, false},
		{
			"a source that has not spoken is dead, whatever it had promised",
			[]streamkeeper.Watermark{{Source: "broker", Cluster: "c", From: at(0), Through: at(500), Heartbeat: at(100)}},
			"member_left", 0, 200, false,
		},
		{
			"a source that is asked once a minute trails by more",
			[]streamkeeper.Watermark{watermark("kafka", 0, 60), watermark("kafka", 0, 120), watermark("kafka", 0, 180)},
			"member_gone", 0, 300, true,
		},
		{
			"but not one that was once away for a minute",
			[]streamkeeper.Watermark{watermark("kafka", 0, 100), watermark("kafka", 0, 105), watermark("kafka", 0, 165)},
			"member_gone", 0, 200, false,
		},
		{"nobody tells of this", nil, "member_left", 0, 100, false},
		{"the Kafka protocol has no reasons for leaving", []streamkeeper.Watermark{watermark("kafka", 0, 100)}, "member_left", 0, 100, false},
		{"the logs of all brokers tell who left", []streamkeeper.Watermark{watermark("kafka", 0, 100), watermark("loki", 0, 100)}, "member_left", 0, 100, true},
		{"but not whose commit was refused", []streamkeeper.Watermark{watermark("loki", 0, 100)}, "commit_rejected", 0, 100, false},
		{"nor which topics came and went", []streamkeeper.Watermark{watermark("loki", 0, 100)}, "topic_created", 0, 100, false},
		{"of those the Kafka collector tells all the same", []streamkeeper.Watermark{watermark("kafka", 0, 100), watermark("loki", 90, 100)}, "topic_created", 0, 100, true},
		{"a log that came late does not tell of a stop before", []streamkeeper.Watermark{watermark("loki", 50, 100)}, "shutdown_requested", 0, 100, false},
		{"offsets are told by the Kafka collector", []streamkeeper.Watermark{watermark("kafka", 0, 100), watermark("broker", 90, 100)}, "offset_rewound", 0, 100, true},
		{"and not by a broker", []streamkeeper.Watermark{watermark("broker", 0, 100)}, "offset_rewound", 0, 100, false},
		{"of several brokers all must cover", []streamkeeper.Watermark{watermark("broker-0", 0, 100), watermark("broker-1", 50, 100)}, "member_left", 0, 100, false},
		{"topics on a foreign cluster are the Kafka collector's", []streamkeeper.Watermark{watermark("kafka", 0, 100)}, "topic_created", 0, 100, true},
		{"where a broker tells, it is the broker's word that counts", []streamkeeper.Watermark{watermark("kafka", 0, 100), watermark("broker", 50, 100)}, "topic_created", 0, 100, false},
		{"a shutdown request outlives the process, so a restart hides none", []streamkeeper.Watermark{watermark("broker", 90, 100)}, "shutdown_requested", 0, 100, true},
		{"deploys have a source of their own", []streamkeeper.Watermark{watermark("broker", 0, 100)}, "deploy", 0, 100, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := NewLog(Options{})
			for _, w := range test.marks {
				l.Add(nil, w)
			}
			if got := l.Covered("c", []string{test.kind}, at(test.from), at(test.to)); got != test.want {
				t.Errorf("covered = %v, want %v", got, test.want)
			}
		})
	}
	l := NewLog(Options{})
	l.Add(nil, watermark("broker", 0, 100))
	if l.Covered("c", []string{"member_left", "offset_rewound"}, at(0), at(100)) {
		t.Error("one kind is not covered, so both are not")
	}
	if l.Covered("c", nil, at(0), at(100)) || l.Covered("other", []string{"member_left"}, at(0), at(100)) {
		t.Error("nothing asked or nobody there is not covered")
	}
}

func TestLogIsBounded(t *testing.T) {
	l := NewLog(Options{PerCluster: 10})
	for i := range 100 {
		l.Add([]streamkeeper.Event{event(uint64(i+1), i, "member_left")}, watermark("broker", -10, i))
	}
	got := l.Events("c", nil, at(-1), at(100))
	if len(got) != 10 || got[0].Seq != 91 {
		t.Errorf("%d events kept from %v, want the newest 10", len(got), got[0].Seq)
	}
	if l.Covered("c", []string{"member_left"}, at(50), at(99)) {
		t.Error("events that had to make room are claimed not to have happened")
	}
	if !l.Covered("c", []string{"member_left"}, at(90), at(99)) {
		t.Error("the window that is kept is not covered")
	}
	if n := len(l.clusters["c"].seen); n != 10 {
		t.Errorf("%d identities are remembered for 10 events", n)
	}
	if n := len(l.arrivals); n > 13 {
		t.Errorf("%d arrivals kept", n)
	}
}

func TestSince(t *testing.T) {
	l := NewLog(Options{PerCluster: 4})
	changed := l.Changed()
	for i := range 3 {
		l.Add([]streamkeeper.Event{event(uint64(i+1), 100-i, "a")}, streamkeeper.Watermark{})
	}
	select {
	case <-changed:
	default:
		t.Error("nobody was told of the new events")
	}
	entries, next, lost := l.Since(0, 2)
	if len(entries) != 2 || entries[0].Event.Seq != 1 || next != 2 || lost != 0 {
		t.Errorf("%v, next %d, lost %d: want the first two as they arrived", entries, next, lost)
	}
	entries, next, _ = l.Since(next, 10)
	if len(entries) != 1 || next != 3 {
		t.Errorf("%v, next %d: want the third", entries, next)
	}
	if entries, next, _ = l.Since(next, 10); len(entries) != 0 || next != 3 {
		t.Errorf("%v, next %d: want nothing new", entries, next)
	}
	if entries, _, _ = l.Since(999, 10); len(entries) != 3 {
		t.Errorf("%d entries for a cursor of another run, want all", len(entries))
	}
	for i := range 20 {
		l.Add([]streamkeeper.Event{event(uint64(i+10), 200+i, "a")}, streamkeeper.Watermark{})
	}
	if entries, _, lost = l.Since(3, 100); len(entries)+int(lost) != 20 || lost == 0 {
		t.Errorf("%d entries and %d lost, want 20 together", len(entries), lost)
	}
}

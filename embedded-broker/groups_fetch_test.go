package broker

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/group"
	"github.com/streamkeeper-io/streamkeeper/test/alloctest"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A slow consumer's time per record is told from the pauses between its fetches alone.
func TestSpeed_OfABackloggedMember(t *testing.T) {
	t.Parallel()
	l := newGroupLab(t, quick)
	l.topic("t", 1)
	for range 40 { // batches of 10, so that a fetch can be small
		l.produce("t", 1, 10)
	}
	c := l.client(kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.ClientID("slow"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxPartitionBytes(300), kgo.AutoCommitInterval(100*time.Millisecond),
		kgo.HeartbeatInterval(100*time.Millisecond))
	const perRecord = 4 * time.Millisecond
	seen := 0
	for seen < 200 {
		fetches := c.PollFetches(t.Context())
		fetches.EachRecord(func(*kgo.Record) { seen++; time.Sleep(perRecord) })
	}
	m := l.metrics()
	for name, bounds := range map[string][2]float64{
		"record_seconds{group=g}":                       {.003, .02},
		"record_seconds_max{group=g}":                   {.003, .02},
		"records_per_fetch{group=g}":                    {10, 20},
		"position_lag_messages{group=g}":                {50, 200},
		"position_advance_total{group=g}":               {190, 400},
		"backlog_messages{group=g}":                     {100, 400},
		"backlog_seconds{group=g}":                      {.5, 60},
		"session_timeout_seconds{group=g}":              {45, 45},
		"rebalance_timeout_seconds{group=g}":            {60, 60},
		"members{group=g}":                              {1, 1},
		"rebalances_total{group=g}":                     {1, 1},
		"refetches_total{group=g}":                      {0, 0},
		"fact{fact=classic,group=g}":                    {1, 1},
		"fact{fact=kip848,group=g}":                     {0, 0},
		"fact{fact=direct_tcp,group=g}":                 {1, 1},
		"fact{fact=leave_reasons,group=g}":              {0, 0},
		"fact{fact=poll_limit,group=g}":                 {0, 0},
		"fact{fact=shared_host,group=g}":                {0, 0},
		"losses_total{group=g,kind=left}":               {0, 0},
		"fetched_bytes_total{group=g,tier=cold}":        {0, 0},
		"unstable_seconds_total{group=g}":               {.09, 3},
		"fenced_total{code=FENCED_INSTANCE_ID,group=g}": {0, 0},
	} {
		if v, ok := m[name]; !ok || v < bounds[0] || v > bounds[1] {
			t.Errorf("%s is %v (known: %v), want %v to %v", name, v, ok, bounds[0], bounds[1])
		}
	}
	if m["fetched_bytes_total{group=g,tier=hot}"]+m["fetched_bytes_total{group=g,tier=warm}"] == 0 {
		t.Error("no bytes are attributed to the group")
	}

	// Now it stops to fetch, and its heartbeats go on.
	l.eventually("the idle member is told", func() bool { return l.metrics()["fetch_idle_seconds{group=g}"] > 1 })
}

// A consumer that dies over the same record again and again shows as refetches.
func TestRefetches(t *testing.T) {
	t.Parallel()
	l := newGroupLab(t, quick)
	l.topic("t", 1)
	l.produce("t", 1, 10)
	for i := range 6 {
		c := l.consume("g", "t", kgo.DisableAutoCommit(), kgo.ClientID(fmt.Sprint("c", i)))
		l.eventually("it read", func() bool { return c.received() == 10 })
		c.Close()
		want := max(i-1, 0) // the first two reads are everybody's right
		if n := l.metrics()["refetches_total{group=g}"]; n != float64(want) {
			t.Errorf("%v refetches after read %d, want %d", n, i+1, want)
		}
	}
	told := l.events("offset_refetched")
	if len(told) != 2 {
		t.Fatalf("%d events, want one at the third and one at the sixth time: %v", len(told), told)
	}
	is(t, told[0], "times", 3.0)
	is(t, told[1], "times", 6.0)
	is(t, told[0], "offset", 0.0)
	is(t, told[0], "topic", "t")
	is(t, told[0], "member", "c2@127.0.0.1")
}

func TestPartitionTrack_Served(t *testing.T) {
	cases := []struct {
		name, why string
		starts    []int64
		times     []int64
	}{
		{"reading on", "progress is no refetch", []int64{0, 10, 20, 30}, []int64{0, 0, 0, 0}},
		{"one replay", "a reset to the start reads everything once more, each place only once", []int64{0, 10, 20, 0, 10, 20, 30}, []int64{0, 0, 0, 0, 0, 0, 0}},
		{"stuck", "the poison pill", []int64{0, 10, 10, 10, 10}, []int64{0, 0, 0, 3, 4}},
		{"falling back", "the crash loop that gets a little further each time", []int64{0, 10, 0, 10, 0, 10}, []int64{0, 0, 0, 0, 3, 0}},
		{"over it", "what was stuck before is forgotten once it gets further", []int64{5, 5, 6, 6, 6}, []int64{0, 0, 0, 0, 3}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Log("because: " + c.why)
			p := &partitionTrack{group: &groupFetch{}, position: -1, lastStart: -1, highest: -1}
			for i, start := range c.starts {
				if times := p.served(start, time.Unix(1, 0)); times != c.times[i] {
					t.Errorf("fetch %d from %d: %d times, want %d", i, start, times, c.times[i])
				}
			}
		})
	}
}

func TestHeadRing_Age(t *testing.T) {
	at := func(s float64) time.Time { return time.Unix(1000, 0).Add(time.Duration(s * float64(time.Second))) }
	r := &headRing{}
	if _, ok := r.age(5, at(0)); ok {
		t.Error("an age without a sample")
	}
	r.add(100, at(0))
	r.add(100, at(10)) // nothing came for 10 s
	r.add(120, at(11))
	r.add(140, at(12))
	for _, c := range []struct {
		offset int64
		want   float64
		ok     bool
		why    string
	}{
		{99, 0, false, "it was there before we watched"},
		{100, 5, true, "it came after the last look at 100"},
		{110, 4.5, true, "half way between two looks"},
		{120, 4, true, "in the next step"},
		{140, 0, true, "there is none yet"},
	} {
		age, ok := r.age(c.offset, at(15))
		if ok != c.ok || ok && (age.Seconds() < c.want-.01 || age.Seconds() > c.want+.01) {
			t.Errorf("age of %d is %v, %v; want %v, %v: %s", c.offset, age, ok, c.want, c.ok, c.why)
		}
	}
	for i := range 5000 {
		r.add(int64(200+i), at(20+float64(i)))
	}
	if len(r.steps) > headSamples {
		t.Errorf("%d samples kept, at most %d are allowed", len(r.steps), headSamples)
	}
	if age, ok := r.age(5190, at(5020)); !ok || age < 5*time.Second || age > 40*time.Second {
		t.Errorf("a recent record is %v old, %v", age, ok)
	}
	r.add(3, at(6000))
	if len(r.steps) != 1 {
		t.Error("samples of a topic that was deleted and made anew are kept")
	}
}

// Fetches are attributed only when they can be.
func TestAttribution(t *testing.T) {
	l := newGroupLab(t, quick)
	l.topic("t", 1)
	s := l.broker.groups
	tp := group.TopicPartition{Topic: "t"}
	owner := func(name string) *memberTrack {
		m := &memberTrack{group: name, id: name, clientID: "", host: "h"}
		m.assigned = map[group.TopicPartition]*partitionTrack{tp: {group: &groupFetch{group: name}, tp: tp, position: -1, lastStart: -1, highest: -1}}
		s.fetchers.add(m)
		return m
	}
	one := owner("one")
	c := &conn{b: l.broker, host: "h"}
	target := func(c *conn, offset int64) *memberTrack { return s.target(s.fetchers.conn(c), c, tp, offset).member }
	if got := target(c, 0); got != one {
		t.Errorf("the only owner is not found: %v", got)
	}
	if got := target(&conn{b: l.broker, host: "elsewhere"}, 0); got != nil {
		t.Error("a stranger's fetch is attributed")
	}
	two := owner("two")
	if got := target(c, 0); got != one {
		t.Error("a connection that was known is forgotten when another group comes")
	}
	fresh := &conn{b: l.broker, host: "h"}
	if got := target(fresh, 5); got != nil {
		t.Error("a fetch that two members may have sent is attributed")
	}
	done := make(chan error, 1)
	l.engine.CommitOffsets("two", map[engine.OffsetKey]engine.CommittedOffset{{Topic: "t"}: {Offset: 5}}, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := target(fresh, 5); got != two {
		t.Error("the member whose committed offset is fetched is not found")
	}
	one.conn = c
	s.fetchers.remove(two)
	if got := target(fresh, 9); got != one {
		t.Error("a member that is gone is still a candidate")
	}
}

// However many groups there are, their series are bounded, and nothing is lost from the sums.
func TestGroupMetrics_AreBounded(t *testing.T) {
	l := newGroupLab(t, quick)
	for i := range maxGroupSeries + 50 {
		c := l.broker.groups.obtain(fmt.Sprintf("g%04d", i))
		c.track.commits.add(time.Now(), group.None)
	}
	groups, commits := map[string]bool{}, 0.0
	for name, v := range l.metrics() {
		if label, ok := strings.CutPrefix(name, "commits_total{code=NONE,group="); ok {
			groups[label] = true
			commits += v
		}
	}
	if len(groups) != maxGroupSeries+1 || !groups["other}"] {
		t.Errorf("%d groups have series, want %d and other", len(groups), maxGroupSeries)
	}
	if commits != maxGroupSeries+50 {
		t.Errorf("the series add up to %v commits", commits)
	}
}

func TestLibraryFacts(t *testing.T) {
	for _, c := range []struct {
		library, version                         string
		reasons, reasonsKnown, limit, limitKnown bool
	}{
		{"", "", false, false, false, false},
		{"apache-kafka-java", "3.9.0", true, true, true, true},
		{"apache-kafka-java", "3.1.2", false, true, true, true},
		{"apache-kafka-java", "unknown", false, false, true, true},
		{"librdkafka", "2.3.0", false, true, true, true},
		{"confluent-kafka-python", "2.3.0", false, true, true, true},
		{"kgo", "1.22.2", false, true, false, true},
		{"sarama", "1.43", false, true, false, true},
		{"kafka-python", "2.0", false, true, true, true},
		{"streamkeeper-worker", "1", true, true, true, true},
		{"my-own", "1", false, false, false, false},
	} {
		reasons, reasonsKnown := leaveReasons(c.library, c.version)
		limit, limitKnown := pollLimit(c.library)
		if reasons != c.reasons || reasonsKnown != c.reasonsKnown || limit != c.limit || limitKnown != c.limitKnown {
			t.Errorf("%s %s: reasons %v (%v), limit %v (%v)", c.library, c.version, reasons, reasonsKnown, limit, limitKnown)
		}
	}
}

func TestGroupMetadata_RoundTrip(t *testing.T) {
	at := time.UnixMilli(1700000000000)
	s := group.Snapshot{
		ProtocolType: "consumer", Generation: 7, Protocol: "range", Leader: "m1", StateSince: at,
		Members: []group.SnapshotMember{
			{ID: "m1", ClientID: "c", Host: "h", SessionTimeout: time.Second, RebalanceTimeout: time.Minute, Subscription: []byte{1}, Assignment: []byte{2}},
			{ID: "m2", InstanceID: "i", ClientID: "c", Host: "h", SessionTimeout: time.Second, RebalanceTimeout: time.Minute, Subscription: []byte{1}, Assignment: []byte{}},
		},
	}
	got, err := decodeGroup(encodeGroup(s))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What is stored may be damaged; reading it must end in an error or in a group that works.
func FuzzDecodeGroup(f *testing.F) {
	f.Add(encodeGroup(group.Snapshot{}))
	f.Add(encodeGroup(group.Snapshot{ProtocolType: "consumer", Protocol: "range", Leader: "m", Members: []group.SnapshotMember{{ID: "m", SessionTimeout: time.Second}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s group.Snapshot
		var err error
		alloctest.Bound(t, len(b), 64, func() { s, err = decodeGroup(b) })
		if err != nil {
			return
		}
		now := time.Unix(1700000000, 0)
		m, err := group.Restore("g", now, group.Options{}, s)
		if err != nil {
			return
		}
		for range 10_000 {
			at, ok := m.Deadline()
			if !ok {
				return
			}
			m.Expire(at)
		}
		t.Fatalf("timers never end: state %s with %d members", m.State(), m.Size())
	})
}

func TestGroups_CloseAnswersWhoWaits(t *testing.T) {
	l := newGroupLab(t, GroupOptions{InitialRebalanceDelay: time.Minute})
	l.topic("t", 1)
	c := l.client(kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"))
	go c.PollFetches(t.Context())
	l.eventually("the join waits", func() bool {
		g := l.broker.groups.find("g")
		if g == nil {
			return false
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.machine.Size() == 1
	})
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := l.broker.Close(ctx); err != nil {
		t.Error(err)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("closing took %v: it waited for a JoinGroup", d)
	}
}

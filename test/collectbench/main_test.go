package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var epoch = time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)

// requests are some at seconds since epoch, the first of each cycle a Metadata request.
func requests(seconds ...float64) []asked {
	var all []asked
	for _, s := range seconds {
		all = append(all, asked{epoch.Add(time.Duration(s * float64(time.Second))), int16(kmsg.ListOffsets)})
	}
	return all
}

func TestCyclesArePartedByPauses(t *testing.T) {
	got := cycles(requests(0, .5, 1.9, 15, 15.1, 17, 30))
	sizes := ""
	for _, c := range got {
		sizes += string(rune('0' + len(c)))
	}
	if sizes != "3211" { // 15.1 to 17 is a pause
		t.Errorf("cycles of %s requests", sizes)
	}
	if cycles(nil) != nil {
		t.Error("cycles of nothing")
	}
}

func TestJudgeCountsWithinEverySecond(t *testing.T) {
	f := &fleet{began: epoch}
	f.seen = requests(0, .4, .9, .95, 1.35, 20, 20.5, 40) // the last cycle may be cut
	var r fleetResult
	f.judge(&r)
	if r.Most != 4 { // from 0.4 on
		t.Errorf("%d requests in a second, want 4", r.Most)
	}
	if r.FirstCycle != 1.35 || r.Cycle != .5 || r.Requests != 2 {
		t.Errorf("first cycle %v s, slowest later %v s, %v requests", r.FirstCycle, r.Cycle, r.Requests)
	}
	if got := byKey(f.seen[:2]); got != "ListOffsets 2 " {
		t.Errorf("%q", got)
	}
	if got := f.since(epoch.Add(20 * time.Second)); len(got) != 3 {
		t.Errorf("%d since the third cycle began", len(got))
	}
}

func TestPageIsWholeWithAllOfTheGrid(t *testing.T) {
	w, g := ours(""), grid{topics: 1, partitions: 2, groups: 1}
	text := "# HELP x\n" + w.rows + "a} 1\n" + w.rows + "b} 1\n" + w.ends + "a} 4\nstreamkeeper_group_lag_messages{} 1\n"
	p, err := w.readPage(strings.NewReader(text))
	if err != nil || p.rows != 2 || p.ends != 1 || p.bytes != int64(len(text)) || p.whole(g) {
		t.Errorf("%+v %v", p, err)
	}
	if p, _ = w.readPage(strings.NewReader(text + w.ends + "b} 4\n")); !p.whole(g) {
		t.Errorf("%+v is not whole", p)
	}
}

func TestCompareIsTheMedianOfPairs(t *testing.T) {
	of := func(wall, cpu, broker time.Duration, rss int64) cost { return cost{wall, cpu, broker, rss} }
	pairs := []pair{
		{of(1, 1, 1, 50), of(2, 10, 0, 100)}, // a broker's clock that did not move says nothing
		{of(9, 1, 2, 60), of(1, 10, 4, 100)},
		{of(4, 1, 3, 70), of(10, 1, 2, 100)},
	}
	text, err := json.Marshal(compare(pairs))
	if want := `{"wall_ratio":0.5,"cpu_ratio":0.1,"rss_ratio":0.6,"broker_cpu_ratio":1}`; err != nil || string(text) != want {
		t.Errorf("%s %v, want %s", text, err, want)
	}
	if !compare(pairs).passed() || compare(pairs[2:]).passed() {
		t.Error("the bounds are not held")
	}
	alone, _ := json.Marshal(compare([]pair{{ours: of(1, 1, 1, 1)}}))
	if want := `{"wall_ratio":null,"cpu_ratio":null,"rss_ratio":null,"broker_cpu_ratio":null}`; string(alone) != want {
		t.Errorf("without another side: %s", alone)
	}
}

// The fleet answers for each partition and group once, whichever broker is asked.
func TestFleetIsWhole(t *testing.T) {
	f, err := startFleet(shape{brokers: 2, topics: 3, partitions: 4, groups: 5, members: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer f.cluster.Close()
	var meta kmsg.MetadataResponse
	f.metadata(&meta)
	parts := 0
	for _, topic := range meta.Topics {
		parts += len(topic.Partitions)
	}
	if parts != 12 || len(meta.Brokers) != 2 {
		t.Errorf("%d partitions on %d brokers", parts, len(meta.Brokers))
	}
	owned := map[int32]int{}
	for _, m := range f.described(groupName(4)).Members {
		var a kmsg.ConsumerMemberAssignment
		if err := a.ReadFrom(m.MemberAssignment); err != nil {
			t.Fatal(err)
		}
		for _, p := range a.Topics[0].Partitions {
			owned[p]++
		}
	}
	committed := f.committed(groupName(4)).Topics[0]
	if len(owned) != 4 || len(committed.Partitions) != 4 || committed.Topic != topicName(1) {
		t.Errorf("owned %v, committed %v", owned, committed)
	}
	for _, p := range committed.Partitions {
		if head := f.head(1, int(p.Partition)); owned[p.Partition] != 1 || p.Offset > head || p.Offset < head-3-10 {
			t.Errorf("partition %d: owned by %d, committed %d of %d", p.Partition, owned[p.Partition], p.Offset, head)
		}
	}
}

package kafka

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Records that the RemoteLogMetadataSerde of Apache Kafka 4.4.0 wrote: of segment 11121314… of orders-3, from 1000 to 1999,
// copied by broker 1 from 1767225601000 on. The started one has the tagged field of KIP-1058.
const (
	tierIDHex      = "076f72646572730102030405060708090a0b0c0d0e0f1000000003001112131415161718191a1b1c1d1e1f2000"
	startedHex     = "010000" + tierIDHex + "00000000000003e800000000000007cf000000010000019b76daa8000000019b76daabe8030000000000000000000003e8000000000200000000000005780000100000000001000101"
	finishedHex    = "010100" + tierIDHex + "000000010000019b76dab5ac0307080100"
	deletingHex    = "010100" + tierIDHex + "000000010000019b76dab610000200"
	deletedHex     = "010100" + tierIDHex + "000000010000019b76dab674000300"
	unpartitionHex = "010200076f72646572730102030405060708090a0b0c0d0e0f100000000300000000020000019b76dab7a00000"
	snapshotHex    = "01030000000000000000010000000000000002000000000000000000000000000000090000000100000000000000050000000000000006030000000000000000000003e8000000000200000000000005780000000007000100"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestReadCopied(t *testing.T) {
	id := [16]byte(unhex(t, "1112131415161718191a1b1c1d1e1f20"))
	when := func(ms int64) time.Time { return time.UnixMilli(1767225600000 + ms) }
	orders := partition{"orders", 3}
	for _, c := range []struct {
		name, value string
		want        copied
	}{
		{"started", startedHex, copied{orders, id, copyStarted, 1, when(1000), 1000, 1 << 20}},
		{"with fields of later", strings.Replace(startedHex, "000000030011", "000000030205027f7f060011", 1), copied{orders, id, copyStarted, 1, when(1000), 1000, 1 << 20}},
		{"finished, with what the plugin noted", finishedHex, copied{orders, id, copyFinished, 1, when(3500), 0, 0}},
		{"is being deleted", deletingHex, copied{orders, id, deleteStarted, 1, when(3600), 0, 0}},
		{"deleted", deletedHex, copied{orders, id, deleteFinished, 1, when(3700), 0, 0}},
		{"the partition", unpartitionHex, copied{orders, [16]byte{}, partitionDeleted, 2, when(4000), 0, 0}},
	} {
		if got, ok, err := readCopied(&kgo.Record{Value: unhex(t, c.value)}); !ok || err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, %v, want %+v", c.name, got, ok, err, c.want)
		}
	}
	for name, value := range map[string]string{
		"a kind that names no partition": snapshotHex, "a kind of later": "0109000000", "a version of later": "010001ffff", "a frame of later": "02000000",
		"a state of later": strings.TrimSuffix(deletedHex, "0300") + "0400",
	} {
		if got, ok, err := readCopied(&kgo.Record{Value: unhex(t, value)}); ok || err != nil {
			t.Errorf("%s: %+v, %v, %v, want it left out", name, got, ok, err)
		}
	}
	for name, value := range map[string]string{
		"a marker of compaction": "", "cut short": startedHex[:len(startedHex)-20], "from behind its end": strings.Replace(startedHex, "00000000000003e8", "00000000000007ff", 1),
	} {
		if got, _, err := readCopied(&kgo.Record{Value: unhex(t, value)}); err == nil {
			t.Errorf("%s: %+v, want an error", name, got)
		}
	}
}

func FuzzReadCopied(f *testing.F) {
	for _, s := range []string{startedHex, finishedHex, deletingHex, unpartitionHex, snapshotHex} {
		f.Add(unhex(f, s))
	}
	f.Add([]byte{1, 0, 0, 2, 'o', 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, value []byte) {
		l, ok, err := readCopied(&kgo.Record{Value: value})
		if ok && (err != nil || l.where.index < 0 || l.base < 0 || l.size < 0) || err != nil && ok {
			t.Errorf("%v, %v: %+v", ok, err, l)
		}
		if len(l.where.topic) > len(value) {
			t.Errorf("a name of %d bytes in %d", len(l.where.topic), len(value))
		}
	})
}

// copiedRecord writes what readCopied reads.
func copiedRecord(l copied) []byte {
	kind := byte(tierUpdate)
	if l.state == copyStarted {
		kind = tierSegment
	}
	b := kbin.AppendCompactString([]byte{tierFrame, kind, tierVersion}, l.where.topic)
	b = append(kbin.AppendInt32(append(b, make([]byte, 16)...), l.where.index), 0)
	b = append(append(b, l.segment[:]...), 0)
	if kind == tierSegment {
		b = kbin.AppendInt64(kbin.AppendInt64(b, l.base), l.base)
	}
	b = kbin.AppendInt32(b, l.broker)
	if kind == tierSegment {
		b = kbin.AppendInt64(b, 0)
	}
	b = kbin.AppendInt64(b, l.at.UnixMilli())
	if kind == tierSegment {
		b = kbin.AppendInt32(kbin.AppendCompactArrayLen(b, 0), int32(l.size))
	}
	b = kbin.AppendCompactNullableBytes(b, nil)
	return append(kbin.AppendInt8(b, int8(l.state)), 0)
}

// TestTierLog comes to a cluster on which copies took two seconds, and ten of late.
func TestTierLog(t *testing.T) {
	l := newLab(t, 3, Options{TierLog: true})
	l.topics(map[string]int32{"t": 2, tierLog: 12})
	var records []*kgo.Record
	write := func(seconds float64, part int32, segment byte, state copyState) {
		value := copiedRecord(copied{where: partition{"t", part}, segment: [16]byte{segment}, state: state, broker: l.leader("t", part), at: at(seconds), base: int64(segment), size: 1000})
		records = append(records, &kgo.Record{Topic: tierLog, Partition: part, Timestamp: at(seconds), Value: value})
	}
	flush := func() {
		t.Helper()
		if err := l.client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		records = nil
	}
	write(-900, 0, 99, copyStarted) // beyond what is of interest
	for i := range 4 {
		began := -400 + 20*float64(i)
		write(began, 0, byte(i), copyStarted)
		write(began+2, 0, byte(i), copyFinished)
	}
	write(-50, 0, 4, copyStarted)
	write(-30, 0, 4, copyFinished)
	write(-30, 0, 5, copyStarted)
	write(-20, 0, 5, copyFinished)
	write(-10, 1, 6, copyStarted)
	flush()
	fetches := 0
	l.cluster.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		fetches++
		return nil, nil, false
	})
	l.mustRound(0)
	l.mustRound(5)
	l.want("as of when we came", map[string]any{
		"tier_copy_seconds{store=tiered-storage}": 10, "tier_copy_usual_seconds{store=tiered-storage}": 2, "tier_copy_oldest_seconds{store=tiered-storage}": 15,
		"tier_copies_started_total{store=tiered-storage,topic=t}": "absent", // it is not known to have remote storage, and nothing was copied since
	})
	write(6, 1, 6, deleteStarted)
	write(7, 1, 7, copyStarted)
	flush()
	l.mustRound(10)
	l.mustRound(15)
	l.want("a copy failed", map[string]any{
		"tier_copies_started_total{store=tiered-storage,topic=t}":              1,
		"tier_copies_ended_total{outcome=failed,store=tiered-storage,topic=t}": 1, "tier_copies_ended_total{outcome=finished,store=tiered-storage,topic=t}": 0,
		"tier_copy_oldest_seconds{store=tiered-storage}": 8, "tier_copy_busy_seconds_total{store=tiered-storage}": 14,
	})
	l.mustRound(20)
	before := fetches
	for i := range 10 {
		l.mustRound(float64(25 + 5*i))
	}
	if spent := fetches - before; spent > 10*tierLogCalm {
		t.Errorf("where nothing is copied ten looks took %d fetches", spent)
	}
}

func (l *lab) leader(topic string, part int32) int32 {
	return l.cluster.LeaderFor(topic, part)
}

// TestTierLog_Refused: where there is none nothing is missing, and where it may not be read that is said.
func TestTierLog_Refused(t *testing.T) {
	l := newLab(t, 1, Options{TierLog: true})
	l.topics(map[string]int32{"t": 1})
	l.mustRound(0)
	if untold := l.collector.Untold(); len(untold) != 0 {
		t.Errorf("there is no remote storage, and not judged are %+v", untold)
	}
	l.topics(map[string]int32{tierLog: 1})
	l.cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		asked := req.(*kmsg.FetchRequest).Topics[0]
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		resp.Topics = []kmsg.FetchResponseTopic{{Topic: asked.Topic, TopicID: asked.TopicID, Partitions: []kmsg.FetchResponseTopicPartition{{ErrorCode: kerr.TopicAuthorizationFailed.Code}}}}
		return resp, nil, true
	})
	l.mustRound(5)
	l.mustRound(10)
	untold := l.collector.Untold()
	if len(untold) != 1 || !strings.Contains(untold[0].Needs, tierLog) {
		t.Errorf("not judged %+v, want what it needs", untold)
	}
	if v, ok := l.series["tier_copy_oldest_seconds{store=tiered-storage}"]; ok {
		t.Errorf("it may not be read, and %v is told", v)
	}
}

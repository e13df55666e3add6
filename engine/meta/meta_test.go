package meta

import (
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper/engine/guard"
)

func openStore(t *testing.T, fs vfs.FS) *Store {
	t.Helper()
	now := time.UnixMilli(1000)
	s, err := Open(Options{FS: fs, Dir: "meta", Now: func() time.Time { return now }, Random: rand.Reader, Node: 1, Failed: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore_SurvivesAPowerLossAfterEachCall(t *testing.T) {
	fs := vfs.NewCrashableMem()
	if err := fs.MkdirAll("meta", 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := fs.OpenDir("/")
	if err != nil || root.Sync() != nil {
		t.Fatal(err)
	}
	s := openStore(t, fs)
	id := s.ClusterID()
	orders, err := s.CreateTopic("orders", 3, map[string]string{"retention.ms": "60000"}, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateTopic("gone", 2, nil, false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddPartitions("orders", 5); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetConfigs("orders", map[string]string{"cleanup.policy": "compact,delete"}, []string{"retention.ms"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DeleteTopic("gone"); err != nil {
		t.Fatal(err)
	}
	if err := s.SetBroker(map[string]string{"message.max.bytes": "2000"}, nil); err != nil {
		t.Fatal(err)
	}
	epoch, err := s.BumpEpoch()
	if err != nil || epoch != 0 {
		t.Fatal(epoch, err)
	}
	if first, err := s.ProducerIDs(10); err != nil || first != 0 {
		t.Fatal(first, err)
	}

	s = openStore(t, fs.CrashClone(vfs.CrashCloneCfg{}))
	snap := s.Snapshot()
	got, ok := snap.Topic("orders")
	if !ok || len(snap.Topics) != 1 || s.ClusterID() != id {
		t.Fatalf("topics %v, cluster %s", snap.Topics, s.ClusterID())
	}
	want := &Topic{
		ID: orders.ID, Name: "orders", Partitions: 5, Configs: map[string]string{"cleanup.policy": "compact,delete"},
		CreatedAt: time.UnixMilli(1000).UTC(), Extents: []Extent{{0, 3}, {5, 2}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
	f := func(partition int32, want uint32, exists bool) {
		t.Helper()
		if stream, ok := got.Stream(partition); ok != exists || stream != want {
			t.Errorf("partition %d is stream %d, %v", partition, stream, ok)
		}
	}
	f(0, 0, true)
	f(2, 2, true)
	f(3, 5, true)
	f(4, 6, true)
	f(5, 0, false)
	f(-1, 0, false)
	if byID, _ := snap.TopicByID(orders.ID); byID != got || snap.Broker["message.max.bytes"] != "2000" {
		t.Fatal("look-ups disagree")
	}
	if epoch, _ := s.BumpEpoch(); epoch != 1 {
		t.Fatalf("epoch %d", epoch)
	}
	if first, _ := s.ProducerIDs(1); first != 10 {
		t.Fatalf("producer id %d was given twice", first)
	}
	gone, err := s.Deleted()
	if err != nil || len(gone) != 1 || gone[0].Name != "gone" {
		t.Fatal(gone, err)
	}
	if err := s.Cleared(gone[0]); err != nil {
		t.Fatal(err)
	}
	again, err := s.CreateTopic("gone", 1, nil, false)
	if err != nil || again.ID == gone[0].ID || again.Extents[0].Stream != 7 {
		t.Fatalf("a stream or an id was reused: %+v %v", again, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStore_RefusesMistakes(t *testing.T) {
	s := openStore(t, vfs.NewMem())
	if _, err := s.CreateTopic("a", 1, nil, false); err != nil {
		t.Fatal(err)
	}
	f := func(name string, want, got error) {
		t.Helper()
		if !errors.Is(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	create := func(name string, n int32, conf map[string]string) error {
		_, err := s.CreateTopic(name, n, conf, false)
		return err
	}
	f("twice", ErrTopicExists, create("a", 1, nil))
	f("empty name", ErrInvalidTopic, create("", 1, nil))
	f("dots", ErrInvalidTopic, create("..", 1, nil))
	f("slash", ErrInvalidTopic, create("a/b", 1, nil))
	f("no partitions", ErrInvalidPartitions, create("b", 0, nil))
	f("a million partitions", ErrInvalidPartitions, create("b", 1000000, nil))
	f("unknown config", ErrInvalidConfig, create("b", 1, map[string]string{"nonsense": "1"}))
	f("no number", ErrInvalidConfig, create("b", 1, map[string]string{"retention.ms": "soon"}))
	f("too small", ErrInvalidConfig, create("b", 1, map[string]string{"retention.ms": "-2"}))
	f("recompression", ErrInvalidConfig, create("b", 1, map[string]string{"compression.type": "zstd"}))
	f("unknown policy", ErrInvalidConfig, create("b", 1, map[string]string{"cleanup.policy": "delete,keep"}))
	_, err := s.AddPartitions("a", 1)
	f("fewer partitions", ErrInvalidPartitions, err)
	_, err = s.AddPartitions("nobody", 2)
	f("unknown topic", ErrUnknownTopic, err)
	_, err = s.SetConfigs("a", nil, []string{"nonsense"})
	f("unset unknown", ErrInvalidConfig, err)
	f("broker config", ErrInvalidConfig, s.SetBroker(map[string]string{"retention.ms": "1"}, nil))
	f("unknown group config", ErrInvalidConfig, s.SetResource(GroupResource, "g", map[string]string{"retention.ms": "1"}, nil))
	f("unset unknown", ErrInvalidConfig, s.SetResource(GroupResource, "g", nil, []string{"retention.ms"}))
	f("no name", ErrInvalidConfig, s.SetResource(GroupResource, "", map[string]string{"consumer.session.timeout.ms": "5000"}, nil))
	f("no kind", ErrInvalidConfig, s.SetResource("socks", "g", map[string]string{"consumer.session.timeout.ms": "5000"}, nil))
	f("too long", ErrInvalidConfig, s.SetResource(ClientMetricsResource, "m", map[string]string{"metrics": strings.Repeat("x", 5000)}, nil))
	if n := len(s.Snapshot().Topics); n != 1 {
		t.Fatalf("%d topics after refusals", n)
	}
}

func TestResources_SurviveAndAreForgotten(t *testing.T) {
	fs := vfs.NewCrashableMem()
	if err := fs.MkdirAll("meta", 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := fs.OpenDir("/")
	if err != nil || root.Sync() != nil {
		t.Fatal(err)
	}
	s := openStore(t, fs)
	set := func(kind, name, config, value string) {
		t.Helper()
		if err := s.SetResource(kind, name, map[string]string{config: value}, nil); err != nil {
			t.Fatal(err)
		}
	}
	version := s.Snapshot().Version()
	set(GroupResource, "g", "consumer.session.timeout.ms", "9000")
	set(ClientMetricsResource, "g", "interval.ms", "1000")
	set(ClientMetricsResource, "h", "metrics", "*")
	if s.Snapshot().Version() != version {
		t.Error("a config makes other topics")
	}
	if _, err := s.CreateTopic("t", 1, nil, false); err != nil || s.Snapshot().Version() == version {
		t.Errorf("a topic makes no other version: %v", err)
	}
	s = openStore(t, fs.CrashClone(vfs.CrashCloneCfg{}))
	snap := s.Snapshot()
	if got := snap.Resource(GroupResource, "g")["consumer.session.timeout.ms"]; got != "9000" {
		t.Errorf("after a crash the group's timeout is %q", got)
	}
	if got := snap.ResourceNames(ClientMetricsResource); !slices.Equal(got, []string{"g", "h"}) {
		t.Errorf("after a crash there are %v", got)
	}
	if err := s.SetResource(ClientMetricsResource, "h", nil, []string{"metrics"}); err != nil {
		t.Fatal(err)
	}
	if got := s.Snapshot().ResourceNames(ClientMetricsResource); !slices.Equal(got, []string{"g"}) {
		t.Errorf("one without configs is kept: %v", got)
	}
}

func TestConfigs_DefaultsAreValid(t *testing.T) {
	for _, defs := range []map[string]ConfigDef{topicConfigs, brokerConfigs, groupConfigs, clientMetricsConfigs} {
		for name, d := range defs {
			if d.Default == "" {
				continue
			}
			if err := validate(defs, name, d.Default); err != nil {
				t.Error(err)
			}
		}
	}
}

// broken fails all syncs and writes once it is on.
type broken struct{ on bool }

func (b *broken) MaybeError(op errorfs.Op) error {
	if b.on && (op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
		return errors.New("the disk is broken")
	}
	return nil
}

func (b *broken) String() string { return "broken" }

// A deletion that did not reach the disk must not be acted upon, although Pebble shows it: the restart brings the topic
// back, whose data would be gone.
func TestStore_ShowsNothingOfAFailedDeletion(t *testing.T) {
	disk := &broken{}
	s, err := Open(Options{FS: errorfs.Wrap(vfs.NewMem(), disk), Dir: "meta", Now: time.Now, Random: rand.Reader, Node: 1, Failed: func(error) {}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateTopic("orders", 3, nil, false); err != nil {
		t.Fatal(err)
	}
	disk.on = true
	if _, err := s.DeleteTopic("orders"); !errors.Is(err, guard.ErrFailed) {
		t.Fatalf("deleted on a broken disk: %v", err)
	}
	if gone, err := s.Deleted(); !errors.Is(err, guard.ErrFailed) {
		t.Errorf("%d topics are to be cleared, %v", len(gone), err)
	}
	if _, err := s.Export(); !errors.Is(err, guard.ErrFailed) {
		t.Errorf("the bucket would be told: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose"
	"github.com/streamkeeper-io/streamkeeper/rules/catalog"
)

// secretWords are in every name of secretRecording.
var secretWords = []string{"acme", "ivan", "10.9.8.7", "prod-eu", "rack-x"}

// secretRecording is a minute of a group that nobody reads for any more, as collectors/kafka tells it.
func secretRecording() recording {
	from := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	to := from.Add(5 * time.Minute)
	r := recording{
		meta: recordingMeta{
			Schema: recordingSchema, Cluster: "prod-eu", From: from, To: to, TickSeconds: 5, SLOLag: 60,
			Scopes: []diagnose.Scope{{Groups: "acme-*", Owner: "ivan"}, {Cluster: "prod-*", SLOLag: time.Minute}},
		},
		story: "Cluster prod-eu from 12:00 to 12:05.\n", want: "acme", truth: []byte(`{"entity":"acme"}`),
		inventories: []streamkeeper.Inventory{{
			Cluster: streamkeeper.ClusterInfo{Name: "prod-eu", ID: "acme-id", Kind: "kafka"}, Source: "kafka", At: from,
			Brokers: []streamkeeper.BrokerInfo{{ID: 1, Address: "kafka-1.acme.example:9092", Rack: "rack-x"}},
			Topics:  []streamkeeper.TopicInfo{{Name: "acme.orders", Partitions: 1, Leaders: []int32{1}}, {Name: "__consumer_offsets", Partitions: 50}},
			Groups: []streamkeeper.GroupInfo{{
				Name: "acme-billing", State: "Empty", Protocol: "classic", Topics: []string{"acme.orders"}, Assignor: "acme.Assignor",
				Members: []streamkeeper.MemberInfo{{
					Key: "ivan@10.9.8.7", MemberID: "ivan-1234", ClientID: "ivan", Host: "10.9.8.7",
					Assigned: []streamkeeper.TopicPartitionSet{{Topic: "acme.orders", Partitions: []int32{0}}},
				}},
			}},
			Stores: []streamkeeper.StoreInfo{{Name: "acme-bucket", URL: "s3://acme-bucket"}},
		}},
		rounds: []round{{At: from.Add(10 * time.Second), Watermark: streamkeeper.Watermark{Source: "kafka", Cluster: "prod-eu", Through: to, Heartbeat: to}, Events: []streamkeeper.Event{
			{
				At: from.Add(5 * time.Second), Kind: "member_gone", Source: "kafka", Text: "ivan left acme-billing",
				Entity: streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: "acme-billing", Cluster: "prod-eu"},
				Attrs: map[string]any{
					"group": "acme-billing", "member": "ivan@10.9.8.7", "client_id": "ivan", "host": "10.9.8.7", "reason": "ivan pulled the plug",
					"from": "acme.orders", "to": "3", "entity": "topic/acme.orders@prod-eu", "generation": 3.0, "code": "NONE", "novelty": "acme",
				},
			},
			{
				At: from.Add(6 * time.Second), Kind: "offset_rewound", Source: "kafka",
				Entity: streamkeeper.Entity{Kind: streamkeeper.KindPartition, Name: "acme.orders-0", Cluster: "prod-eu"}, Attrs: map[string]any{"reason": "session expired"},
			},
		}}},
	}
	var b strings.Builder
	b.WriteString("# streamkeeper.series/v1\nacme_orders_total{team=\"ivan\"} @1000=1\n")
	series := func(name string, value func(step int) float64) {
		at := from.UnixMilli()
		fmt.Fprintf(&b, "%s @%d=%g", name, at, value(0))
		for step := 1; step <= 60; step++ {
			if step%20 == 0 {
				fmt.Fprintf(&b, "\n%s @%d=%g", name, at+int64(step)*5000, value(step))
				continue
			}
			fmt.Fprintf(&b, " +5000=%g", value(step))
		}
		b.WriteByte('\n')
	}
	flat := func(v float64) func(int) float64 { return func(int) float64 { return v } }
	grows := func(from, each float64) func(int) float64 {
		return func(step int) float64 { return from + each*float64(step) }
	}
	group := `{cluster="prod-eu", group="acme-billing"}`
	series(`streamkeeper_cluster_brokers{cluster="prod-eu"}`, flat(1))
	series(`streamkeeper_cluster_watched_seconds{cluster="prod-eu"}`, grows(3600, 5))
	series("streamkeeper_group_watched_seconds"+group, grows(3600, 5))
	series("streamkeeper_group_members"+group, flat(0))
	series("streamkeeper_group_stable"+group, flat(0))
	series("streamkeeper_group_lag_messages"+group, grows(1000, 50))
	series("streamkeeper_group_lag_seconds"+group, grows(60, 5))
	series("streamkeeper_group_empty_seconds"+group, grows(60, 5))
	series("streamkeeper_group_members_seen_seconds"+group, grows(60, 5))
	series("streamkeeper_group_commit_age_seconds"+group, grows(60, 5))
	series("streamkeeper_group_committed_total"+group, flat(5000))
	series("streamkeeper_group_produced_total"+group, grows(6000, 50))
	series("streamkeeper_group_commits_without_members"+group, flat(0))
	series(`streamkeeper_broker_up{broker="1", cluster="prod-eu", instance="kafka-1.acme.example:7071"}`, flat(1))
	series(`streamkeeper_broker_group_members{broker="1", cluster="prod-eu", group="acme-billing", instance="kafka-1.acme.example:7071", odd="ivan \"} @1\n"}`, flat(0))
	r.signals = []byte(b.String())
	return r
}

func TestRedact_LeavesNoName(t *testing.T) {
	whole := secretRecording()
	r, err := whole.redact()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "r.txtar.gz")
	if err := writeRecording(path, r); err != nil {
		t.Fatal(err)
	}
	back, err := readRecording(path)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%+v\n%s%s%s", back, back.signals, back.truth, back.want)
	for _, word := range secretWords {
		if at := strings.Index(text, word); at >= 0 {
			t.Errorf("%q is still there: …%s…", word, text[max(0, at-80):min(len(text), at+80)])
		}
	}
	if d := cmp.Diff(secretRecording(), whole, cmp.AllowUnexported(recording{}, recordingMeta{})); d != "" {
		t.Errorf("the recording itself was changed: %s", d)
	}
	for _, want := range []string{"__consumer_offsets", "session expired", "kafka", `code:NONE`, "9092", "generation:3"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is no name, and is gone", want)
		}
	}
	g, e := back.inventories[0].Groups[0], back.rounds[0].Events[0]
	if e.Entity.Name != g.Name || e.Attrs["group"] != g.Name || e.Attrs["member"] != g.Members[0].Key || e.Attrs["host"] != g.Members[0].Host ||
		back.rounds[0].Events[1].Entity.Name != g.Topics[0]+"-0" || !strings.Contains(string(back.signals), `group="`+g.Name+`"`) {
		t.Errorf("one name has several pseudonyms: %+v, %+v", g, back.rounds[0].Events)
	}
	if s := back.meta.Scopes; len(s) != 4 || s[0].Groups != g.Name || s[0].Owner != "owner-1" || s[1].Topics != g.Topics[0] || s[3].SLOLag != time.Minute || s[3].Cluster != "" {
		t.Errorf("scopes %+v", s)
	}
}

// Pseudonyms sort as the names do.
func TestRedact_KeepsTheOrder(t *testing.T) {
	d := redactor{}
	names := []string{"a", "a-b", "b", "c", "d", "e", "f", "g", "h", "i", "j", "z"}
	for _, n := range names {
		d.name("group", n)
	}
	d.christen()
	last := ""
	for _, n := range names {
		p := d.name("group", n)
		if p <= last {
			t.Errorf("%s is %s, after %s", n, p, last)
		}
		last = p
	}
}

func TestRedact_RefusesWhatItCannotRead(t *testing.T) {
	r := recording{signals: []byte("streamkeeper_x{group=acme} @1=1\n")}
	if _, err := r.redact(); err == nil {
		t.Error("a line that was not understood was passed on")
	}
}

// The answer is the same one, about other names.
func TestReplayed_RedactedAnswersTheSame(t *testing.T) {
	rulebook, err := loadCatalog(nil)
	if err != nil {
		t.Fatal(err)
	}
	named := secretRecording()
	secret, err := named.redact()
	if err != nil {
		t.Fatal(err)
	}
	answer := func(r recording) streamkeeper.Report {
		report, err := r.replay(context.Background(), rulebook, time.Time{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	want, got := answer(named), answer(secret)
	if len(want.Findings) == 0 || len(want.Findings) != len(got.Findings) {
		t.Fatalf("%d findings, %d of the redacted one; not judged %v", len(want.Findings), len(got.Findings), want.NotJudged)
	}
	for i, f := range want.Findings {
		g := got.Findings[i]
		if g.Cause != f.Cause || g.Confidence != f.Confidence || g.Verdict != f.Verdict || g.Severity != f.Severity || g.Entity == f.Entity || len(g.Evidence) != len(f.Evidence) {
			t.Errorf("%s on %s %.4f, redacted %s on %s %.4f", f.Cause, f.Entity, f.Confidence, g.Cause, g.Entity, g.Confidence)
		}
	}
	if got.Findings[0].Entity.Name != "group-1" || got.Findings[0].Owner != "owner-1" {
		t.Errorf("%s, owner %q", got.Findings[0].Entity, got.Findings[0].Owner)
	}
}

func FuzzRedactSeries(f *testing.F) {
	f.Add(`m{a="b", c="d"}`)
	f.Add(`m{a="\"} @1"}`)
	f.Add(`m`)
	f.Fuzz(func(t *testing.T, series string) {
		d := redactor{}
		_, _ = d.series(series)
		d.christen()
		if out, err := d.series(series); err == nil {
			if _, err := d.series(out); err != nil {
				t.Errorf("%q became %q, which cannot be read", series, out)
			}
		}
	})
}

// Words that rules compare with stay: a redacted recording must replay to the same answer.
func TestRedact_KeepsWhatRulesCompareWith(t *testing.T) {
	attribute := regexp.MustCompile(`\b([a-z_]+)(?: *(?:==|!=)| in) *(\[[^\]\n]*\]|"[^"\n]*")`)
	label := regexp.MustCompile(`[{,] *([a-z_]+)(?:=~|!~|!=|=) *"([^"{}$]*)"`)
	metric := regexp.MustCompile(`([a-z][a-zA-Z0-9_]{5,})\{|metric: *([a-zA-Z0-9_:]+)`)
	literal := regexp.MustCompile(`"([^"]*)"`)
	d := redactor{}
	type word struct{ key, value string }
	var attributes, labels []word
	err := fs.WalkDir(catalog.Files, ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".yaml") {
			return err
		}
		text, err := fs.ReadFile(catalog.Files, path)
		for _, m := range attribute.FindAllStringSubmatch(string(text), -1) {
			for _, l := range literal.FindAllStringSubmatch(m[2], -1) {
				attributes = append(attributes, word{m[1], l[1]})
			}
		}
		if strings.HasPrefix(path, "signals/") {
			for _, m := range metric.FindAllStringSubmatch(string(text), -1) {
				if !ruled(m[1] + m[2]) {
					t.Errorf("%s reads %s, which redaction drops", path, m[1]+m[2])
				}
			}
			for _, m := range label.FindAllStringSubmatch(string(text), -1) {
				for value := range strings.SplitSeq(m[2], "|") {
					labels = append(labels, word{m[1], value})
				}
			}
		}
		return err
	})
	if err != nil || len(attributes) < 10 || len(labels) < 10 {
		t.Fatalf("%d attributes, %d labels, %v: this looks at the wrong place", len(attributes), len(labels), err)
	}
	for range 2 {
		for _, w := range attributes {
			d.attribute(w.key, w.value)
		}
		for _, w := range labels {
			d.label(w.key, w.value)
		}
		d.christen()
	}
	for _, w := range attributes {
		if got := d.attribute(w.key, w.value); got != w.value {
			t.Errorf("a rule compares the attribute %s with %q, which becomes %q", w.key, w.value, got)
		}
	}
	for _, w := range labels {
		if got := d.label(w.key, w.value); got != w.value {
			t.Errorf("a query selects the label %s by %q, which becomes %q", w.key, w.value, got)
		}
	}
}

// Every text of an inventory is renamed, also one that somebody adds later; these are words of ours and of Kafka's.
func TestRedact_InventoryLeavesNothingOut(t *testing.T) {
	var inv streamkeeper.Inventory
	fill(reflect.ValueOf(&inv).Elem(), "")
	d := redactor{}
	d.inventory(inv)
	d.christen()
	text, err := json.Marshal(d.inventory(inv))
	if err != nil {
		t.Fatal(err)
	}
	plain := []string{"Kind", "Source", "State", "Protocol", "Facts", "Configs"}
	for _, m := range regexp.MustCompile(`acme/([A-Za-z]+)`).FindAllStringSubmatch(string(text), -1) {
		if !slices.Contains(plain, m[1]) {
			t.Errorf("what %s says is told as it is", m[1])
		}
	}
}

// fill sets every text below a value to one that names its field.
func fill(v reflect.Value, name string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("acme/" + name)
	case reflect.Struct:
		if v.Type() != reflect.TypeFor[time.Time]() {
			for i := range v.NumField() {
				fill(v.Field(i), v.Type().Field(i).Name)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), name)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, name)
		fill(value, name)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	}
}

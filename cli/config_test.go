package cli

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLoadConfig_Layers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("broker:\n  log:\n    flush: os\n  tier:\n    local_bytes: 2GiB\ndiagnose:\n  tick: 2s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig(file, []string{"STREAMKEEPER_BROKER__LOG__FLUSH=interval", "HOME=/"}, []string{"broker.listen=127.0.0.1:1", "clusters=[{name: a, brokers: ['h:1']}]"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Broker.Log.Flush != "interval" || c.Broker.Tier.LocalBytes != 2<<30 || c.Diagnose.Tick.Duration != 2*time.Second || c.Broker.Listen != "127.0.0.1:1" {
		t.Errorf("layers not applied in order: %+v", c.Broker)
	}
	if c.Broker.Log.SegmentBytes != Defaults().Broker.Log.SegmentBytes || c.Diagnose.SLOLag.Duration != time.Minute || !c.Broker.Enabled {
		t.Errorf("a layer that names one key must leave its neighbours: %+v", c)
	}
	if len(c.Clusters) != 1 || c.Clusters[0].Brokers[0] != "h:1" {
		t.Errorf("clusters: %+v", c.Clusters)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestLoadConfig_SaysWhereItIsWrong(t *testing.T) {
	for _, c := range []struct{ name, file, set, want string }{
		{"an unknown key has its line and a caret", "broker:\n  lissten: x\n", "", "^"},
		{"a tag where a list should be", "clusters: !x\n", "", "is there a tag"},
		{"and is named", "broker:\n  lissten: x\n", "", "lissten"},
		{"a wrong duration points at itself", "diagnose:\n  tick: soon\n", "", "[2:9]"},
		{"a wrong size points at itself", "broker:\n  log:\n    segment_bytes: lots\n", "", "[3:20]"},
		{"an unknown key in --set", "", "broker.flush=os", "--set broker.flush"},
		{"no value in --set", "", "broker.flush", "path=value"},
		{"an empty part in --set", "", "broker..x=1", "path=value"},
	} {
		file := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(file, []byte(c.file), 0o600); err != nil {
			t.Fatal(err)
		}
		var sets []string
		if c.set != "" {
			sets = []string{c.set}
		}
		_, err := loadConfig(file, nil, sets)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", c.name, err, c.want)
		}
	}
}

func TestValidate_NamesEveryKey(t *testing.T) {
	c := Defaults()
	c.Broker.Listen, c.Broker.Log.Flush, c.Web.Listen, c.Log.Level = "x", "never", "y", "loud"
	c.Broker.Tier.ObjectStore = "ftp://x"
	c.Clusters = []ClusterConfig{{Name: "local", Brokers: []string{"nope"}}}
	err := c.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, key := range []string{"broker.listen", "broker.log.flush", "web.listen", "log.level", "broker.tier.object_store", "clusters[0].name", "clusters[0].brokers"} {
		if !strings.Contains(err.Error(), key+": ") {
			t.Errorf("%s is not named in: %v", key, err)
		}
	}
	if d := Defaults(); d.Validate() != nil {
		t.Errorf("defaults: %v", d.Validate())
	}
}

// TestReferenceConfig_IsWholeAndTrue: the reference holds every key, with its default.
func TestReferenceConfig_IsWholeAndTrue(t *testing.T) {
	text, err := os.ReadFile("../docs/reference-config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var got Config
	if err := decodeConfig("reference-config.yaml", text, &got); err != nil {
		t.Fatal(err)
	}
	want := Defaults()
	want.Clusters, want.Rules, want.Series.Dial.Clusters = []ClusterConfig{}, []string{}, []string{}
	want.Diagnose.Scopes = []ScopeConfig{}
	want.Notify.Webhooks, want.Notify.Alertmanagers = []ReceiverConfig{}, []ReceiverConfig{}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the reference differs from the defaults (-default +reference):\n%s", diff)
	}
	keys := map[string]bool{}
	for _, line := range strings.Split(string(text), "\n") {
		line = strings.TrimLeft(line, "# -")
		if k, _, ok := strings.Cut(line, ":"); ok {
			keys[k] = true
		}
	}
	for _, k := range yamlKeys(reflect.TypeFor[Config]()) {
		if !keys[k] {
			t.Errorf("the key %q is not in the reference", k)
		}
	}
}

func yamlKeys(t reflect.Type) []string {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[Duration]() {
		return nil
	}
	var out []string
	for i := range t.NumField() {
		if tag := t.Field(i).Tag.Get("yaml"); tag != "" {
			out = append(append(out, tag), yamlKeys(t.Field(i).Type)...)
		}
	}
	return out
}

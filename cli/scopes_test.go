package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper/diagnose"
)

func TestScopes_AreRead(t *testing.T) {
	c, err := loadConfig("", nil, []string{"diagnose.scopes=[{cluster: prod, groups: 'etl-*', topics: 'etl.*', slo_lag: 6h, owner: data, criticality: low}, {groups: scratch-*, ignore: true}]"})
	if err != nil {
		t.Fatal(err)
	}
	want := []diagnose.Scope{
		{Cluster: "prod", Groups: "etl-*", Topics: "etl.*", SLOLag: 6 * time.Hour, Owner: "data", Criticality: diagnose.CriticalityLow},
		{Groups: "scratch-*", Ignore: true},
	}
	if diff := cmp.Diff(want, c.Diagnose.scopes()); diff != "" {
		t.Error(diff)
	}
}

func TestScopes_SayWhereTheyAreWrong(t *testing.T) {
	for _, c := range []struct{ name, scope, at, want string }{
		{"a pattern that is none", `groups: "[a", owner: x`, "[3:14]", "groups"},
		{"an unknown key", `group: a, owner: x`, "[3:6]", "group"},
		{"an unknown criticality", `groups: a, criticality: extreme`, "[3:30]", "high, normal or low"},
		{"names nothing", `owner: x`, "[3:6]", "names nothing"},
		{"says nothing", `groups: a`, "[3:6]", "says nothing"},
		{"ignores a whole cluster", `cluster: prod, ignore: true`, "[3:29]", "left out of clusters"},
		{"ignores and asks for more", `groups: a, ignore: true, slo_lag: 1h`, "[3:25]", "no slo_lag"},
		{"a duration that is none", `groups: a, slo_lag: soon`, "[3:26]", "duration"},
		{"a duration below zero", `groups: a, slo_lag: -1m`, "[3:26]", "positive"},
	} {
		var cfg Config
		err := decodeConfig("c.yaml", []byte("diagnose:\n  scopes:\n  - {"+c.scope+"}\n"), &cfg)
		if err == nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		for _, want := range []string{c.at, c.want, "^"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v\nwant %q in it", c.name, err, want)
			}
		}
	}
}

func TestScopes_NameWatchedClusters(t *testing.T) {
	for _, c := range []struct {
		name, cluster string
		settings      []string
		refused       bool
	}{
		{"the bundled broker", "local", nil, false},
		{"none", "prod", nil, true},
		{"one of the configured", "prod-*", []string{"clusters=[{name: prod-eu, brokers: ['k:9092']}]"}, false},
		{"whichever a Prometheus has", "prod", []string{"series.dial.url=http://127.0.0.1:9090"}, false},
		{"one chosen of a Prometheus", "prod", []string{"series.dial.url=http://127.0.0.1:9090", "series.dial.clusters=[prod]"}, false},
		{"none of those chosen", "prod", []string{"series.dial.url=http://127.0.0.1:9090", "series.dial.clusters=[test]"}, true},
	} {
		cfg, err := loadConfig("", nil, append(c.settings, "diagnose.scopes=[{cluster: '"+c.cluster+"', owner: data}]"))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		err = cfg.Validate()
		if refused := err != nil && strings.Contains(err.Error(), "watched clusters"); refused != c.refused || err != nil && !refused {
			t.Errorf("%s: %v, want refused %t", c.name, err, c.refused)
		}
	}
}

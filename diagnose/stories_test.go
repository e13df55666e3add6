package diagnose

import (
	"slices"
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/incident"
	"github.com/streamkeeper-io/streamkeeper/rules"
)

func TestBreached(t *testing.T) {
	lag := rules.Node{Severity: streamkeeper.SeverityWarning, Impact: &rules.Impact{Kind: "lag"}}
	other := rules.Node{Severity: streamkeeper.SeverityWarning, Impact: &rules.Impact{Kind: "rebalance"}}
	loss := rules.Node{Severity: streamkeeper.SeverityWarning, Impact: &rules.Impact{Kind: streamkeeper.BreachLoss}}
	soon, far := 600.0, 7200.0
	for _, c := range []struct {
		name    string
		node    rules.Node
		numbers map[string]float64
		value   *float64
		want    streamkeeper.Severity
	}{
		{"beyond the service level", lag, map[string]float64{"lag_seconds": 61}, nil, streamkeeper.SeverityCritical},
		{"at it", lag, map[string]float64{"lag_seconds": 60}, nil, streamkeeper.SeverityWarning},
		{"a lag that is not known breaches nothing", lag, nil, nil, streamkeeper.SeverityWarning},
		{"another kind of impact has no lag to judge", other, map[string]float64{"lag_seconds": 600}, nil, streamkeeper.SeverityWarning},
		{"records are lost in ten minutes", loss, nil, &soon, streamkeeper.SeverityCritical},
		{"records are lost in two hours, and the lag is another matter", loss, map[string]float64{"lag_seconds": 600}, &far, streamkeeper.SeverityWarning},
	} {
		if got := breached(c.node, &streamkeeper.Observation{Numbers: c.numbers, Value: c.value}, time.Minute); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestChanged(t *testing.T) {
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	all := []incident.Change{}
	for i, kind := range []string{"deploy", "retention_cut", "config_changed", "drift"} {
		all = append(all, incident.Change{Change: streamkeeper.Change{At: at.Add(time.Duration(i) * time.Second), Kind: kind, Risky: kind == "retention_cut"}})
	}
	var got []string
	for _, c := range changed(all) {
		got = append(got, c.Kind)
	}
	if want := []string{"retention_cut", "drift", "config_changed", "deploy"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v: risky ones first, then the newest", got, want)
	}
	for range changesTold {
		all = append(all, all[0])
	}
	if n := len(changed(all)); n != changesTold {
		t.Errorf("%d changes in a report", n)
	}
	if changed(nil) == nil {
		t.Error("no changes are an empty list")
	}
}

package diagnose

import (
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/rules"
)

func TestBreached(t *testing.T) {
	lag := rules.Node{Severity: streamkeeper.SeverityWarning, Impact: &rules.Impact{Kind: "lag"}}
	other := rules.Node{Severity: streamkeeper.SeverityWarning, Impact: &rules.Impact{Kind: "rebalance"}}
	for _, c := range []struct {
		name    string
		node    rules.Node
		numbers map[string]float64
		want    streamkeeper.Severity
	}{
		{"beyond the service level", lag, map[string]float64{"lag_seconds": 61}, streamkeeper.SeverityCritical},
		{"at it", lag, map[string]float64{"lag_seconds": 60}, streamkeeper.SeverityWarning},
		{"a lag that is not known breaches nothing", lag, nil, streamkeeper.SeverityWarning},
		{"another kind of impact has no lag to judge", other, map[string]float64{"lag_seconds": 600}, streamkeeper.SeverityWarning},
	} {
		if got := breached(c.node, &streamkeeper.Observation{Numbers: c.numbers}, time.Minute); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

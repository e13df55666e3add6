package cli

import (
	"testing"

	"github.com/streamkeeper-io/streamkeeper"
)

func TestStaleClusterIsNotHealthy(t *testing.T) {
	fresh, old := 1.8, 39.0
	for name, c := range map[string]struct {
		state  streamkeeper.HealthState
		source streamkeeper.Source
		enough bool
	}{
		"never read":                         {streamkeeper.HealthUnknown, streamkeeper.Source{Error: "refused"}, false},
		"read until the end":                 {streamkeeper.Healthy, streamkeeper.Source{FreshSeconds: &fresh}, true},
		"one round failed":                   {streamkeeper.Healthy, streamkeeper.Source{FreshSeconds: &fresh, Error: "deadline"}, true},
		"healthy when it was last read":      {streamkeeper.HealthUnknown, streamkeeper.Source{FreshSeconds: &old, Stale: true, Error: "deadline"}, false},
		"what is wrong is told all the same": {streamkeeper.Critical, streamkeeper.Source{FreshSeconds: &old, Stale: true, Error: "deadline"}, true},
	} {
		err := seenEnough(streamkeeper.Report{Health: streamkeeper.Health{State: c.state}}, []streamkeeper.Source{c.source})
		if (err == nil) != c.enough {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package deploys

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"
)

var (
	// A new replica set of a Deployment grows from nothing, in Kubernetes' own words; from another size it is scaled.
	scaledUp = regexp.MustCompile(`^Scaled up replica set (\S+) (?:from (\d+) )?to (\d+)(?: from (\d+))?`)
	// A stateful set is rolled out pod by pod.
	replaced = regexp.MustCompile(`^(create|delete) Pod (\S+) in StatefulSet (\S+) successful`)
)

// kubernetes reads an event of core/v1 or events.k8s.io/v1 about a rollout. Others tell of no deploy.
func kubernetes(raw json.RawMessage) (Mark, error) {
	type reference struct{ Kind, Namespace, Name string }
	var e struct {
		InvolvedObject      reference
		Regarding           reference
		Reason              string
		Message             string
		Note                string
		FirstTimestamp      time.Time
		LastTimestamp       time.Time
		EventTime           time.Time
		DeprecatedTimestamp time.Time `json:"deprecatedLastTimestamp"`
		Metadata            struct{ CreationTimestamp time.Time }
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return Mark{}, fmt.Errorf("event of Kubernetes: %w", err)
	}
	about := e.InvolvedObject
	if about.Name == "" {
		about = e.Regarding
	}
	if about.Name == "" {
		return Mark{}, errors.New("an event of Kubernetes without the name of its object")
	}
	text := first(e.Message, e.Note)
	m := Mark{Tool: "kubernetes", App: about.Name, Namespace: about.Namespace, Text: text, Phase: "started"}
	for _, at := range []time.Time{e.LastTimestamp, e.EventTime, e.DeprecatedTimestamp, e.FirstTimestamp, e.Metadata.CreationTimestamp} {
		if !at.IsZero() {
			m.At = at
			break
		}
	}
	m.silent = true
	switch {
	case about.Kind == "Deployment" && e.Reason == "ScalingReplicaSet":
		if g := scaledUp.FindStringSubmatch(text); g != nil {
			m.silent, m.set, m.Version = false, g[1], g[1]
			if from := first(g[2], g[4]); from != "" && from != "0" {
				m.size = g[3]
			}
		}
	case about.Kind == "StatefulSet":
		if g := replaced.FindStringSubmatch(text); g != nil {
			m.silent, m.pod, m.gone = false, g[2], g[1] == "delete"
		}
	}
	return m, nil
}

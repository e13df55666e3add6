package deploys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Mark is one deploy as it was told.
type Mark struct {
	At        time.Time `json:"at"` // zero: now
	Cluster   string    `json:"cluster"`
	Group     string    `json:"group"`
	App       string    `json:"app"` // the workload: a Deployment, an Argo CD application, a Flux release
	Namespace string    `json:"namespace"`
	Version   string    `json:"version"`
	Phase     string    `json:"phase"` // started, finished, failed, or empty
	Text      string    `json:"text"`
	Tool      string    `json:"-"` // mark, argocd, flux, kubernetes

	set    string // Kubernetes: the replica set that grew
	size   string // … and to how many, when it had some before: a change of scale
	pod    string // … or the pod of a stateful set
	gone   bool   // … that was deleted, not made
	silent bool   // well-formed, and no deploy
}

// maxMarks bounds how many one body may tell.
const maxMarks = 1000

// object is what of a body tells its form; each form's own fields are read after.
type object struct {
	Kind            string          `json:"kind"`
	Type            string          `json:"type"`
	Object          json.RawMessage `json:"object"`
	Items           json.RawMessage `json:"items"`
	App             json.RawMessage `json:"app"`
	Application     json.RawMessage `json:"application"`
	InvolvedObject  json.RawMessage `json:"involvedObject"`
	Regarding       json.RawMessage `json:"regarding"`
	ReportingDaemon string          `json:"reportingController"`
	Severity        string          `json:"severity"`
	Status          json.RawMessage `json:"status"`
	Spec            json.RawMessage `json:"spec"`
}

// Parse reads one body: a mark of ours or a list of them, an Argo CD Application (plain, or as app or application), an event of
// Flux's generic webhook, a Kubernetes event, a list or a watch's notification of them. What is well-formed and tells of no
// deploy gives none. One body may hold many JSON values, as a watch does.
func Parse(body []byte) (marks []Mark, ignored int, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	for d.More() {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, 0, err
		}
		if err := parse(raw, &marks, 0); err != nil {
			return nil, 0, err
		}
	}
	if len(marks) == 0 {
		return nil, 0, errors.New("the body is empty")
	}
	kept := marks[:0]
	for _, m := range marks {
		if m.silent {
			ignored++
			continue
		}
		kept = append(kept, m)
	}
	return kept, ignored, nil
}

// parse adds what one value tells; depth bounds lists in lists.
func parse(raw json.RawMessage, to *[]Mark, depth int) error {
	if depth > 3 {
		return errors.New("lists within lists within lists")
	}
	if raw = bytes.TrimSpace(raw); len(raw) > 0 && raw[0] == '[' {
		return each(raw, to, depth)
	}
	var o object
	if err := json.Unmarshal(raw, &o); err != nil {
		return err
	}
	switch {
	case len(o.Items) > 0 && strings.HasSuffix(o.Kind, "List"):
		return each(o.Items, to, depth)
	case len(o.Object) > 0 && o.Type != "":
		return parse(o.Object, to, depth+1)
	}
	m, err := one(raw, o)
	if err != nil {
		return err
	}
	if len(*to) >= maxMarks {
		return fmt.Errorf("more than %d events in one body", maxMarks)
	}
	*to = append(*to, m)
	return nil
}

// each reads a list one by one, so that what is held does not grow with it.
func each(raw json.RawMessage, to *[]Mark, depth int) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return errors.New("want a list")
	}
	for d.More() {
		var item json.RawMessage
		if err := d.Decode(&item); err != nil {
			return err
		}
		if err := parse(item, to, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// one reads one object by its form.
func one(raw json.RawMessage, o object) (Mark, error) {
	isObject := func(r json.RawMessage) bool { r = bytes.TrimSpace(r); return len(r) > 0 && r[0] == '{' }
	switch {
	case isObject(o.App):
		return argo(o.App)
	case isObject(o.Application):
		return argo(o.Application)
	case o.Kind == "Application" || isObject(o.Status) && isObject(o.Spec):
		return argo(raw)
	case isObject(o.InvolvedObject) && o.Severity != "":
		return flux(raw)
	case isObject(o.InvolvedObject) || isObject(o.Regarding):
		return kubernetes(raw)
	}
	return own(raw)
}

// own reads a mark of ours. Argo CD's templates are written by hand, so the usual names of theirs are taken, too.
func own(raw json.RawMessage) (Mark, error) {
	var b struct {
		Mark
		Revision string `json:"revision"`
		Service  string `json:"service"`
		Workload string `json:"workload"`
		Message  string `json:"message"`
		Status   string `json:"status"`
	}
	if err := json.Unmarshal(raw, &b); err != nil {
		return Mark{}, err
	}
	m := b.Mark
	m.Tool = "mark"
	m.App = first(m.App, b.Service, b.Workload)
	m.Version = first(m.Version, b.Revision)
	m.Text = first(m.Text, b.Message)
	m.Phase = first(m.Phase, argoPhase(b.Status))
	if m.Group == "" && m.App == "" && m.Text == "" && m.Version == "" {
		return m, errors.New(`nothing in the body says what was deployed: want {"group": …} or {"app": …}, or a body of Argo CD, Flux or Kubernetes`)
	}
	return m, nil
}

func first(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}

// argo reads an Application as notifications' templates give it ({{toJson .app}}).
func argo(raw json.RawMessage) (Mark, error) {
	var a struct {
		Metadata struct{ Name, Namespace string }
		Spec     struct {
			Destination struct{ Namespace string }
		}
		Status struct {
			Sync           struct{ Revision string }
			OperationState *struct {
				Phase      string
				StartedAt  time.Time
				SyncResult struct{ Revision string }
			}
		}
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return Mark{}, fmt.Errorf("application of Argo CD: %w", err)
	}
	m := Mark{Tool: "argocd", App: a.Metadata.Name, Namespace: first(a.Spec.Destination.Namespace, a.Metadata.Namespace), Version: a.Status.Sync.Revision}
	if m.App == "" {
		return m, errors.New("an Argo CD application without metadata.name")
	}
	op := a.Status.OperationState
	if op == nil {
		m.silent = true // never synced: nothing was deployed
		return m, nil
	}
	m.At, m.Phase, m.Version = op.StartedAt, argoPhase(op.Phase), first(op.SyncResult.Revision, m.Version)
	return m, nil
}

func argoPhase(phase string) string {
	switch phase {
	case "Running":
		return "started"
	case "Succeeded":
		return "finished"
	case "Failed", "Error":
		return "failed"
	}
	return ""
}

// fluxReasons are the ones of helm- and kustomize-controller that mean that something new runs, with their phase.
var fluxReasons = map[string]string{
	"Progressing": "started", "ReconciliationSucceeded": "finished", "InstallSucceeded": "finished", "UpgradeSucceeded": "finished",
	"RollbackSucceeded": "finished", "ReconciliationFailed": "failed", "InstallFailed": "failed", "UpgradeFailed": "failed", "HealthCheckFailed": "failed",
}

// flux reads an event of the generic webhook.
func flux(raw json.RawMessage) (Mark, error) {
	var e struct {
		InvolvedObject struct{ Kind, Namespace, Name string }
		Timestamp      time.Time
		Message        string
		Reason         string
		Metadata       map[string]string
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return Mark{}, fmt.Errorf("event of Flux: %w", err)
	}
	m := Mark{Tool: "flux", App: e.InvolvedObject.Name, Namespace: e.InvolvedObject.Namespace, At: e.Timestamp, Text: e.Message, Phase: fluxReasons[e.Reason]}
	for name, v := range e.Metadata {
		if name == "revision" || strings.HasSuffix(name, "/revision") {
			m.Version = v
		}
	}
	workload := e.InvolvedObject.Kind == "HelmRelease" || e.InvolvedObject.Kind == "Kustomization"
	m.silent = !workload || m.Phase == ""
	if m.App == "" {
		return m, errors.New("an event of Flux without involvedObject.name")
	}
	return m, nil
}

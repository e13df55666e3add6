package deploys

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

type world struct{ inv streamkeeper.Inventory }

func (w *world) Inventory(string) streamkeeper.Inventory { return w.inv }

type keeper struct {
	events []streamkeeper.Event
	marks  []streamkeeper.Watermark
}

func (k *keeper) Samples(context.Context, []streamkeeper.Sample) error { return nil }
func (k *keeper) Events(_ context.Context, ev []streamkeeper.Event, w streamkeeper.Watermark) error {
	k.events, k.marks = append(k.events, ev...), append(k.marks, w)
	return nil
}
func (k *keeper) Inventory(context.Context, streamkeeper.Inventory) error { return nil }

type lab struct {
	*Receiver
	t     *testing.T
	world *world
	at    time.Time
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, world: &world{}, at: noon}
	l.Receiver = NewReceiver(l.world, func() time.Time { return l.at })
	return l
}

func (l *lab) post(query, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	l.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v1/deploys"+query, strings.NewReader(body)))
	return w
}

func (l *lab) round(s *Source) []streamkeeper.Event {
	l.t.Helper()
	k := &keeper{}
	if err := s.Collect(l.t.Context(), l.at, k); err != nil {
		l.t.Fatal(err)
	}
	for _, m := range k.marks {
		if !m.Through.IsZero() {
			l.t.Errorf("promises that nothing else was deployed: %+v", m)
		}
	}
	return k.events
}

func member(client, instance string) streamkeeper.MemberInfo {
	return streamkeeper.MemberInfo{MemberID: client + "x", ClientID: client, InstanceID: instance}
}

const (
	argoBody = `{"app": {"metadata": {"name": "orders", "namespace": "argocd"}, "spec": {"destination": {"namespace": "shop"}},
		"status": {"sync": {"status": "Synced", "revision": "abc"}, "health": {"status": "Progressing"},
		"operationState": {"phase": "Succeeded", "startedAt": "2026-03-04T11:58:00Z", "finishedAt": "2026-03-04T11:59:00Z", "syncResult": {"revision": "def"}}}}}`
	fluxBody = `{"involvedObject":{"kind":"HelmRelease","namespace":"shop","name":"orders","uid":"x","apiVersion":"helm.toolkit.fluxcd.io/v2","resourceVersion":"7"},
		"severity":"info","timestamp":"2026-03-04T11:58:00Z","message":"Helm upgrade succeeded for release shop/orders.v7 with chart orders@1.4.2","reason":"UpgradeSucceeded",
		"metadata":{"helm.toolkit.fluxcd.io/revision":"1.4.2"},"reportingController":"helm-controller","reportingInstance":"helm-controller-1"}`
	kubeEvent = `{"apiVersion":"v1","kind":"Event","metadata":{"name":"orders.17","namespace":"shop","creationTimestamp":"2026-03-04T11:58:00Z"},
		"involvedObject":{"kind":"Deployment","namespace":"shop","name":"orders"},"reason":"ScalingReplicaSet","message":"%s",
		"firstTimestamp":"2026-03-04T11:58:00Z","lastTimestamp":"2026-03-04T11:58:00Z","type":"Normal","count":1,"eventTime":null}`
	statefulEvent = `{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"orders.18","namespace":"shop"},"regarding":{"kind":"StatefulSet","namespace":"shop","name":"orders"},
		"reason":"%s","note":"%s Pod orders-2 in StatefulSet orders successful","eventTime":"2026-03-04T11:58:00.123456Z","type":"Normal"}`
)

func kube(message string) string { return fmt.Sprintf(kubeEvent, message) }

// TestSource_AMarkWaitsForTheFirstInventory: right after a start no group is known yet.
func TestSource_AMarkWaitsForTheFirstInventory(t *testing.T) {
	l := newLab(t)
	s := l.Source("prod")
	l.post("", `{"app":"orders"}`)
	if got := l.round(s); len(got) > 0 {
		t.Fatalf("told before its group could be known: %+v", got)
	}
	l.at = l.at.Add(10 * time.Second)
	l.world.inv.Groups = []streamkeeper.GroupInfo{{Name: "orders"}}
	if got := l.round(s); len(got) != 1 || got[0].Entity.Name != "orders" || !got[0].At.Equal(noon) {
		t.Errorf("%+v", got)
	}
	l.world.inv.Groups = nil
	l.post("", `{"app":"billing"}`)
	l.round(s)
	l.at = l.at.Add(patience)
	if got := l.round(s); len(got) != 1 || got[0].Entity.Kind != streamkeeper.KindCluster {
		t.Errorf("a cluster without groups: %+v", got)
	}
}

// TestReceiver_TakesBodiesAsTheyAre: nobody has to rewrite what their tools send.
func TestReceiver_TakesBodiesAsTheyAre(t *testing.T) {
	group := streamkeeper.Entity{Kind: "group", Name: "orders", Cluster: "prod"}
	before := noon.Add(-2 * time.Minute)
	for _, c := range []struct {
		name, query, body string
		want              streamkeeper.Event
	}{
		{"a mark", "", `{"group":"orders","version":"1.4.2","text":"hotfix"}`, streamkeeper.Event{
			At: noon, Kind: "deploy", Text: "hotfix", Attrs: map[string]any{"tool": "mark", "group": "orders", "version": "1.4.2"},
		}},
		{"a mark by a name of its own", "", `{"service":"orders","revision":"abc","status":"Running"}`, streamkeeper.Event{
			At: noon, Kind: "deploy", Text: "orders abc started", Attrs: map[string]any{"tool": "mark", "group": "orders", "app": "orders", "version": "abc", "phase": "started"},
		}},
		{"a group in the address", "?group=orders&cluster=prod", `{"text":"who knows"}`, streamkeeper.Event{
			At: noon, Kind: "deploy", Text: "who knows", Attrs: map[string]any{"tool": "mark", "group": "orders"},
		}},
		{"Argo CD", "", argoBody, streamkeeper.Event{
			At: before, Kind: "deploy", Text: "orders def finished",
			Attrs: map[string]any{"tool": "argocd", "group": "orders", "app": "orders", "namespace": "shop", "version": "def", "phase": "finished"},
		}},
		{"Flux", "", fluxBody, streamkeeper.Event{
			At: before, Kind: "deploy", Text: "Helm upgrade succeeded for release shop/orders.v7 with chart orders@1.4.2",
			Attrs: map[string]any{"tool": "flux", "group": "orders", "app": "orders", "namespace": "shop", "version": "1.4.2", "phase": "finished"},
		}},
		{"Kubernetes", "", kube("Scaled up replica set orders-7f9c6d5b8 to 1 from 0"), streamkeeper.Event{
			At: before, Kind: "deploy", Text: "Scaled up replica set orders-7f9c6d5b8 to 1 from 0",
			Attrs: map[string]any{"tool": "kubernetes", "group": "orders", "app": "orders", "namespace": "shop", "version": "orders-7f9c6d5b8", "phase": "started"},
		}},
		{"a watch of Kubernetes", "", `{"type":"ADDED","object":` + kube("Scaled up replica set orders-7f9c6d5b8 from 0 to 1") + `}`, streamkeeper.Event{
			At: before, Kind: "deploy", Text: "Scaled up replica set orders-7f9c6d5b8 from 0 to 1",
			Attrs: map[string]any{"tool": "kubernetes", "group": "orders", "app": "orders", "namespace": "shop", "version": "orders-7f9c6d5b8", "phase": "started"},
		}},
		{"an autoscaler", "", `{"kind":"EventList","items":[` + kube("Scaled up replica set orders-7f9c6d5b8 to 5 from 3") + `]}`, streamkeeper.Event{
			At: before, Kind: "scaled", Text: "Scaled up replica set orders-7f9c6d5b8 to 5 from 3",
			Attrs: map[string]any{"tool": "kubernetes", "group": "orders", "app": "orders", "namespace": "shop", "version": "orders-7f9c6d5b8", "to": "5"},
		}},
		{"a stateful set", "", fmt.Sprintf(statefulEvent, "SuccessfulDelete", "delete") + "\n" + fmt.Sprintf(statefulEvent, "SuccessfulCreate", "create"), streamkeeper.Event{
			At: before.Add(123456 * time.Microsecond), Kind: "deploy", Text: "create Pod orders-2 in StatefulSet orders successful",
			Attrs: map[string]any{"tool": "kubernetes", "group": "orders", "app": "orders", "namespace": "shop", "phase": "started"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			l.world.inv = streamkeeper.Inventory{Groups: []streamkeeper.GroupInfo{{Name: "orders"}, {Name: "bills"}}}
			s := l.Source("prod")
			if w := l.post(c.query, c.body); w.Code != http.StatusAccepted || !strings.Contains(w.Body.String(), `"taken":1`) {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			c.want.Entity, c.want.Source = group, "deploys"
			if d := cmp.Diff([]streamkeeper.Event{c.want}, l.round(s)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestReceiver_WhatIsNoDeploy(t *testing.T) {
	for name, body := range map[string]string{
		"a scale-down":                  kube("Scaled down replica set orders-5c to 2 from 3"),
		"another event of Kubernetes":   strings.Replace(kube("Back-off restarting failed container"), `"Deployment"`, `"Pod"`, 1),
		"a source of Flux":              strings.Replace(fluxBody, "HelmRelease", "GitRepository", 1),
		"a check of Flux":               strings.Replace(fluxBody, "UpgradeSucceeded", "DependencyNotReady", 1),
		"an application never synced":   `{"kind":"Application","metadata":{"name":"orders"},"status":{}}`,
		"a first pod of a stateful set": fmt.Sprintf(statefulEvent, "SuccessfulCreate", "create"),
		"a pod of it that is only gone": fmt.Sprintf(statefulEvent, "SuccessfulDelete", "delete"),
	} {
		l := newLab(t)
		s := l.Source("prod")
		if w := l.post("", body); w.Code != http.StatusAccepted || !strings.Contains(w.Body.String(), `"ignored":1`) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if ev := l.round(s); len(ev) != 0 {
			t.Errorf("%s: %+v", name, ev)
		}
	}
}

// TestReceiver_ARolloutIsOneEvent: its tools tell of each step, and of each try.
func TestReceiver_ARolloutIsOneEvent(t *testing.T) {
	l := newLab(t)
	l.world.inv = streamkeeper.Inventory{Groups: []streamkeeper.GroupInfo{{Name: "orders"}}}
	s := l.Source("prod")
	l.post("", kube("Scaled up replica set orders-7f to 1 from 0"))
	l.post("", kube("Scaled up replica set orders-7f to 1 from 0"))
	l.post("", argoBody)
	l.post("", argoBody)
	l.post("", strings.Replace(argoBody, "Succeeded", "Failed", 1))
	if ev := l.round(s); len(ev) != 3+1 {
		var got []string
		for _, e := range ev {
			got = append(got, e.Kind+" "+e.Text)
		}
		t.Errorf("want a rollout of each tool, a repeat that is a change of scale, and a failure: %q", got)
	}
	l.at = l.at.Add(2 * onceWithin)
	l.post("", strings.ReplaceAll(kube("Scaled up replica set orders-7f to 1 from 0"), "T11:58", "T12:28"))
	if ev := l.round(s); len(ev) != 1 || ev[0].Kind != "scaled" {
		t.Errorf("back from zero with the version it had is no deploy: %+v", ev)
	}
}

func TestReceiver_RefusesWhatItCannotUse(t *testing.T) {
	for name, c := range map[string]struct {
		query, body string
		status      int
		want        string
	}{
		"nothing":              {"", "", 400, "empty"},
		"no JSON":              {"", "hello", 400, "invalid"},
		"nothing in it":        {"", `{}`, 400, "what was deployed"},
		"a cluster not known":  {"?cluster=nope", `{"group":"g"}`, 400, "not watched"},
		"last week":            {"", `{"group":"g","at":"2026-02-20T00:00:00Z"}`, 400, "last 24 h"},
		"next week":            {"", `{"group":"g","at":"2026-03-14T00:00:00Z"}`, 400, "last 24 h"},
		"a time that is none":  {"", `{"group":"g","at":"soon"}`, 400, "soon"},
		"too large":            {"", `"` + strings.Repeat("x", maxBody) + `"`, 413, "too large"},
		"lists without an end": {"", strings.Repeat("[", 10000) + strings.Repeat("]", 10000), 400, ""},
		"too many":             {"", "[" + strings.Repeat(`{"group":"g"},`, maxMarks) + `{"group":"g"}]`, 400, "more than"},
	} {
		l := newLab(t)
		l.Source("prod")
		if w := l.post(c.query, c.body); w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %d %.200s", name, w.Code, w.Body)
		}
	}
}

func TestSource_FindsTheGroupsOfAWorkload(t *testing.T) {
	l := newLab(t)
	l.world.inv = streamkeeper.Inventory{Groups: []streamkeeper.GroupInfo{
		{Name: "checkout", Members: []streamkeeper.MemberInfo{member("orders-7f9c6d5b8-x2x9z", "")}},
		{Name: "mail", Members: []streamkeeper.MemberInfo{member("c", "orders-0")}},
		{Name: "dead-letters", Members: []streamkeeper.MemberInfo{member("orders-dlq-7f9c6d5b8-x2x9z", "")}},
		{Name: "Orders"},
	}}
	s := l.Source("prod")
	l.round(s)
	// The rollout has already taken the members away.
	for i := range l.world.inv.Groups {
		l.world.inv.Groups[i].Members = nil
	}
	l.post("", `{"app":"orders"}`)
	var got []string
	for _, e := range l.round(s) {
		got = append(got, e.Entity.Key())
	}
	if d := cmp.Diff([]string{"group/checkout@prod", "group/mail@prod", "group/Orders@prod"}, got); d != "" {
		t.Error(d)
	}
	l.post("", `{"app":"somebody-else"}`)
	if ev := l.round(s); len(ev) != 1 || ev[0].Entity.Kind != "cluster" {
		t.Errorf("nobody's deploy is shown, and is evidence for no group: %+v", ev)
	}
}

func TestSource_OfSeveralClustersTheOneThatFits(t *testing.T) {
	l := newLab(t)
	eu, us := l.Source("eu"), l.Source("us")
	l.post("", `{"app":"orders"}`)
	l.world.inv = streamkeeper.Inventory{Groups: []streamkeeper.GroupInfo{{Name: "bills"}}}
	if ev := l.round(eu); len(ev) != 0 {
		t.Errorf("a cluster without such a group: %+v", ev)
	}
	l.world.inv = streamkeeper.Inventory{Groups: []streamkeeper.GroupInfo{{Name: "orders"}}}
	if ev := l.round(us); len(ev) != 1 {
		t.Errorf("%+v", ev)
	}
	l.post("?cluster=eu", `{"text":"new brokers"}`)
	if n := len(l.round(eu)) + len(l.round(us)); n != 1 {
		t.Errorf("%d events", n)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{argoBody, fluxBody, kube("Scaled up replica set a to 1"), `[{"group":"g"}]`, `{"kind":"XList","items":[{"group":"g"}]}`, `{"app":"x","at":"2026-03-04T11:58:00Z"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		marks, ignored, err := Parse(body)
		if err == nil && len(marks)+ignored == 0 || len(marks)+ignored > maxMarks {
			t.Errorf("%d marks, %d ignored", len(marks), ignored)
		}
		for _, m := range marks {
			if m.App == "" && m.Group == "" && m.Text == "" && m.Version == "" {
				t.Errorf("a mark of nothing: %+v", m)
			}
		}
	})
}

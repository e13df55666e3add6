package history

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// open opens a fresh database: SQLite, or PostgreSQL when STREAMKEEPER_TEST_POSTGRES names an empty one.
func open(t *testing.T) *Store {
	t.Helper()
	url := os.Getenv("STREAMKEEPER_TEST_POSTGRES")
	if url == "" {
		url = "sqlite://" + filepath.Join(t.TempDir(), "history.db")
	}
	s, err := Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if os.Getenv("STREAMKEEPER_TEST_POSTGRES") != "" {
			_, _ = s.client.Incident.Delete().Exec(t.Context())
			_, _ = s.client.Entry.Delete().Exec(t.Context())
			_, _ = s.client.Memo.Delete().Exec(t.Context())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func incidentAt(id string, cluster string, opened time.Time) streamkeeper.Incident {
	return streamkeeper.Incident{
		Schema: streamkeeper.IncidentSchema, ID: id, State: streamkeeper.IncidentOpen, Cluster: cluster,
		OpenedAt: opened, UpdatedAt: opened, Severity: streamkeeper.SeverityWarning, Headline: "orders is late",
		Root: streamkeeper.Finding{
			ID: "slow@group/orders@c", Cause: "slow", Confidence: .95,
			Entity: streamkeeper.Entity{Kind: streamkeeper.KindGroup, Name: "orders", Cluster: cluster},
		},
	}
}

func TestIncidents(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	for i := range 5 {
		inc := incidentAt(fmt.Sprintf("I%d", i), []string{"a", "b"}[i%2], noon.Add(time.Duration(i)*time.Minute))
		if err := s.SaveIncident(ctx, inc, []byte(fmt.Sprintf(`{"n":%d}`, i))); err != nil {
			t.Fatal(err)
		}
	}
	end := noon.Add(time.Hour)
	done := incidentAt("I0", "a", noon)
	done.State, done.ResolvedAt, done.UpdatedAt = streamkeeper.IncidentResolved, &end, end
	if err := s.SaveIncident(ctx, done, nil); err != nil {
		t.Fatal(err)
	}
	got, ok, err := s.Incident(ctx, "I0")
	if err != nil || !ok {
		t.Fatalf("I0: %v %v", ok, err)
	}
	if diff := cmp.Diff(done, got); diff != "" {
		t.Errorf("I0 came back changed:\n%s", diff)
	}
	if _, ok, err := s.Incident(ctx, "none"); ok || err != nil {
		t.Errorf("an incident that is not there: %v %v", ok, err)
	}
	ids := func(f Filter) []string {
		list, err := s.Incidents(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		out := []string{}
		for _, i := range list {
			out = append(out, i.ID)
		}
		return out
	}
	for _, c := range []struct {
		f    Filter
		want []string
	}{
		{Filter{}, []string{"I4", "I3", "I2", "I1", "I0"}},
		{Filter{Cluster: "a"}, []string{"I4", "I2", "I0"}},
		{Filter{Cluster: "a", State: streamkeeper.IncidentOpen}, []string{"I4", "I2"}},
		{Filter{State: streamkeeper.IncidentResolved}, []string{"I0"}},
		{Filter{Limit: 2}, []string{"I4", "I3"}},
		{Filter{Since: noon.Add(30 * time.Minute), State: streamkeeper.IncidentResolved}, []string{"I0"}},
	} {
		if diff := cmp.Diff(c.want, ids(c.f)); diff != "" {
			t.Errorf("%+v:\n%s", c.f, diff)
		}
	}
	follow, err := s.Follow(ctx, "a")
	if err != nil || len(follow) != 2 || string(follow[0]) != `{"n":2}` {
		t.Errorf("follow %q %v, want those of the open I2 and I4", follow, err)
	}
	n, err := s.Prune(ctx, end.Add(time.Second))
	if err != nil || n != 1 {
		t.Errorf("pruned %d (%v), want the resolved one only", n, err)
	}
}

func TestEntries(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	silence, err := s.AddEntry(ctx, Entry{Kind: Silence, Entity: "group/*@c", Until: noon.Add(time.Hour), By: "ana"}, noon)
	if err != nil {
		t.Fatal(err)
	}
	taken, err := s.AddEntry(ctx, Entry{Kind: Taken, Cluster: "c", Cause: "slow", Clears: "lag_growth", Within: time.Minute}, noon.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddEntry(ctx, Entry{Kind: Feedback, Cluster: "other", Cause: "slow", Wrong: true}, noon.Add(2*time.Second)); err != nil {
		t.Fatal(err)
	}
	got, err := s.Entries(ctx, "c", noon.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Entry{silence, taken}, got); diff != "" {
		t.Errorf("in force for c:\n%s", diff)
	}
	if got, _ := s.Entries(ctx, "c", noon.Add(2*time.Hour)); len(got) != 1 {
		t.Errorf("after the silence ended %d entries count, want 1", len(got))
	}
	if found, err := s.RemoveEntry(ctx, taken.ID); !found || err != nil {
		t.Errorf("removing: %v %v", found, err)
	}
	if found, _ := s.RemoveEntry(ctx, taken.ID); found {
		t.Error("an entry was removed twice")
	}
	if _, err := s.AddEntry(ctx, Entry{Kind: Silence}, noon); !errors.Is(err, ErrUntil) {
		t.Errorf("a silence without an end: %v", err)
	}
	if _, err := s.AddEntry(ctx, Entry{Kind: "wish"}, noon); !errors.Is(err, ErrKind) {
		t.Errorf("an unknown kind: %v", err)
	}
	if n, err := s.Prune(ctx, noon.Add(365*24*time.Hour)); err != nil || n != 1 {
		t.Errorf("pruned %d (%v), want the silence and not the feedback", n, err)
	}
}

func TestReopen(t *testing.T) {
	url := "sqlite://" + filepath.Join(t.TempDir(), "deep", "history.db")
	for i := range 2 {
		s, err := Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SaveIncident(t.Context(), incidentAt("I", "c", noon), nil); err != nil {
			t.Fatal(err)
		}
		list, err := s.Incidents(t.Context(), Filter{})
		if err != nil || len(list) != 1 {
			t.Errorf("open %d: %d incidents, %v", i, len(list), err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenRefusesOtherURLs(t *testing.T) {
	for _, url := range []string{"", "history.db", "mysql://x", "sqlite://"} {
		if _, err := Open(t.Context(), url); !errors.Is(err, ErrURL) {
			t.Errorf("%q: %v, want ErrURL", url, err)
		}
	}
}

func TestMemo(t *testing.T) {
	s := open(t)
	if body, at, err := s.Memo(t.Context(), "c"); body != nil || !at.IsZero() || err != nil {
		t.Fatalf("of a cluster never looked at: %q %s %v", body, at, err)
	}
	for i, want := range []string{"{}", `{"n":1}`} {
		if err := s.SaveMemo(t.Context(), "c", []byte(want), noon.Add(time.Duration(i)*time.Minute)); err != nil {
			t.Fatal(err)
		}
		if body, at, err := s.Memo(t.Context(), "c"); string(body) != want || !at.Equal(noon.Add(time.Duration(i)*time.Minute)) || err != nil {
			t.Errorf("%q at %s, %v; want %q", body, at, err, want)
		}
	}
	if body, _, err := s.Memo(t.Context(), "other"); body != nil || err != nil {
		t.Errorf("of another cluster: %q %v", body, err)
	}
}

func TestFeedback(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	for i := range 3 {
		e := Entry{
			Kind: Feedback, Cluster: []string{"a", "b"}[i%2], Incident: fmt.Sprintf("I%d", i), Cause: "slow", Causes: []string{"slow", "stuck"},
			Was: "poison", Wrong: true, Snapshot: []byte(fmt.Sprintf(`{"id":"I%d"}`, i)),
		}
		if _, err := s.AddEntry(ctx, e, noon.Add(time.Duration(i)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Feedback(ctx, "a", 10)
	if err != nil || len(got) != 2 || got[0].Incident != "I0" || string(got[1].Snapshot) != `{"id":"I2"}` || got[0].Was != "poison" {
		t.Errorf("%+v %v", got, err)
	}
	if got, _ := s.Feedback(ctx, "", 1); len(got) != 1 || got[0].Incident != "I2" {
		t.Errorf("the newest one: %+v", got)
	}
	about, err := s.About(ctx, "I1")
	if err != nil || len(about) != 1 || about[0].Snapshot != nil || !about[0].Wrong || len(about[0].Causes) != 2 {
		t.Errorf("about I1: %+v %v; want it without the snapshot, which each tick would read", about, err)
	}
}

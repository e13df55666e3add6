package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// pastWarmUp is how many ticks before a past moment are replayed: what a signal calls usual needs its windows, which
// are at least some intervals long. At 5 s it is half an hour.
const pastWarmUp = 360

// maxIncidents is how many incidents `diagnose --since` lists at most.
const maxIncidents = 1000

// pastMoment is a flag for a moment in the past: how long ago (90m), or RFC 3339. Its zero value is "not given".
type pastMoment struct {
	at   time.Time
	text string
}

func (m *pastMoment) String() string { return m.text }
func (m *pastMoment) Type() string   { return "time" }

// Set reads the flag's text.
func (m *pastMoment) Set(text string) error {
	now := time.Now()
	at, err := time.Parse(time.RFC3339, text)
	if ago, agoErr := time.ParseDuration(text); agoErr == nil {
		at, err = now.Add(-ago), nil
	}
	if err != nil {
		return errors.New("want how long ago, as 90m, or RFC 3339, as 2026-01-02T15:04:05Z")
	}
	if at.After(now) {
		return errors.New("want a moment in the past")
	}
	m.at, m.text = at, text
	return nil
}

// observePast is `diagnose --at` of a running server: what the server kept of that time is replayed here, through
// the tick that ran then.
func observePast(ctx context.Context, p Process, f diagnoseFlags) ([]streamkeeper.Report, error) {
	live, err := fetchReports(ctx, f.server, f.cluster)
	if err != nil {
		return nil, err
	}
	rulebook, err := loadCatalog(f.rules)
	if err != nil {
		return nil, usage(err)
	}
	dir, err := os.MkdirTemp("", "streamkeeper-past-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var past []streamkeeper.Report
	for i, r := range live {
		warmUp := time.Duration(pastWarmUp * r.TickSeconds * float64(time.Second))
		p.progress("fetching %s of cluster %s", span(warmUp), r.Cluster.Name)
		path := filepath.Join(dir, strconv.Itoa(i))
		if err := fetchRecording(ctx, f.server, r.Cluster.Name, f.at.at.Add(-warmUp), f.at.at, path); err != nil {
			return nil, blind(err)
		}
		rec, err := readRecording(path)
		if err != nil {
			return nil, blind(err)
		}
		p.progress("replaying it")
		report, err := rec.replay(ctx, rulebook, time.Time{}, nil)
		if err != nil {
			return nil, blind(err)
		}
		past = append(past, report)
	}
	return past, nil
}

// fetchIncidents lists a server's incidents that lasted until after a moment, oldest first.
func fetchIncidents(ctx context.Context, server, cluster string, since time.Time) ([]streamkeeper.Incident, error) {
	q := url.Values{"cluster": {cluster}, "limit": {strconv.Itoa(maxIncidents)}}
	body, err := ask(ctx, server, "/api/v1/incidents?"+q.Encode())
	if err != nil {
		return nil, err
	}
	var out struct {
		Incidents []streamkeeper.Incident `json:"incidents"`
	}
	if err := json.Unmarshal(body, &out); err != nil {
		return nil, blind(fmt.Errorf("%s does not answer as a streamkeeper server: %w", server, err))
	}
	slices.Reverse(out.Incidents) // the server lists the newest first
	return slices.DeleteFunc(out.Incidents, func(i streamkeeper.Incident) bool {
		return i.ResolvedAt != nil && i.ResolvedAt.Before(since)
	}), nil
}

// writeIncidents lists incidents as text or Markdown, each with when, how bad, and what it was.
func writeIncidents(w io.Writer, incidents []streamkeeper.Incident, since time.Time, output string, p painter) {
	title, entry, more := p.bold("incidents since "+day(since)), "  ", "    "
	if output == "markdown" {
		title, entry, more = "## Incidents since "+day(since)+"\n", "- ", "  "
	}
	fmt.Fprintf(w, "\n%s\n", title)
	if len(incidents) == 0 {
		fmt.Fprintln(w, entry+"none")
	}
	for _, i := range incidents {
		until := "open"
		if i.ResolvedAt != nil {
			until = fmt.Sprintf("%s (%s)", i.ResolvedAt.UTC().Format("15:04:05"), span(i.ResolvedAt.Sub(i.OpenedAt)))
		}
		owner := ""
		if len(i.Owners) > 0 {
			owner = " · owner " + strings.Join(i.Owners, ", ")
		}
		fmt.Fprintf(w, "%s%s – %s   %s   %s · %s%s\n", entry, day(i.OpenedAt), until, i.Severity, causeName(i.Root), i.Root.Entity, owner)
		for _, line := range wrap(i.Headline, textWidth-len(more)) {
			fmt.Fprintln(w, more+line)
		}
	}
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

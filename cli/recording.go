package cli

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors/series"
	"github.com/streamkeeper-io/streamkeeper/diagnose"
)

// A recording is what was seen around an incident, as one text file (txtar, gzipped or not): story.md for
// people, meta, inventories and events as JSON, one a line, signals in promtool's notation with raw times.
// It replays through the same tick as live data, so a bug report is a recording and a recording is a test.
const (
	recordingSchema  = "streamkeeper.recording/v1"
	maxRecording     = 256 << 20 // bytes, unpacked
	defaultRecording = 10 * time.Minute
)

type recordingMeta struct {
	Schema      string    `json:"schema"`
	Cluster     string    `json:"cluster"`
	From        time.Time `json:"from"`
	To          time.Time `json:"to"`
	TickSeconds float64   `json:"tick_seconds"`
	TickedAt    time.Time `json:"ticked_at"` // of the newest live tick, if inside; a replay ends there unless told otherwise
	SLOLag      float64   `json:"slo_lag_seconds"`
	// Scopes are what was said of some entities when it was recorded.
	Scopes  []diagnose.Scope `json:"scopes,omitempty"`
	Version string           `json:"version"`
}

type recording struct {
	meta        recordingMeta
	story       string
	inventories []streamkeeper.Inventory
	rounds      []round
	signals     []byte
	want        string
	truth       []byte // what a drill injected and how the live diagnosis did, as JSON; nil when nobody knows
}

// record takes what the places hold of a cluster since a time. live is the newest report: the replay keeps its
// pace and, unless the recording ends before, its moment.
func (p *places) record(ctx context.Context, live streamkeeper.Report, since, to time.Time, slo time.Duration, scopes []diagnose.Scope) (recording, error) {
	cluster := live.Cluster.Name
	r := recording{meta: recordingMeta{
		Schema: recordingSchema, Cluster: cluster, From: since.UTC(), To: to.UTC(),
		TickSeconds: live.TickSeconds, SLOLag: slo.Seconds(), Scopes: scopes, Version: Version(),
	}}
	if !live.GeneratedAt.After(to) {
		r.meta.TickedAt = live.GeneratedAt.UTC()
	}
	r.story = fmt.Sprintf("Cluster %s from %s to %s.\n", cluster, since.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339))
	r.rounds, r.inventories = p.remembered(cluster, since, to)
	var b bytes.Buffer
	match := []string{fmt.Sprintf("{cluster=%q}", cluster)}
	if err := p.series.Export(ctx, &b, series.ExportOptions{From: since, To: to, Match: match}); err != nil {
		return r, fmt.Errorf("export the signals: %w", err)
	}
	r.signals = b.Bytes()
	return r, nil
}

// write writes the recording as gzipped txtar.
func (r recording) write(w io.Writer) error {
	meta, err := json.MarshalIndent(r.meta, "", "  ")
	if err != nil {
		return err
	}
	inventories, err := jsonLines(r.inventories)
	if err != nil {
		return err
	}
	rounds, err := jsonLines(r.rounds)
	if err != nil {
		return err
	}
	a := txtar.Archive{Files: []txtar.File{
		{Name: "story.md", Data: []byte(r.story)},
		{Name: "meta.json", Data: append(meta, '\n')},
		{Name: "inventory.jsonl", Data: inventories},
		{Name: "events.jsonl", Data: rounds},
		{Name: "signals", Data: r.signals},
	}}
	if r.truth != nil {
		a.Files = append(a.Files, txtar.File{Name: "truth.json", Data: r.truth})
	}
	if r.want != "" {
		a.Files = append(a.Files, txtar.File{Name: "want", Data: []byte(r.want)})
	}
	z := gzip.NewWriter(w)
	if _, err := z.Write(txtar.Format(&a)); err != nil {
		return err
	}
	return z.Close()
}

func jsonLines[T any](all []T) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, v := range all {
		if err := e.Encode(v); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

func readJSONLines[T any](name string, data []byte) ([]T, error) {
	var out []T
	d := json.NewDecoder(bytes.NewReader(data))
	for d.More() {
		var v T
		if err := d.Decode(&v); err != nil {
			return nil, fmt.Errorf("%s, entry %d: %w", name, len(out)+1, err)
		}
		out = append(out, v)
	}
	return out, nil
}

// writeRecording writes a recording to a file, whole or not at all.
func writeRecording(path string, r recording) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".recording-*")
	if err != nil {
		return err
	}
	err = errors.Join(r.write(f), f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// readRecording reads a recording file.
func readRecording(path string) (recording, error) {
	f, err := os.Open(path)
	if err != nil {
		return recording{}, fmt.Errorf("open the recording: %w", err)
	}
	defer f.Close()
	r, err := parseRecording(f)
	if err != nil {
		return r, fmt.Errorf("recording %s: %w", path, err)
	}
	return r, nil
}

func parseRecording(in io.Reader) (recording, error) {
	var r recording
	buffered := bufio.NewReader(in)
	var text io.Reader = buffered
	if magic, err := buffered.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return r, err
		}
		text = z
	}
	all, err := io.ReadAll(io.LimitReader(text, maxRecording+1))
	if err != nil {
		return r, err
	}
	if len(all) > maxRecording {
		return r, fmt.Errorf("larger than %d MiB", maxRecording>>20)
	}
	files := map[string][]byte{}
	for _, f := range txtar.Parse(all).Files {
		files[f.Name] = f.Data
	}
	if files["meta.json"] == nil || files["signals"] == nil {
		return r, errors.New("not a recording: the sections meta.json and signals are wanted (`streamkeeper record` writes them)")
	}
	if err := json.Unmarshal(files["meta.json"], &r.meta); err != nil {
		return r, fmt.Errorf("meta.json: %w", err)
	}
	if r.meta.Schema != recordingSchema {
		return r, fmt.Errorf("schema %q; this program reads %q", r.meta.Schema, recordingSchema)
	}
	if r.meta.TickSeconds < 0.1 || !r.meta.To.After(r.meta.From) {
		return r, errors.New("meta.json: tick_seconds and a from before to are wanted")
	}
	if r.inventories, err = readJSONLines[streamkeeper.Inventory]("inventory.jsonl", files["inventory.jsonl"]); err != nil {
		return r, err
	}
	if r.rounds, err = readJSONLines[round]("events.jsonl", files["events.jsonl"]); err != nil {
		return r, err
	}
	r.signals, r.story, r.want = files["signals"], string(files["story.md"]), string(files["want"])
	r.truth = files["truth.json"]
	return r, nil
}

// recordingHandler serves GET /api/v1/recording?cluster=&since=&until=. reports are the newest ones, one per cluster.
func recordingHandler(p *places, slo time.Duration, scopes []diagnose.Scope, reports func() []streamkeeper.Report) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		now := p.now()
		q := req.URL.Query()
		since, err1 := moment("since", q.Get("since"), now.Add(-defaultRecording))
		until, err2 := moment("until", q.Get("until"), now)
		live, err3 := reportOf(reports(), q.Get("cluster"))
		if err := errors.Join(err1, err2, err3); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if until.After(now) {
			until = now
		}
		if !since.Before(until) {
			http.Error(w, "since: want a moment before until, and in the past", http.StatusBadRequest)
			return
		}
		r, err := p.record(req.Context(), live, since, until, slo, scopes)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/gzip")
		_ = r.write(w) // the client has gone; there is nobody to tell
	})
}

// moment reads a parameter that is a time.
func moment(name, text string, otherwise time.Time) (time.Time, error) {
	if text == "" {
		return otherwise, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("%s: want RFC 3339, as 2026-01-02T15:04:05Z", name)
	}
	return at, nil
}

// reportOf finds a cluster's report; the name may be left out when there is only one.
func reportOf(reports []streamkeeper.Report, cluster string) (streamkeeper.Report, error) {
	if cluster == "" && len(reports) == 1 {
		return reports[0], nil
	}
	var names []string
	for _, r := range reports {
		if r.Cluster.Name == cluster {
			return r, nil
		}
		names = append(names, r.Cluster.Name)
	}
	if len(names) == 0 {
		return streamkeeper.Report{}, errors.New("no cluster has been looked at yet: try again in some seconds")
	}
	return streamkeeper.Report{}, errors.New("cluster: name one of " + strings.Join(names, ", "))
}

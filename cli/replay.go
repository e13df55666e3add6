package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors/series"
	"github.com/streamkeeper-io/streamkeeper/diagnose"
	"github.com/streamkeeper-io/streamkeeper/rules"
)

// replay runs the live tick over a recording, tick by tick, with everything arriving when it arrived. seen is
// called with each report; the last one, made at `until`, is returned. A zero `until` is the last live tick. The
// ticks are counted back from there, so that they fall on the moments of the live ones as far as an even pace
// allows: a tick half an interval aside may fall into a gap that the live diagnosis never saw.
func (r recording) replay(ctx context.Context, rulebook *rules.Catalog, until time.Time, seen func(streamkeeper.Report)) (streamkeeper.Report, error) {
	every := time.Duration(r.meta.TickSeconds * float64(time.Second))
	until = r.end(until)
	now := r.meta.From.Add(until.Sub(r.meta.From) % every)
	p, err := openPlaces(series.Options{
		Interval: every, Retention: 1000 * time.Hour, OutOfOrder: 1000 * time.Hour,
	}, func() time.Time { return now })
	if err != nil {
		return streamkeeper.Report{}, err
	}
	defer p.Close()
	if _, err := p.series.Import(ctx, bytes.NewReader(r.signals)); err != nil {
		return streamkeeper.Report{}, fmt.Errorf("signals: %w", err)
	}
	tick := &diagnose.Tick{
		Catalog: rulebook, Signals: p.series, World: p.world, Events: p.events,
		Config: diagnose.Config{Interval: every, SLOLag: time.Duration(r.meta.SLOLag * float64(time.Second)), Scopes: r.meta.Scopes},
	}
	var last streamkeeper.Report
	var memory diagnose.Memory
	rounds, inventories := r.rounds, r.inventories
	for ; !now.After(until); now = now.Add(every) {
		for len(inventories) > 0 && !inventories[0].At.After(now) {
			p.world.Add(inventories[0])
			inventories = inventories[1:]
		}
		for len(rounds) > 0 && !rounds[0].At.After(now) {
			p.events.Add(rounds[0].Events, rounds[0].Watermark)
			rounds = rounds[1:]
		}
		if err := p.relearn(ctx, r.meta.Cluster, now); err != nil {
			return last, err
		}
		report, _, next, err := tick.Run(ctx, r.meta.Cluster, now, memory)
		if err != nil {
			return last, err
		}
		memory, last = next, report
		if seen != nil {
			seen(report)
		}
	}
	if last.GeneratedAt.IsZero() {
		return last, errors.New("the asked moment lies before the recording")
	}
	return last, nil
}

// relearn tells the world whom the bundled broker's series name by now, as what arrives live does.
func (p *places) relearn(ctx context.Context, cluster string, now time.Time) error {
	const named = "streamkeeper_broker_"
	query := streamkeeper.Query{ID: named, Kind: streamkeeper.QueryInstant, Expr: fmt.Sprintf("{__name__=~%q,cluster=%q}", named+".+", cluster)}
	answers, err := p.series.Read(ctx, now, []streamkeeper.Query{query})
	if err != nil {
		return fmt.Errorf("signals: %w", err)
	}
	answer := answers[named]
	samples := make([]streamkeeper.Sample, 0, len(answer.Points))
	for _, point := range answer.Points {
		samples = append(samples, streamkeeper.Sample{Metric: named, Labels: point.Labels, At: now.Add(-point.Age), Value: point.Value})
	}
	p.world.Learn(samples)
	return answer.Err
}

// end is the moment at which a replay ends.
func (r recording) end(asked time.Time) time.Time {
	switch {
	case !asked.IsZero() && asked.Before(r.meta.To):
		return asked
	case asked.IsZero() && r.meta.TickedAt.After(r.meta.From) && r.meta.TickedAt.Before(r.meta.To):
		return r.meta.TickedAt
	}
	return r.meta.To
}

// observeRecording is `diagnose --recording`.
func observeRecording(ctx context.Context, p Process, f diagnoseFlags) ([]streamkeeper.Report, error) {
	r, err := readRecording(f.recording)
	if err != nil {
		return nil, blind(err)
	}
	rulebook, err := loadCatalog(f.rules)
	if err != nil {
		return nil, usage(err)
	}
	until := f.at.at
	if !until.IsZero() && (until.Before(r.meta.From) || until.After(r.meta.To)) {
		return nil, usage(fmt.Errorf("--at %s lies outside the recording (%s to %s)", f.at.text, r.meta.From.Format(time.RFC3339), r.meta.To.Format(time.RFC3339)))
	}
	p.progress("replaying %s of cluster %s", span(r.meta.To.Sub(r.meta.From)), r.meta.Cluster)
	report, err := r.replay(ctx, rulebook, until, nil)
	if err != nil {
		return nil, blind(err)
	}
	return []streamkeeper.Report{report}, nil
}

package diagnose

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/advise"
	"github.com/streamkeeper-io/streamkeeper/diagnose/history"
	"github.com/streamkeeper-io/streamkeeper/diagnose/incident"
)

// LoopOptions are what a Loop needs. Tick and Clusters are required.
type LoopOptions struct {
	Tick     *Tick
	Clusters func() []string // asked again and again: a cluster that appears is watched
	// Interval is a cluster's time between two ticks; nil or zero means the tick's own.
	Interval func(cluster string) time.Duration
	// Shadow is how long what stood when a cluster was first seen is not told; nil or zero: not at all.
	Shadow    func(cluster string) time.Duration
	History   *history.Store // nil: incidents live in memory only
	Publisher Publisher      // nil: nobody is told
	Logger    *slog.Logger   // nil: nothing is logged
	// Budget is how many incidents of a cluster are told within 24 h; those beyond it are rolled up. 0: all are told.
	Budget int
	// RollupEvery is the least time between two roll-ups of a cluster; default 1 h.
	RollupEvery time.Duration
	Retention   time.Duration // how long resolved incidents are kept; default 90 days
}

// Loop runs the ticks of all clusters, each in its own time, so that one that hangs delays no other. It
// is safe for concurrent use.
type Loop struct {
	opt     LoopOptions
	log     *slog.Logger
	metrics *metrics

	mu       sync.Mutex
	clusters map[string]*watched
	subs     map[chan struct{}]bool
}

// watched is one cluster's state. Only its own goroutine writes memory.
type watched struct {
	memory    Memory
	report    *streamkeeper.Report
	recent    []streamkeeper.Incident        // resolved lately, newest first, for when there is no history
	announced map[string]bool                // open incidents that were told
	untold    map[string]streamkeeper.Untold // open incidents that were not told
	budget    budget
	failing   bool
	saved     time.Time
	memo      []byte // as it was written last
	memoed    time.Time
}

const (
	defaultRetention   = 90 * 24 * time.Hour
	defaultRollupEvery = time.Hour
	clustersEvery      = 5 * time.Second
	pruneEvery         = time.Hour
	saveEvery          = time.Minute // how often an open incident is saved although nothing material changed
	recentKept         = 100
)

// NewLoop makes a loop that does nothing until Run.
func NewLoop(opt LoopOptions) *Loop {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Retention <= 0 {
		opt.Retention = defaultRetention
	}
	if opt.RollupEvery <= 0 {
		opt.RollupEvery = defaultRollupEvery
	}
	return &Loop{opt: opt, log: opt.Logger, metrics: newMetrics(), clusters: map[string]*watched{}, subs: map[chan struct{}]bool{}}
}

// Run ticks until ctx ends, and returns when all ticks have ended. It returns nil: what fails is logged,
// counted and tried again at the next tick.
func (l *Loop) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	look := time.NewTicker(clustersEvery)
	defer look.Stop()
	pruned := time.Time{}
	for {
		for _, name := range l.opt.Clusters() {
			if l.adopt(name) {
				wg.Go(func() { l.watch(ctx, name) })
			}
		}
		if now := time.Now(); now.Sub(pruned) >= pruneEvery {
			pruned = now
			l.prune(ctx, now)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
	}
}

// adopt registers a cluster; false when it is known.
func (l *Loop) adopt(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clusters[name] != nil {
		return false
	}
	l.clusters[name] = &watched{announced: map[string]bool{}, untold: map[string]streamkeeper.Untold{}}
	l.metrics.adopt(name)
	return true
}

// watch ticks one cluster. Its first tick comes at once.
func (l *Loop) watch(ctx context.Context, name string) {
	tick := *l.opt.Tick
	tick.Config = tick.Config.withDefaults()
	if l.opt.Interval != nil {
		if every := l.opt.Interval(name); every > 0 && every != tick.Config.Interval {
			tick.Config.Interval, tick.Config.Lag = every, every
		}
	}
	if l.opt.Shadow != nil {
		tick.Config.Shadow = l.opt.Shadow(name)
	}
	l.restore(ctx, name, tick.Config.Shadow)
	timer := time.NewTicker(tick.Config.Interval)
	defer timer.Stop()
	for {
		l.step(ctx, &tick, name)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
	}
}

// restore goes on with the incidents that were open when the process ended.
func (l *Loop) restore(ctx context.Context, name string, shadow time.Duration) {
	if l.opt.History == nil {
		return
	}
	bodies, err := l.opt.History.Follow(ctx, name)
	if err != nil {
		l.log.Error("reading open incidents; they will be opened again", "cluster", name, "error", err)
		return
	}
	kept := l.recall(ctx, name, shadow)
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.clusters[name]
	w.budget, w.memory.Shadow = kept.Budget, kept.Shadow
	for _, body := range bodies {
		var r incident.Record
		if err := json.Unmarshal(body, &r); err != nil {
			l.log.Warn("an open incident in the history is damaged and is left out", "cluster", name, "error", err)
			continue
		}
		w.memory.Stories.Open = append(w.memory.Stories.Open, r)
		switch _, held := w.budget.Held[r.Incident.ID]; {
		case r.Incident.Standing:
			w.untold[r.Incident.ID] = streamkeeper.UntoldStanding
		case held:
			w.untold[r.Incident.ID] = streamkeeper.UntoldBudget
		default:
			w.announced[r.Incident.ID] = true
		}
	}
}

// step runs one tick and takes its result over.
func (l *Loop) step(ctx context.Context, tick *Tick, name string) {
	limit := max(2*tick.Config.Interval, 10*time.Second)
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	l.mu.Lock()
	w := l.clusters[name]
	memory := w.memory
	l.mu.Unlock()

	began := time.Now()
	report, changed, next, err := tick.Run(bounded, name, began, memory)
	l.metrics.tick(name, time.Since(began), err)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		l.fail(name, w, err)
		return
	}
	l.mu.Lock()
	if w.failing {
		w.failing = false
		l.log.Info("the diagnosis can see again", "cluster", name)
	}
	w.memory, w.report = next, &report
	for _, i := range changed {
		if i.State == streamkeeper.IncidentResolved {
			w.recent = append([]streamkeeper.Incident{i}, w.recent[:min(len(w.recent), recentKept-1)]...)
		}
	}
	l.mu.Unlock()
	l.save(bounded, name, w, changed, next, began)
	l.saveOutcomes(bounded, name, memory, next, began)
	l.tell(bounded, name, w, report, changed)
	l.remember(bounded, name, w, began)
	l.wake()
}

// fail logs the first failure of a row, with what it means.
func (l *Loop) fail(name string, w *watched, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.failing {
		return
	}
	w.failing = true
	level := slog.LevelError
	if errors.Is(err, context.DeadlineExceeded) {
		level = slog.LevelWarn
	}
	l.log.Log(context.Background(), level, "the diagnosis is blind until this works again", "cluster", name, "error", err)
}

// save writes what changed, and every open incident now and then.
func (l *Loop) save(ctx context.Context, name string, w *watched, changed []streamkeeper.Incident, next Memory, now time.Time) {
	for _, i := range changed {
		l.log.Info("incident "+string(i.State), "cluster", name, "id", i.ID, "cause", i.Root.Cause,
			"entity", i.Root.Entity.Key(), "confidence", i.Root.Confidence, "headline", i.Headline)
	}
	if l.opt.History == nil {
		return
	}
	records := map[string]incident.Record{}
	due := map[string]streamkeeper.Incident{}
	for _, r := range next.Stories.Open {
		records[r.Incident.ID] = r
		if now.Sub(w.saved) >= saveEvery {
			due[r.Incident.ID] = r.Incident
		}
	}
	if now.Sub(w.saved) >= saveEvery {
		w.saved = now
	}
	for _, i := range changed {
		due[i.ID] = i
	}
	for _, id := range sortedKeys(due) {
		follow := []byte(nil)
		if r, open := records[id]; open {
			follow, _ = json.Marshal(r) // plain data: cannot fail
		}
		if err := l.opt.History.SaveIncident(ctx, due[id], follow); err != nil {
			l.log.Error("saving an incident; it is tried again", "cluster", name, "id", id, "error", err)
			w.saved = time.Time{}
		}
	}
}

// saveOutcomes writes what became of taken advice, once it is judged.
func (l *Loop) saveOutcomes(ctx context.Context, name string, before, next Memory, now time.Time) {
	if l.opt.History == nil {
		return
	}
	for _, id := range sortedKeys(next.Trials) {
		t := next.Trials[id]
		if t.Outcome == advise.Pending || before.Trials[id].Outcome == t.Outcome {
			continue
		}
		// The id comes from the advice's, so that a second one of the same outcome is refused.
		e := Entry{
			ID: "outcome-" + id, Kind: history.Outcome, Cluster: name, Entity: t.Entity, Cause: t.Cause, Of: id, Outcome: string(t.Outcome),
		}
		if _, err := l.opt.History.AddEntry(ctx, e, now); err != nil {
			l.log.Debug("an outcome was not saved; most likely it is there already", "cluster", name, "advice", id, "error", err)
			continue
		}
		l.log.Info("advice was judged", "cluster", name, "cause", t.Cause, "entity", t.Entity, "outcome", string(t.Outcome))
	}
}

func (l *Loop) prune(ctx context.Context, now time.Time) {
	if l.opt.History == nil {
		return
	}
	if n, err := l.opt.History.Prune(ctx, now.Add(-l.opt.Retention)); err != nil {
		l.log.Error("pruning the history", "error", err)
	} else if n > 0 {
		l.log.Info("pruned the history", "records", n)
	}
}

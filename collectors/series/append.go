package series

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// ErrTooManySeries is returned by Append when new series were refused; samples of known series were stored.
var ErrTooManySeries = errors.New("too many series")

// refCache finds a series' reference without sorting its labels again at each sample. It is bounded by
// MaxSeries: when full it starts over, which costs one slow round.
type refCache struct {
	mu       sync.Mutex
	seed     maphash.Seed
	byHash   map[uint64]cachedRef
	rejected atomic.Uint64
	refused  atomic.Uint64
}

type cachedRef struct {
	ref    storage.SeriesRef
	labels labels.Labels
}

// Append stores samples, all at once for readers. Samples that the database cannot take (older than what
// is tolerated, twice the same time, from the future) are left out and counted in Rejected: they are
// the source's oddities, not failures of ours.
func (s *Store) Append(ctx context.Context, samples []streamkeeper.Sample) error {
	if len(samples) == 0 {
		return nil
	}
	s.refs.mu.Lock()
	defer s.refs.mu.Unlock()
	var latest time.Time
	if s.o.Now != nil {
		latest = s.o.Now().Add(maxFuture)
	}
	app := s.db.Appender(ctx)
	refused := 0
	for _, sample := range samples {
		if !latest.IsZero() && sample.At.After(latest) {
			s.refs.rejected.Add(1)
			continue
		}
		switch err := s.appendOne(app, sample); {
		case errors.Is(err, ErrTooManySeries):
			refused++
		case err != nil:
			return errors.Join(fmt.Errorf("storing samples: %w", err), app.Rollback())
		}
	}
	if err := app.Commit(); err != nil {
		return fmt.Errorf("storing samples: %w", err)
	}
	if refused > 0 {
		s.refs.refused.Add(uint64(refused))
		return fmt.Errorf("storing samples: %d series refused, the store holds %d (raise series.max_series or collect less): %w", refused, s.o.MaxSeries, ErrTooManySeries)
	}
	return nil
}

// Rejected counts the samples that were left out since the store was opened.
func (s *Store) Rejected() uint64 { return s.refs.rejected.Load() }

// Series is how many series the head holds.
func (s *Store) Series() int { return int(s.db.Head().NumSeries()) }

func (s *Store) appendOne(app storage.Appender, sample streamkeeper.Sample) error {
	c := &s.refs
	if c.byHash == nil {
		c.seed, c.byHash = maphash.MakeSeed(), map[uint64]cachedRef{}
	}
	hash := collectors.SeriesHash(c.seed, sample.Metric, sample.Labels)
	known, ok := c.byHash[hash]
	if !ok || !sameLabels(known.labels, sample) {
		if s.Series() >= s.o.MaxSeries {
			return ErrTooManySeries
		}
		known = cachedRef{labels: sortedLabels(sample)}
	}
	ref, err := app.Append(known.ref, known.labels, sample.At.UnixMilli(), sample.Value)
	if isOdd(err) {
		c.rejected.Add(1)
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case collectors.IsStale(sample.Value):
		delete(c.byHash, hash) // ended: keep the cache to what lives
	case !ok || ref != known.ref:
		if len(c.byHash) >= s.o.MaxSeries {
			clear(c.byHash)
		}
		known.ref = ref
		c.byHash[hash] = known
	}
	return nil
}

// isOdd tells the errors that are about one sample's time from those that are about the store.
func isOdd(err error) bool {
	return errors.Is(err, storage.ErrOutOfOrderSample) || errors.Is(err, storage.ErrDuplicateSampleForTimestamp) ||
		errors.Is(err, storage.ErrOutOfBounds) || errors.Is(err, storage.ErrTooOldSample)
}

func sortedLabels(sample streamkeeper.Sample) labels.Labels {
	b := labels.NewScratchBuilder(len(sample.Labels) + 1)
	b.Add(model.MetricNameLabel, sample.Metric)
	for name, value := range sample.Labels {
		if value != "" && name != model.MetricNameLabel {
			b.Add(name, value)
		}
	}
	b.Sort()
	return b.Labels()
}

// sameLabels guards the cache against two series with one hash.
func sameLabels(l labels.Labels, sample streamkeeper.Sample) bool {
	same, n := true, 0
	l.Range(func(label labels.Label) {
		if label.Name == model.MetricNameLabel {
			same = same && label.Value == sample.Metric
			return
		}
		n++
		same = same && sample.Labels[label.Name] == label.Value
	})
	for name, value := range sample.Labels {
		if value == "" || name == model.MetricNameLabel {
			n++
		}
	}
	return same && n == len(sample.Labels)
}

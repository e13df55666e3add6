package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/streamkeeper-io/streamkeeper/collectors/hosts"
	"github.com/streamkeeper-io/streamkeeper/collectors/series"
)

// maxHostSeries is how many series of machines and pods are read of one dialect; more are somebody else's, mostly.
const maxHostSeries = 20_000

// hostSelection are the series of machines and pods that one dialect tells of a cluster.
type hostSelection struct {
	dialect string
	series.Selection
	n int
}

// hostSelections looks what node_exporter, cAdvisor and kube-state-metrics tell of a cluster: what has the label that parts the
// clusters, or all where there is but one.
func hostSelections(ctx context.Context, remote *series.Remote, c remoteCluster, at time.Time) ([]hostSelection, error) {
	var out []hostSelection
	all := hosts.Metrics()
	for _, dialect := range slices.Sorted(maps.Keys(all)) {
		rows, err := remote.Count(ctx, at, all[dialect], slices.Sorted(maps.Keys(c.match)))
		if err != nil {
			return nil, err
		}
		n := 0
		for _, row := range rows {
			if maps.Equal(row.Labels, c.match) {
				n += row.N
			}
		}
		if n > 0 && n <= maxHostSeries {
			sel := series.Selection{Metrics: all[dialect], Match: c.match, Set: map[string]string{"cluster": c.name}}
			out = append(out, hostSelection{dialect, sel, n})
		}
	}
	return out, nil
}

// dialledHosts copies what is told of a cluster's machines and pods, as far back as exportedLeast. Who matches them with members
// and brokers finds them in the store.
type dialledHosts struct {
	cluster remoteCluster
	remote  *series.Remote
	store   *series.Store
	every   time.Duration

	looked    time.Time // for what there is
	followers map[string]*followedHosts
}

// followedHosts is one dialect, and up to when it is here.
type followedHosts struct {
	*series.Follower
	copied time.Time
}

// copy copies what is new.
func (h *dialledHosts) copy(ctx context.Context, now time.Time) error {
	if now.Sub(h.looked) >= dialEvery {
		if err := h.look(ctx, now); err != nil {
			return err
		}
	}
	var errs []error
	for _, dialect := range slices.Sorted(maps.Keys(h.followers)) {
		f := h.followers[dialect]
		from := f.copied.Add(-2 * h.every) // what came late is looked for once more
		if oldest := now.Add(-exportedLeast); from.Before(oldest) {
			from = oldest
		}
		if _, err := f.Copy(ctx, from, now); err != nil {
			errs = append(errs, fmt.Errorf("machines and pods (%s): %w", dialect, err))
			continue
		}
		f.copied = now
	}
	return errors.Join(errs...)
}

// look finds out which dialects there are by now.
func (h *dialledHosts) look(ctx context.Context, now time.Time) error {
	found, err := hostSelections(ctx, h.remote, h.cluster, now)
	if err != nil {
		return fmt.Errorf("looking for machines and pods: %w", err)
	}
	h.looked = now
	followers := map[string]*followedHosts{}
	for _, f := range found {
		if followers[f.dialect] = h.followers[f.dialect]; followers[f.dialect] == nil {
			followers[f.dialect] = &followedHosts{Follower: h.store.Follow(h.remote, f.Selection)}
		}
	}
	h.followers = followers
	return nil
}

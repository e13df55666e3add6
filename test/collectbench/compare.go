package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/streamkeeper-io/streamkeeper/test/kafka"
)

const (
	askEvery    = 10 * time.Millisecond // until the page is whole
	wholeWithin = time.Minute
	restBetween = 3 * time.Second // the brokers come to rest
	warmUps     = 2               // pairs that do not count: brokers compile what they have not served yet, at the cost of who comes first
	maxPage     = 256 << 20
)

// page is what was found on a page of metrics.
type page struct {
	rows, ends int
	bytes      int64
}

// whole reports whether it tells all of the grid.
func (p page) whole(g grid) bool { return p.rows >= g.rows() && p.ends >= g.topics*g.partitions }

// readPage counts the lines that matter.
func (w watcher) readPage(r io.Reader) (p page, err error) {
	lines := bufio.NewScanner(io.LimitReader(r, maxPage))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		p.bytes += int64(len(line)) + 1
		switch {
		case strings.HasPrefix(line, w.rows):
			p.rows++
		case strings.HasPrefix(line, w.ends):
			p.ends++
		}
	}
	return p, lines.Err()
}

func (r *run) page(ctx context.Context) (p page, err error) {
	ctx, cancel := context.WithTimeout(ctx, wholeWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.address+"/metrics", nil)
	if err != nil {
		return p, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return p, err
	}
	p, err = r.readPage(resp.Body)
	return p, errors.Join(err, resp.Body.Close())
}

// untilWhole asks for the page again and again until it tells all of the grid.
func (r *run) untilWhole(ctx context.Context, g grid) (page, error) {
	ctx, cancel := context.WithTimeout(ctx, wholeWithin)
	defer cancel()
	var last page
	for {
		p, err := r.page(ctx)
		if err == nil && p.whole(g) {
			return p, nil
		}
		if err == nil {
			last = p
		}
		select {
		case <-time.After(askEvery):
		case <-r.done:
			return p, fmt.Errorf("%s ended by itself: %s", r.name, r.log())
		case <-ctx.Done():
			return p, fmt.Errorf("%s shows %d lags and %d ends after %s: %w: %s", r.name, last.rows, last.ends, wholeWithin, ctx.Err(), r.log())
		}
	}
}

// cold is a full cycle of a process that has just started: until its first whole page was read.
func cold(ctx context.Context, w watcher, g grid, c *kafka.Cluster, dir string) (took cost, err error) {
	before, err := cpuOf(c)
	if err != nil {
		return took, err
	}
	began := time.Now()
	r, err := w.run(ctx, dir, c.Addresses()[0])
	if err != nil {
		return took, err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	p, err := r.untilWhole(ctx, g)
	if err != nil {
		return took, err
	}
	took.wall = time.Since(began)
	took, err = r.account(took, c, before, 0)
	say("%-12s cold   %s, page of %.1f MB", w.name, took, float64(p.bytes)/1e6)
	return took, err
}

// account adds what was used since the brokers and the watcher had used so much.
func (r *run) account(took cost, c *kafka.Cluster, broker, own time.Duration) (cost, error) {
	used, err := r.process().CPU()
	if err != nil {
		return took, err
	}
	now, err := cpuOf(c)
	if err != nil {
		return took, err
	}
	took.cpu, took.broker = used-own, now-broker
	took.rss, err = r.process().PeakRSS()
	return took, err
}

func (c cost) String() string {
	return fmt.Sprintf("wall %.2f s, CPU %.2f s, brokers' CPU %.2f s, peak RSS %.0f MB", c.wall.Seconds(), c.cpu.Seconds(), c.broker.Seconds(), float64(c.rss)/1e6)
}

// steady watches on for some scrapes, as far apart as a Prometheus makes them, and tells what one costs.
func steady(ctx context.Context, w watcher, g grid, c *kafka.Cluster, dir string, scrapes int, every time.Duration) (took cost, err error) {
	r, err := w.run(ctx, dir, c.Addresses()[0])
	if err != nil {
		return took, err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	if _, err := r.untilWhole(ctx, g); err != nil {
		return took, err
	}
	own, err := r.process().CPU()
	if err != nil {
		return took, err
	}
	before, err := cpuOf(c)
	if err != nil {
		return took, err
	}
	for range scrapes {
		select {
		case <-ctx.Done():
			return took, ctx.Err()
		case <-time.After(every):
		}
		began := time.Now()
		p, err := r.page(ctx)
		if err != nil {
			return took, err
		}
		if !p.whole(g) {
			return took, fmt.Errorf("%s: a later page is not whole: %d lags", w.name, p.rows)
		}
		took.wall += time.Since(began)
	}
	if took, err = r.account(took, c, before, own); err != nil {
		return took, err
	}
	n := time.Duration(scrapes)
	took.wall, took.cpu, took.broker = took.wall/n, took.cpu/n, took.broker/n
	say("%-12s steady %s (each of %d scrapes, %s apart; wall is the scrape alone)", w.name, took, scrapes, every)
	return took, nil
}

// ratios are ours over theirs; nil without theirs.
type ratios struct {
	Wall   *float64 `json:"wall_ratio"`
	CPU    *float64 `json:"cpu_ratio"`
	RSS    *float64 `json:"rss_ratio"`
	Broker *float64 `json:"broker_cpu_ratio"`
}

// What ours may cost of what kminion costs.
const (
	maxWallRatio   = 0.6
	maxCPURatio    = 0.5
	maxRSSRatio    = 0.7
	maxBrokerRatio = 1.0
)

func (r ratios) passed() bool {
	within := func(v *float64, most float64) bool { return v == nil || *v <= most }
	return within(r.Wall, maxWallRatio) && within(r.CPU, maxCPURatio) && within(r.RSS, maxRSSRatio) && within(r.Broker, maxBrokerRatio)
}

// pair is one run of ours and one of theirs, beside each other in time.
type pair struct{ ours, theirs cost }

// compare is the median over the pairs of each measure's ratio.
func compare(pairs []pair) (r ratios) {
	for to, of := range map[**float64]func(cost) float64{
		&r.Wall:   func(c cost) float64 { return c.wall.Seconds() },
		&r.CPU:    func(c cost) float64 { return c.cpu.Seconds() },
		&r.RSS:    func(c cost) float64 { return float64(c.rss) },
		&r.Broker: func(c cost) float64 { return c.broker.Seconds() },
	} {
		var all []float64
		for _, p := range pairs {
			if theirs := of(p.theirs); theirs > 0 {
				all = append(all, of(p.ours)/theirs)
			}
		}
		if len(all) > 0 {
			slices.Sort(all)
			median := (all[(len(all)-1)/2] + all[len(all)/2]) / 2
			*to = &median
		}
	}
	return r
}

// watchGrid runs both in turns, ours first in every other pair, then each for a while. Without a kminion ours is alone.
func watchGrid(ctx context.Context, o options) (r ratios, err error) {
	c, err := startGrid(ctx, o.dir, o.grid)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	watchers := []watcher{ours(o.binary)}
	if o.kminion != "" {
		watchers = append(watchers, kminion(o.kminion))
	}
	var pairs []pair
	for i := range warmUps + o.pairs {
		var p pair
		sides := []*cost{&p.ours, &p.theirs}
		for n := range watchers {
			side := (n + i) % len(watchers)
			if err := rest(ctx, restBetween); err != nil {
				return r, err
			}
			if *sides[side], err = cold(ctx, watchers[side], o.grid, c, o.dir); err != nil {
				return r, err
			}
		}
		if i >= warmUps {
			pairs = append(pairs, p)
		}
	}
	for _, w := range watchers {
		if _, err := steady(ctx, w, o.grid, c, o.dir, o.scrapes, o.every); err != nil {
			return r, err
		}
	}
	return compare(pairs), nil
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

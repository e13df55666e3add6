package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/test/server"
)

// What a fleet must not cost.
const (
	maxFleetRSS      = 600e6
	maxScrape        = 200 * time.Millisecond
	maxPerSecond     = 50
	scrapeEvery      = 200 * time.Millisecond
	minKnownOfGroups = 0.99
)

// fleetResult is what watching a fleet costs. Passed is whether all of it is within bounds.
type fleetResult struct {
	Groups     int     `json:"groups"`
	Partitions int     `json:"partitions"`
	Rows       int     `json:"rows"` // committed offsets
	FirstCycle float64 `json:"first_cycle_seconds"`
	Cycle      float64 `json:"cycle_seconds"` // the slowest after it
	Requests   float64 `json:"requests_per_cycle"`
	Most       int     `json:"most_requests_in_a_second"`
	Known      int     `json:"groups_of_known_lag"`
	PeakRSS    int64   `json:"peak_rss_bytes"`
	CPU        float64 `json:"cpu_cores"`
	ScrapeP50  float64 `json:"scrape_p50_seconds"`
	ScrapeP99  float64 `json:"scrape_p99_seconds"`
	Scrapes    int     `json:"scrapes"`
	Page       int64   `json:"page_bytes"`
	AtScrape   int     `json:"kafka_requests_at_scrape"`
	Passed     bool    `json:"passed"`
}

// watchFleet lets the program watch a fleet for a while, scraping it all the time.
func watchFleet(ctx context.Context, o options) (r fleetResult, err error) {
	s := o.fleet
	r.Groups, r.Partitions, r.Rows = s.groups, s.topics*s.partitions, s.rows()
	f, err := startFleet(s)
	if err != nil {
		return r, err
	}
	defer f.cluster.Close()
	srv, err := server.NewIn(o.dir, o.binary, "--cluster", "fleet="+f.cluster.ListenAddrs()[0])
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, srv.Stop(), srv.Remove()) }()
	began := time.Now()
	if err := srv.Start(ctx); err != nil {
		return r, err
	}
	took, bytes, err := scrapeFor(ctx, srv, o.lasting)
	if err != nil {
		return r, fmt.Errorf("%w: %s", err, srv.Log())
	}
	if r.PeakRSS, err = srv.PeakRSS(); err != nil {
		return r, err
	}
	cpu, err := srv.CPU()
	if err != nil {
		return r, err
	}
	r.CPU = cpu.Seconds() / time.Since(began).Seconds()
	known, err := instant(ctx, srv, "count(streamkeeper_group_lag_seconds)")
	if err != nil {
		return r, err
	}
	r.Known = int(known)
	f.judge(&r)
	slices.Sort(took)
	r.Scrapes, r.Page = len(took), bytes
	r.ScrapeP50, r.ScrapeP99 = took[(len(took)-1)/2].Seconds(), took[(len(took)*99-1)/100].Seconds()
	r.AtScrape, err = f.askedAtScrape(ctx, srv)
	r.Passed = err == nil && r.PeakRSS < maxFleetRSS && r.ScrapeP99 < maxScrape.Seconds() && r.Most <= maxPerSecond &&
		r.AtScrape == 0 && float64(r.Known) >= minKnownOfGroups*float64(s.groups)
	say("%s", srv.Log())
	return r, err
}

// scrapeFor asks /metrics again and again and tells how long each answer took, and how large the last one was.
func scrapeFor(ctx context.Context, srv *server.Server, lasting time.Duration) (took []time.Duration, bytes int64, err error) {
	ticker := time.NewTicker(scrapeEvery)
	defer ticker.Stop()
	began := time.Now()
	for time.Since(began) < lasting {
		select {
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		case <-ticker.C:
		}
		d, n, err := scrape(ctx, srv)
		if err != nil {
			return nil, 0, err
		}
		if took, bytes = append(took, d), n; d > maxScrape {
			say("a scrape took %.2f s, %.0f s after the start", d.Seconds(), time.Since(began).Seconds())
		}
	}
	return took, bytes, nil
}

func scrape(ctx context.Context, srv *server.Server) (took time.Duration, bytes int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+srv.HTTP+"/metrics", nil)
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, 0, err
	}
	bytes, err = io.Copy(io.Discard, resp.Body)
	return time.Since(began), bytes, errors.Join(err, resp.Body.Close())
}

// pause is how long a cluster is asked nothing between two cycles at the least.
const pause = 1500 * time.Millisecond

// cycles splits requests into cycles: each begins with a Metadata request after a pause.
func cycles(all []asked) [][]asked {
	var out [][]asked
	for i, a := range all {
		if i == 0 || a.at.Sub(all[i-1].at) > pause {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], a)
	}
	return out
}

// judge counts what the fleet was asked. The last cycle may be cut and is left out.
func (f *fleet) judge(r *fleetResult) {
	all := f.since(f.began)
	first := 0
	for i, a := range all {
		for a.at.Sub(all[first].at) >= time.Second {
			first++
		}
		r.Most = max(r.Most, i-first+1)
	}
	rounds := cycles(all)
	if len(rounds) > 1 {
		rounds = rounds[:len(rounds)-1]
	}
	for i, round := range rounds {
		took := round[len(round)-1].at.Sub(round[0].at).Seconds()
		say("cycle %d: %d requests in %.1f s: %s", i+1, len(round), took, byKey(round))
		if i == 0 {
			r.FirstCycle = took
			continue
		}
		r.Cycle = max(r.Cycle, took)
		r.Requests += float64(len(round)) / float64(len(rounds)-1)
	}
}

func byKey(all []asked) string {
	n := map[int16]int{}
	for _, a := range all {
		n[a.key]++
	}
	text := ""
	for key := range int16(100) {
		if n[key] > 0 {
			text += fmt.Sprintf("%s %d ", kmsg.NameForKey(key), n[key])
		}
	}
	return text
}

// askedAtScrape scrapes between two cycles and counts what the fleet is asked meanwhile, at the least in three tries: a
// cycle may begin during one.
func (f *fleet) askedAtScrape(ctx context.Context, srv *server.Server) (least int, err error) {
	for try := range 3 {
		n, err := f.askedMeanwhile(ctx, srv)
		if err != nil {
			return 0, err
		}
		if try == 0 || n < least {
			least = n
		}
	}
	return least, nil
}

func (f *fleet) askedMeanwhile(ctx context.Context, srv *server.Server) (int, error) {
	for { // until a cycle is over
		all := f.since(f.began)
		if quiet := time.Since(all[len(all)-1].at); quiet > pause {
			break
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	from := time.Now()
	for range 5 {
		if _, _, err := scrape(ctx, srv); err != nil {
			return 0, err
		}
	}
	return len(f.since(from)), nil
}

// instant is the value of a PromQL query now.
func instant(ctx context.Context, srv *server.Server, query string) (v float64, err error) {
	var out struct {
		Data struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := srv.Get(ctx, "/prometheus/api/v1/query?query="+query, &out); err != nil {
		return 0, err
	}
	if len(out.Data.Result) == 0 {
		return 0, nil
	}
	_, err = fmt.Sscan(fmt.Sprint(out.Data.Result[0].Value[1]), &v)
	return v, err
}

package scrape

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"go.yaml.in/yaml/v2"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// Bounds of what files may list.
const (
	maxTargetFile = 4 << 20
	maxFiles      = 1_000
	maxTargets    = 5_000
	targetsAtOnce = 8 // scrapes that run
)

// TargetsOptions configure Targets. Cluster and Files are required.
type TargetsOptions struct {
	Cluster string
	Files   []string     // as file_sd_configs' files: paths whose last part may hold *, ending in .json, .yml or .yaml
	Client  *http.Client // nil means one with its own connections
}

// Targets scrapes what files list, in the form of Prometheus' file_sd_configs, whoever writes them. It is a
// [collectors.Collector]. Files are looked at in each round; a target that is listed no more ends, a file that cannot be
// read leaves its targets as they were.
type Targets struct {
	o        TargetsOptions
	files    map[string]collectors.File[[]Options]
	scrapers map[string]*Scraper // by what they are made from
}

// NewTargets makes a collector. The error names a path that cannot be one.
func NewTargets(o TargetsOptions) (*Targets, error) {
	if o.Cluster == "" || len(o.Files) == 0 {
		return nil, errors.New("scraping targets of files: a cluster and at least one file are needed")
	}
	for _, f := range o.Files {
		if _, err := filepath.Match(f, ""); err != nil || formatOf(f) == "" {
			return nil, fmt.Errorf("scraping targets of %q: want a path that ends in .json, .yml or .yaml", f)
		}
	}
	if o.Client == nil {
		o.Client = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	}
	return &Targets{o: o, files: map[string]collectors.File[[]Options]{}, scrapers: map[string]*Scraper{}}, nil
}

func formatOf(path string) string {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".json":
		return "json"
	case ".yml", ".yaml":
		return "yaml"
	}
	return ""
}

// Name is targets.
func (t *Targets) Name() string { return "targets" }

// Kind is scrape.
func (t *Targets) Kind() string { return "scrape" }

// Collect scrapes every target once. The error joins what failed; of many targets that fail it names the first.
func (t *Targets) Collect(ctx context.Context, now time.Time, sink collectors.Sink) error {
	errs := t.read()
	errs = append(errs, t.follow(ctx, now, sink)...)
	failed := t.scrape(ctx, now, sink)
	const most = 3
	if more := len(failed) - most; more > 0 {
		failed = append(failed[:most:most], fmt.Errorf("and %d more of %d targets", more, len(t.scrapers)))
	}
	return errors.Join(append(errs, failed...)...)
}

// scrape runs all scrapers, some at a time, and returns their errors in the targets' order.
func (t *Targets) scrape(ctx context.Context, now time.Time, sink collectors.Sink) []error {
	var wg sync.WaitGroup
	slots := make(chan struct{}, targetsAtOnce)
	keys := slices.Sorted(maps.Keys(t.scrapers))
	errs := make([]error, len(keys))
	for i, key := range keys {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = t.scrapers[key].Collect(ctx, now, sink)
		})
	}
	wg.Wait()
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// follow makes scrapers of new targets and ends those of targets that are gone.
func (t *Targets) follow(ctx context.Context, now time.Time, sink collectors.Sink) []error {
	var errs []error
	listed := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(t.files)) {
		for _, o := range t.files[name].Says {
			key := o.URL + "\x00" + o.Instance + "\x00" + fmt.Sprint(o.Labels) // a map is printed in order
			if listed[key] || len(listed) == maxTargets {
				continue
			}
			listed[key] = true
			if t.scrapers[key] != nil {
				continue
			}
			o.Cluster, o.Client = t.o.Cluster, t.o.Client
			s, err := New(o)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
				continue
			}
			t.scrapers[key] = s
		}
	}
	for _, key := range slices.Sorted(maps.Keys(t.scrapers)) {
		if listed[key] {
			continue
		}
		if err := t.scrapers[key].end(ctx, now, sink); err != nil {
			errs = append(errs, err)
		}
		delete(t.scrapers, key)
	}
	return errs
}

// end ends every series of a target that is listed no more.
func (s *Scraper) end(ctx context.Context, now time.Time, sink collectors.Sink) error {
	samples := s.parsed.endAll(now)
	for _, metric := range []string{"up", "scrape_duration_seconds", "scrape_samples_scraped"} {
		samples = append(samples, streamkeeper.Sample{Metric: metric, Labels: s.labels, At: now, Value: collectors.Stale()})
	}
	if err := sink.Samples(ctx, samples); err != nil {
		return fmt.Errorf("ending what %s exposed: %w", s.o.URL, err)
	}
	return nil
}

// read reads the files that are new or changed.
func (t *Targets) read() []error {
	var errs []error
	now := map[string]collectors.File[[]Options]{}
	for _, pattern := range t.o.Files {
		names, err := filepath.Glob(pattern)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", pattern, err))
		}
		for _, name := range names {
			if len(now) == maxFiles {
				break
			}
			f := t.files[name].Again(name, maxTargetFile, func(text []byte) ([]Options, error) { return parseTargets(text, formatOf(name)) })
			if f.Err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, f.Err))
			}
			now[name] = f
		}
	}
	t.files = now
	return errs
}

// parseTargets reads the targets of a file_sd file. The error says what is wrong with it, and then there are none.
func parseTargets(text []byte, format string) ([]Options, error) {
	var groups []*targetgroup.Group
	var err error
	if format == "json" {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		err = d.Decode(&groups)
	} else {
		err = yaml.UnmarshalStrict(text, &groups)
	}
	if err != nil {
		return nil, err
	}
	var out []Options
	for i, g := range groups {
		if g == nil {
			return nil, fmt.Errorf("group %d is empty", i+1)
		}
		for _, target := range g.Targets {
			o, err := targetOptions(g.Labels.Merge(target))
			if err != nil {
				return nil, fmt.Errorf("group %d: %w", i+1, err)
			}
			if out = append(out, o); len(out) > maxTargets {
				return nil, fmt.Errorf("more than %d targets", maxTargets)
			}
		}
	}
	return out, nil
}

// targetOptions makes what a target's labels say of its address, and of its series. Labels that begin with __ are
// Prometheus' own and end here.
func targetOptions(set model.LabelSet) (Options, error) {
	u := url.URL{Scheme: "http", Host: string(set[model.AddressLabel]), Path: "/metrics"}
	if v := set[model.SchemeLabel]; v != "" {
		u.Scheme = string(v)
	}
	if v := set[model.MetricsPathLabel]; v != "" {
		u.Path = string(v)
	}
	if u.Host == "" || strings.ContainsAny(u.Host, "/ ") {
		return Options{}, fmt.Errorf("target %q: want HOST:PORT", u.Host)
	}
	params, labels := url.Values{}, map[string]string{}
	for name, value := range set {
		switch param, isParam := strings.CutPrefix(string(name), model.ParamLabelPrefix); {
		case isParam:
			params.Set(param, string(value))
		case !strings.HasPrefix(string(name), model.ReservedLabelPrefix):
			labels[string(name)] = string(value)
		}
	}
	u.RawQuery = params.Encode()
	o := Options{URL: u.String(), Instance: labels["instance"], Labels: labels}
	delete(labels, "instance")
	return o, nil
}

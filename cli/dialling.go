package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/prometheus/common/config"

	"github.com/streamkeeper-io/streamkeeper/collectors/kafka"
	"github.com/streamkeeper-io/streamkeeper/collectors/series"
)

// How often a Prometheus is asked which clusters it holds, and how soon again while it does not answer.
const (
	dialEvery = time.Minute
	dialRetry = 15 * time.Second
)

// DialConfig is a server with the Prometheus HTTP API that exporters' metrics of clusters are in. A text is its URL.
type DialConfig struct {
	URL          string    `yaml:"url"`
	ClusterLabel string    `yaml:"cluster_label"` // which names clusters; "" is the first known one that is there
	Clusters     []string  `yaml:"clusters"`      // to watch; empty is all
	Tenant       string    `yaml:"tenant"`        // X-Scope-OrgID
	User         string    `yaml:"user"`
	PasswordFile string    `yaml:"password_file"`
	TokenFile    string    `yaml:"token_file"`
	TLS          kafka.TLS `yaml:"tls"`
}

// UnmarshalYAML reads the URL alone, or all.
func (d *DialConfig) UnmarshalYAML(node ast.Node) error {
	type plain DialConfig
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return yaml.NodeToValue(node, (*plain)(d), yaml.Strict())
	case *ast.NullNode:
		return nil
	}
	d.URL = scalar(node)
	return nil
}

func (d *DialConfig) validate(bad func(key, format string, args ...any), at string) {
	if d.URL == "" {
		if d.ClusterLabel != "" || len(d.Clusters) > 0 || d.Tenant != "" {
			bad(at+".url", "is missing: where is the Prometheus?")
		}
		return
	}
	httpURL(bad, at+".url", d.URL)
	if d.User != "" && d.TokenFile != "" {
		bad(at+".user", "a user and a token contradict each other")
	}
	if (d.User == "") != (d.PasswordFile == "") {
		bad(at+".password_file", "a user and a password file come together")
	}
}

// dial makes the connection; nothing is asked yet.
func (d *DialConfig) dial() (*series.Remote, error) {
	c := config.DefaultHTTPClientConfig
	c.TLSConfig = config.TLSConfig{CAFile: d.TLS.CA, CertFile: d.TLS.Cert, KeyFile: d.TLS.Key, ServerName: d.TLS.ServerName}
	switch {
	case d.TokenFile != "":
		c.Authorization = &config.Authorization{Type: "Bearer", CredentialsFile: d.TokenFile}
	case d.User != "":
		c.BasicAuth = &config.BasicAuth{Username: d.User, PasswordFile: d.PasswordFile}
	}
	if d.Tenant != "" {
		c.HTTPHeaders = &config.Headers{Headers: map[string]config.Header{"X-Scope-OrgID": {Values: []string{d.Tenant}}}}
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	transport, err := config.NewRoundTripperFromConfig(c, "prometheus")
	if err != nil {
		return nil, err
	}
	return series.Dial(series.RemoteOptions{URL: d.URL, Transport: transport})
}

// dialling finds the clusters that a Prometheus holds, again and again, and has each watched.
type dialling struct {
	config DialConfig
	remote *series.Remote
	store  *series.Store
	log    *slog.Logger
	taken  func() []string                                       // names of clusters that are watched
	adopt  func(name string, every time.Duration, with *dialled) // has one watched from now on

	mu  sync.Mutex
	err error // of the last look
}

// wireDialling connects to the Prometheus of the config, if there is one.
func (s *system) wireDialling() error {
	c := s.config.Series.Dial
	if c.URL == "" {
		return nil
	}
	remote, err := c.dial()
	if err != nil {
		return fmt.Errorf("series.dial: %w", err)
	}
	s.doctor.dialling = &dialling{
		config: c, remote: remote, store: s.places.series, log: s.log, taken: s.doctor.watching.names, adopt: s.addDialled,
	}
	return nil
}

// addDialled schedules a cluster that is watched through its exporters.
func (s *system) addDialled(name string, every time.Duration, d *dialled) {
	s.watch(ClusterConfig{Name: name}, every)
	s.scheduler.Add(d, every, name)
}

// run looks until ctx ends.
func (d *dialling) run(ctx context.Context) error {
	mine := map[string]bool{}
	for {
		wait := dialEvery
		if err := d.look(ctx, mine); err != nil {
			wait = dialRetry
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// look finds clusters and has new ones watched. What is wrong is logged when it changes.
func (d *dialling) look(ctx context.Context, mine map[string]bool) error {
	err := d.find(ctx, mine)
	if ctx.Err() != nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err != nil && (d.err == nil || d.err.Error() != err.Error()):
		d.log.Warn("looking for clusters in the Prometheus", "error", err)
	case err == nil && d.err != nil:
		d.log.Info("the Prometheus answers again")
	}
	d.err = err
	return err
}

// trouble is what was wrong when it last looked.
func (d *dialling) trouble() error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

func (d *dialling) find(ctx context.Context, mine map[string]bool) error {
	now := time.Now()
	found, err := findClusters(ctx, d.remote, now, d.config.ClusterLabel)
	if err != nil {
		return err
	}
	chosen, err := d.choose(found, mine)
	errs := []error{err}
	for _, c := range chosen {
		switch {
		case mine[c.name]:
			continue
		case slices.Contains(d.taken(), c.name):
			errs = append(errs, fmt.Errorf("cluster %s of the Prometheus is left out: another source watches a cluster of this name", c.name))
			continue
		}
		every, err := d.pace(ctx, c, now)
		if err != nil {
			errs = append(errs, fmt.Errorf("cluster %s: %w", c.name, err))
			continue
		}
		mine[c.name] = true
		d.log.Info("watching a cluster through its exporters", "cluster", c.name, "every", every)
		d.adopt(c.name, every, newDialled(c, every, d.store, d.remote))
	}
	return errors.Join(errs...)
}

// choose picks the clusters that are asked for, else all; the error names those that are not there.
func (d *dialling) choose(found []remoteCluster, mine map[string]bool) ([]remoteCluster, error) {
	if len(found) == 0 {
		return nil, errors.New("the label that is to tell clusters apart is on no Kafka series: give another series.dial.cluster_label")
	}
	byName := map[string]remoteCluster{}
	for _, c := range found {
		byName[c.name] = c
	}
	names := d.config.Clusters
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(byName))
		if fresh := len(names) - len(mine); fresh > 0 && len(names) > maxPrometheusClusters {
			return nil, fmt.Errorf("there are %d clusters, choose with series.dial.clusters (--cluster NAME): %s", len(names), strings.Join(names, ", "))
		}
	}
	var out []remoteCluster
	var missing []string
	for _, name := range names {
		if c, ok := byName[name]; ok {
			out = append(out, c)
		} else if !mine[name] {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return out, fmt.Errorf("there is no cluster %s, there are: %s (series.dial.cluster_label says which label names clusters)",
			strings.Join(missing, ", "), strings.Join(slices.Sorted(maps.Keys(byName)), ", "))
	}
	return out, nil
}

// pace is how often the cluster's exporters are scraped.
func (d *dialling) pace(ctx context.Context, c remoteCluster, now time.Time) (time.Duration, error) {
	var every time.Duration
	for _, metric := range slices.Sorted(maps.Keys(kafka.HeadMetrics())) {
		pace, err := d.remote.Pace(ctx, now, metric, c.match)
		if err != nil {
			return 0, err
		}
		if pace > 0 && (every == 0 || pace < every) {
			every = pace
		}
	}
	switch {
	case every == 0:
		return 0, errors.New("there are too few scrapes yet to see how often there is one")
	case every > slowestScrape:
		return 0, errScrapedSeldom
	}
	return max(every, time.Second), nil
}

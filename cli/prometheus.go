package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors/kafka"
	"github.com/streamkeeper-io/streamkeeper/collectors/series"
)

// prometheusFlags say which Prometheus to read and how.
type prometheusFlags struct {
	url, clusterLabel, tenant string
}

// clusterLabels are labels that name a Kafka cluster where several are in one Prometheus; the first that is there
// counts. `cluster` comes late: it is often the Kubernetes cluster's.
var clusterLabels = []string{
	"kafka_cluster", "kafka_cluster_name", "kafka_cluster_id", "strimzi_io_cluster", "cluster", "cluster_name", "cluster_id",
}

// maxPrometheusClusters is how many clusters are diagnosed at most when none is asked for.
const maxPrometheusClusters = 8

// observePrometheus is `diagnose --prometheus`: the raw samples of exporters are copied from there and replayed here,
// through the tick that a server runs. The same moment gives the same answer, whenever it is asked for.
func observePrometheus(ctx context.Context, p Process, f diagnoseFlags) ([]streamkeeper.Report, error) {
	rulebook, err := loadCatalog(f.rules)
	if err != nil {
		return nil, usage(err)
	}
	remote, err := f.dialPrometheus()
	if err != nil {
		return nil, usage(err)
	}
	at := f.at.at
	if at.IsZero() {
		at = time.Now()
	}
	p.progress("looking for exporters in %s", f.prometheus.url)
	found, err := findClusters(ctx, remote, at, f.prometheus.clusterLabel)
	if err != nil {
		return nil, blind(err)
	}
	chosen, err := chooseClusters(found, f.cluster)
	if err != nil {
		return nil, usage(err)
	}
	var reports []streamkeeper.Report
	for _, c := range chosen {
		e := exportedCluster{remoteCluster: c, remote: remote, rulebook: rulebook}
		report, err := e.observe(ctx, p, at)
		if err != nil {
			return nil, blind(fmt.Errorf("cluster %s: %w", c.name, err))
		}
		reports = append(reports, report)
	}
	return reports, nil
}

// dialPrometheus makes the connection; the flags for who we are are those of --brokers.
func (f diagnoseFlags) dialPrometheus() (*series.Remote, error) {
	s := f.security
	if s.SASL.Mechanism != "" {
		return nil, errors.New("--sasl is for --brokers; a Prometheus takes --user with --password-file, or --token-file")
	}
	c := DialConfig{
		URL: f.prometheus.url, Tenant: f.prometheus.tenant, TLS: s.TLS,
		User: s.SASL.User, PasswordFile: s.SASL.PasswordFile, TokenFile: s.SASL.TokenFile,
	}
	return c.dial()
}

// remoteCluster is one Kafka cluster in a Prometheus: the labels that its series have.
type remoteCluster struct {
	name  string
	match map[string]string
}

// findClusters looks where the ends of logs are told, and parts the clusters by a label: the one that is asked for, else
// the first known one that is there, else the scrape job where one exporter is scraped by several.
func findClusters(ctx context.Context, remote *series.Remote, at time.Time, label string) ([]remoteCluster, error) {
	heads := kafka.HeadMetrics()
	by := append([]string{"__name__", "job"}, clusterLabels...)
	if label != "" {
		by = []string{"__name__", "job", label}
	}
	rows, err := remote.Count(ctx, at, slices.Sorted(maps.Keys(heads)), by)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("no Kafka series as of %s: looked for %s; scrape one of these exporters, or diagnose with --brokers", at.UTC().Format(time.RFC3339), dialectList())
	}
	if label == "" {
		label = sharedLabel(rows)
	}
	return partClusters(rows, label), nil
}

// dialectList names each dialect with the metric that was looked for.
func dialectList() string {
	heads := kafka.HeadMetrics()
	var out []string
	for _, d := range kafka.Dialects() {
		var metrics []string
		for _, m := range slices.Sorted(maps.Keys(heads)) {
			if heads[m] == d {
				metrics = append(metrics, m)
			}
		}
		out = append(out, d+" ("+strings.Join(metrics, ", ")+")")
	}
	return strings.Join(out, ", ")
}

// sharedLabel is the label that parts clusters; "" when one cluster is all there is.
func sharedLabel(rows []series.Counted) string {
	for _, l := range clusterLabels {
		if slices.ContainsFunc(rows, func(r series.Counted) bool { return r.Labels[l] != "" }) {
			return l
		}
	}
	jobs := map[string]string{}
	for _, r := range rows {
		metric, job := r.Labels["__name__"], r.Labels["job"]
		if was, ok := jobs[metric]; ok && was != job {
			return "job" // one exporter in two jobs: two clusters
		}
		jobs[metric] = job
	}
	return ""
}

func partClusters(rows []series.Counted, label string) []remoteCluster {
	if label == "" {
		return []remoteCluster{{name: "kafka"}}
	}
	seen := map[string]bool{}
	for _, r := range rows {
		if v := r.Labels[label]; v != "" {
			seen[v] = true
		}
	}
	var out []remoteCluster
	for _, v := range slices.Sorted(maps.Keys(seen)) {
		out = append(out, remoteCluster{name: v, match: map[string]string{label: v}})
	}
	return out
}

func chooseClusters(found []remoteCluster, name string) ([]remoteCluster, error) {
	names := make([]string, 0, len(found))
	for _, c := range found {
		names = append(names, c.name)
	}
	i := slices.Index(names, name)
	switch {
	case len(found) == 0:
		return nil, errors.New("the label that is to tell clusters apart is on no Kafka series: give another --cluster-label")
	case i >= 0:
		return found[i : i+1], nil
	case name != "":
		return nil, fmt.Errorf("there is no cluster %q, there are: %s (--cluster-label says which label names clusters)", name, strings.Join(names, ", "))
	case len(found) > maxPrometheusClusters:
		return nil, fmt.Errorf("there are %d clusters, choose one with --cluster: %s", len(found), strings.Join(names, ", "))
	}
	return found, nil
}

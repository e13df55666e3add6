package hosts

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// The dialects, and the metrics that a machine and a pod are known by.
const (
	DialectNode = "node"
	DialectKube = "kube"

	machineMetric = "node_uname_info"
	podMetric     = "kube_pod_info"
)

// memory is for how long a match outlives the member that it was of.
const memory = 15 * time.Minute

// Bounds of what is matched in one cluster.
const (
	maxMachines = 10_000
	maxPods     = 50_000
	maxMatches  = 50_000
)

// Metrics lists the exporters' metrics that the catalog reads, by dialect.
func Metrics() map[string][]string {
	return map[string][]string{
		DialectNode: {
			machineMetric, "node_pressure_cpu_waiting_seconds_total", "node_pressure_memory_stalled_seconds_total",
			"node_pressure_io_stalled_seconds_total", "node_schedstat_waiting_seconds_total", "node_disk_read_time_seconds_total",
			"node_disk_write_time_seconds_total", "node_disk_reads_completed_total", "node_disk_writes_completed_total",
			"node_netstat_Tcp_RetransSegs", "node_netstat_Tcp_OutSegs", "node_vmstat_oom_kill",
		},
		DialectKube: {
			podMetric, "container_cpu_cfs_throttled_periods_total", "container_cpu_cfs_periods_total",
			"kube_pod_container_status_restarts_total", "kube_pod_container_status_last_terminated_reason", "kube_pod_status_reason",
			"kube_replicaset_created",
		},
	}
}

// Signals is where the exporters' series lie, labelled with their cluster.
type Signals interface {
	Read(ctx context.Context, at time.Time, qs []streamkeeper.Query) (streamkeeper.Answers, error)
}

// World is what was seen of clusters.
type World interface {
	Inventory(cluster string) streamkeeper.Inventory
}

// Options configure a Source. Cluster, Series and World are required.
type Options struct {
	Cluster string
	Series  Signals
	World   World
	// Lookup gives the addresses of a name; nil means that names are only compared. It is called with a deadline.
	Lookup func(ctx context.Context, name string) ([]string, error)
}

// Source matches one cluster. It is a [collectors.Collector].
type Source struct {
	o     Options
	names *resolver
	stale collectors.Staleness
	known map[match]time.Time // until when each match counts

	mu    sync.Mutex
	heard bool
	seen  map[string]int  // by dialect, the machines or pods in the last round
	hits  map[string]bool // by dialect, whether any was matched
}

// match is an entity on a machine or in a pod.
type match struct {
	kind, name     string // broker or group
	instance       string // of a machine
	namespace, pod string
	replicaset     string // that the pod belongs to
}

// New makes a source.
func New(o Options) *Source {
	return &Source{o: o, names: newResolver(o.Lookup), known: map[match]time.Time{}, seen: map[string]int{}, hits: map[string]bool{}}
}

// Name is hosts.
func (s *Source) Name() string { return "hosts" }

// Kind is hosts.
func (s *Source) Kind() string { return "hosts" }

// Heard reports whether any machine or pod was ever told of.
func (s *Source) Heard() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard
}

// Untold says which exporters are missing, and what cannot be told without them.
func (s *Source) Untold() []streamkeeper.NotJudged {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []streamkeeper.NotJudged
	if !s.hits[DialectNode] {
		needs := "node_exporter of those machines, with its pressure and schedstat collectors, among the cluster's metrics"
		if s.seen[DialectNode] > 0 {
			needs = "instance labels, or host names, of node_exporter that are the brokers' and members' addresses: none of " + strconv.Itoa(s.seen[DialectNode]) + " is"
		}
		out = append(out, streamkeeper.NotJudged{
			What:  "whether machines of brokers and members are short of CPU, memory, disk or network (consumer_gc_or_cpu_starved, session_timeout_network, processing_slowed, broker_stalled)",
			Needs: needs,
		})
	}
	if !s.hits[DialectKube] && (s.seen[DialectKube] > 0 || !s.heard) { // a site without Kubernetes misses nothing
		needs := "on Kubernetes, cAdvisor and kube-state-metrics among the cluster's metrics"
		if s.seen[DialectKube] > 0 {
			needs = "members that connect from their pods' addresses, or whose client ids are their pods' names"
		}
		out = append(out, streamkeeper.NotJudged{
			What:  "whether containers are throttled, killed for memory, restarted or evicted (consumer_gc_or_cpu_starved, crash_looping_member, broker_down)",
			Needs: needs,
		})
	}
	return out
}

// Collect does one round.
func (s *Source) Collect(ctx context.Context, now time.Time, sink collectors.Sink) error {
	machines, pods, err := s.told(ctx, now)
	samples := []streamkeeper.Sample{}
	if err == nil {
		var found []match
		if len(machines)+len(pods) > 0 { // of many clusters nobody tells of machines
			found = s.match(ctx, s.o.World.Inventory(s.o.Cluster), machines, pods)
		}
		s.remember(now, found)
		samples = s.samples(now, machines, pods)
		s.count(machines, pods)
	}
	return errors.Join(err, sink.Samples(ctx, s.stale.Mark(now, samples)))
}

// told reads which machines and pods the exporters name.
func (s *Source) told(ctx context.Context, now time.Time) ([]machine, []pod, error) {
	query := func(metric string) streamkeeper.Query {
		expr := fmt.Sprintf("%s{cluster=%q}", metric, s.o.Cluster)
		return streamkeeper.Query{ID: metric, Kind: streamkeeper.QueryInstant, Expr: expr}
	}
	answers, err := s.o.Series.Read(ctx, now, []streamkeeper.Query{query(machineMetric), query(podMetric)})
	if err != nil {
		return nil, nil, fmt.Errorf("reading the machines and pods of %s: %w", s.o.Cluster, err)
	}
	var machines []machine
	for _, p := range answers[machineMetric].Points {
		if len(machines) < maxMachines {
			machines = append(machines, machineOf(p.Labels))
		}
	}
	var pods []pod
	for _, p := range answers[podMetric].Points {
		if len(pods) < maxPods {
			pods = append(pods, podOf(p.Labels))
		}
	}
	return machines, pods, errors.Join(answers[machineMetric].Err, answers[podMetric].Err)
}

// remember keeps what was found, and what was found lately.
func (s *Source) remember(now time.Time, found []match) {
	for _, m := range found {
		if _, known := s.known[m]; known || len(s.known) < maxMatches {
			s.known[m] = now.Add(memory)
		}
	}
	maps.DeleteFunc(s.known, func(_ match, until time.Time) bool { return now.After(until) })
}

// samples are the series that join entities with machines and pods, and how many there are of those. Nothing is told of a
// dialect that nobody speaks.
func (s *Source) samples(now time.Time, machines []machine, pods []pod) []streamkeeper.Sample {
	var out []streamkeeper.Sample
	seen := map[string]bool{}
	add := func(metric string, v float64, pairs ...string) {
		labels := map[string]string{"cluster": s.o.Cluster}
		for i := 0; i < len(pairs); i += 2 {
			labels[pairs[i]] = pairs[i+1]
		}
		if id := metric + "\x00" + strings.Join(pairs, "\x00"); !seen[id] {
			seen[id] = true
			out = append(out, streamkeeper.Sample{Metric: "streamkeeper_" + metric, Labels: labels, At: now, Value: v})
		}
	}
	matched := map[string]map[string]bool{DialectNode: {}, DialectKube: {}}
	for _, m := range slices.SortedFunc(maps.Keys(s.known), compareMatches) {
		if m.instance != "" {
			matched[DialectNode][m.instance] = true
			add(m.kind+"_machine", 1, m.kind, m.name, "instance", m.instance)
		}
		if m.pod != "" {
			matched[DialectKube][m.namespace+"/"+m.pod] = true
			add(m.kind+"_pod", 1, m.kind, m.name, "namespace", m.namespace, "pod", m.pod)
		}
		if m.replicaset != "" {
			add(m.kind+"_replicaset", 1, m.kind, m.name, "namespace", m.namespace, "replicaset", m.replicaset)
		}
	}
	if len(machines) > 0 {
		add("machines", float64(len(matched[DialectNode])))
	}
	if len(pods) > 0 {
		add("pods", float64(len(matched[DialectKube])))
	}
	return out
}

func compareMatches(a, b match) int {
	return slices.Compare(
		[]string{a.kind, a.name, a.instance, a.namespace, a.pod, a.replicaset},
		[]string{b.kind, b.name, b.instance, b.namespace, b.pod, b.replicaset},
	)
}

// count keeps what Untold and Heard say.
func (s *Source) count(machines []machine, pods []pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[DialectNode], s.seen[DialectKube] = len(machines), len(pods)
	s.heard = s.heard || len(machines)+len(pods) > 0
	clear(s.hits)
	for m := range s.known {
		s.hits[DialectNode] = s.hits[DialectNode] || m.instance != "" && len(machines) > 0
		s.hits[DialectKube] = s.hits[DialectKube] || m.pod != "" && len(pods) > 0
	}
}

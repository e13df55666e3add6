package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/test/kafka"
)

// readOnlyName is what -run calls this check.
const readOnlyName = "read-only"

// Who diagnoses, and the group that even it may not describe.
const (
	readerName     = "streamkeeper"
	readerPassword = "only-describes"
	hiddenGroup    = "hidden"
)

// Timings are short: the fault is a plain one.
const (
	readOnlyHealthy = 12 * time.Second
	readOnlyStands  = 2 * time.Second
	readOnlyWindow  = 45 * time.Second // a group is told to be empty after half a minute
)

// readOnlyFault is named from what Describe lets see.
var readOnlyFault = scenario{name: "no-active-consumers", partitions: 4, replicas: 1, members: 1, library: java, rate: 30, inject: stopAll}

// readings are the requests that may come while a cluster is diagnosed and nobody else asks it anything: those that read,
// and what a broker tells its controller. Fetch is not among them.
var readings = []string{
	"ApiVersions", "SaslHandshake", "SaslAuthenticate", "Metadata", "DescribeCluster", "FindCoordinator", "ListGroups", "DescribeGroups",
	"ConsumerGroupDescribe", "OffsetFetch", "ListOffsets", "DescribeConfigs", "DescribeLogDirs", "DescribeQuorum", "DescribeProducers", "ListTransactions",
	"DescribeTransactions", "DescribeClientQuotas",
	"BrokerHeartbeat",
}

// readOnly diagnoses a cluster with an authorizer as somebody who may only describe: the fault is named, what is hidden is
// told, and the broker's own counters show no request but those that read.
func readOnly(ctx context.Context, dist *kafka.Dist, o options) (err error) {
	began := time.Now()
	o.brokers, o.window, o.logs = 1, readOnlyWindow, false
	cluster, err := dist.Start(ctx, kafka.Options{Heap: brokerHeap, Users: map[string]string{readerName: readerPassword}, JMX: true})
	if err != nil {
		return err
	}
	l, err := newLab(o, dist, cluster)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if l.access, err = l.asReader(ctx); err != nil {
		return err
	}
	if err := l.raise(ctx, &readOnlyFault); err != nil {
		return err
	}
	source, err := l.steady(ctx, readOnlyFault.name)
	if err != nil {
		return err
	}
	if !pause(ctx, readOnlyHealthy) {
		return ctx.Err()
	}
	if err := readOnlyFault.inject(ctx, l, l.work[readOnlyFault.name]); err != nil {
		return err
	}
	if !pause(ctx, readOnlyStands) {
		return ctx.Err()
	}
	before, err := source.count(ctx, l)
	if err != nil {
		return err
	}
	report, err := l.diagnose(ctx)
	if err != nil {
		return err
	}
	after, err := source.count(ctx, l)
	if err != nil {
		return err
	}
	named := l.judge(&readOnlyFault, report)
	wrong := errors.Join(hidden(report), written(before, after))
	fmt.Printf("      %s took %.0f s\n", readOnlyName, time.Since(began).Seconds())
	if !named {
		return errors.Join(errors.New("the fault was not named"), wrong)
	}
	return wrong
}

// asReader lets a user describe everything but one group, and returns the flags with which it comes.
func (l *lab) asReader(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	who := "User:" + readerName
	for _, acl := range []*kadm.ACLBuilder{
		kadm.NewACLs().Allow(who).Topics("*").Groups("*").Clusters().Operations(kadm.OpDescribe),
		kadm.NewACLs().Deny(who).Groups(hiddenGroup).Operations(kadm.OpDescribe),
	} {
		made, err := l.admin.CreateACLs(ctx, acl)
		if err != nil {
			return nil, err
		}
		for _, m := range made {
			if m.Err != nil {
				return nil, fmt.Errorf("create an ACL: %w: %s", m.Err, m.ErrMessage)
			}
		}
	}
	if _, err := l.admin.CreateTopic(ctx, 1, 1, nil, hiddenGroup); err != nil {
		return nil, err
	}
	var offsets kadm.Offsets
	offsets.AddOffset(hiddenGroup, 0, 0, -1)
	if err := l.admin.CommitAllOffsets(ctx, hiddenGroup, offsets); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "streamkeeper-readonly-")
	if err != nil {
		return nil, err
	}
	l.end = append(l.end, func() { _ = os.RemoveAll(dir) })
	file := filepath.Join(dir, "password")
	if err := os.WriteFile(file, []byte(readerPassword), 0o600); err != nil {
		return nil, err
	}
	return []string{"--brokers", strings.Join(l.cluster.Secured(), ","), "--sasl", "PLAIN", "--user", readerName, "--password-file", file}, nil
}

// steady is a producer that knows how many requests it has sent.
type steady struct {
	client   *kgo.Client
	topic    string
	requests atomic.Int64
	mu       sync.Mutex // held while records are under way
}

// OnBrokerWrite counts what was sent.
func (s *steady) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if kmsg.Key(key) == kmsg.Produce && err == nil {
		s.requests.Add(1)
	}
}

// steady produces to a topic, by the listener of those who may do anything, until the clients end.
func (l *lab) steady(ctx context.Context, topic string) (*steady, error) {
	s := &steady{topic: topic}
	var err error
	s.client, err = kgo.NewClient(kgo.SeedBrokers(l.cluster.Addresses()...), kgo.WithHooks(s), kgo.DisableClientMetrics(), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	l.end = append(l.end, s.client.Close, stop)
	l.wg.Go(func() {
		for pause(ctx, 200*time.Millisecond) {
			if err := s.send(ctx); err != nil && ctx.Err() == nil {
				logf("produce: %v", err)
			}
		}
	})
	return s, nil
}

func (s *steady) send(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	records := make([]*kgo.Record, 6)
	for i := range records {
		records[i] = &kgo.Record{Topic: s.topic, Value: make([]byte, 100)}
	}
	return s.client.ProduceSync(ctx, records...).FirstErr()
}

// asked is what a broker has counted, less what the producer has sent.
type asked map[string]int64

// count reads the counters while no record is under way.
func (s *steady) count(ctx context.Context, l *lab) (asked, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := l.cluster.Requests(ctx, l.dist)
	if err != nil {
		return nil, err
	}
	all["Produce"] -= s.requests.Load()
	return all, nil
}

// hidden says what the report does not tell of what it may not see.
func hidden(r *streamkeeper.Report) error {
	var rows []string
	for _, n := range r.NotJudged {
		rows = append(rows, n.What+", needs "+n.Needs)
	}
	told := strings.Join(rows, "\n")
	var errs []error
	for _, want := range []string{"group " + hiddenGroup, "the ACL Describe on the group", "the ACL DescribeConfigs on topics", "the ACL DescribeConfigs on the cluster"} {
		if !strings.Contains(told, want) {
			errs = append(errs, fmt.Errorf("not judged does not tell %q:\n%s", want, told))
		}
	}
	for _, row := range rows {
		if strings.Contains(row, "ACL") {
			fmt.Printf("      not judged: %s\n", row)
		}
	}
	for _, s := range r.Sources {
		if s.Error != "" {
			errs = append(errs, fmt.Errorf("the source %s is in trouble: %s", s.Name, s.Error))
		}
	}
	return errors.Join(errs...)
}

// written says which requests came that do more than read.
func written(before, after asked) error {
	var came []string
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(after)) {
		n := after[name] - before[name]
		if n == 0 {
			continue
		}
		came = append(came, fmt.Sprintf("%s %d", name, n))
		if !slices.Contains(readings, name) {
			errs = append(errs, fmt.Errorf("the broker counted %d requests of %s that nobody else sent", n, name))
		}
	}
	fmt.Printf("      the broker's counters, less the producer's own: %s\n", strings.Join(came, ", "))
	return errors.Join(errs...)
}

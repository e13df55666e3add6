package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// exporter is a metrics endpoint that reads the cluster at each scrape and speaks one dialect. What it tells is what the
// real exporter tells of the same cluster, as far as diagnosis reads it: the captures of collectors/kafka hold its form.
type exporter struct {
	admin *kadm.Client
	write func(w io.Writer, c clusterView)
}

// exporters are the dialects that are spoken, by the job that scrapes each; a job's cluster is called like it.
var exporters = map[string]func(io.Writer, clusterView){"kminion": writeKminion, "kafka-exporter": writeKafkaExporter}

// clusterView is what one scrape read. Group offsets come before the ends of the logs, as kminion reads them.
type clusterView struct {
	brokers     kadm.BrokerDetails
	topics      kadm.TopicDetails
	starts      kadm.ListedOffsets
	ends        kadm.ListedOffsets
	groups      kadm.DescribedGroups
	committed   kadm.FetchOffsetsResponses
	endsOfGroup func(topic string, partition int32) (int64, bool)
}

const scrapeTimeout = 5 * time.Second

// ServeHTTP answers a scrape; one that could not read everything fails, as a whole.
func (e exporter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), scrapeTimeout)
	defer cancel()
	view, err := look(ctx, e.admin)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	e.write(w, view)
}

func look(ctx context.Context, admin *kadm.Client) (v clusterView, err error) {
	meta, err := admin.Metadata(ctx)
	if err != nil {
		return v, err
	}
	v.brokers, v.topics = meta.Brokers, meta.Topics
	if v.groups, err = admin.DescribeGroups(ctx); err != nil {
		return v, err
	}
	v.committed = admin.FetchManyOffsets(ctx, v.groups.Names()...)
	if err := v.committed.Error(); err != nil {
		return v, err
	}
	if v.starts, err = admin.ListStartOffsets(ctx); err != nil {
		return v, err
	}
	if v.ends, err = admin.ListEndOffsets(ctx); err != nil {
		return v, err
	}
	v.endsOfGroup = func(topic string, partition int32) (int64, bool) {
		o, ok := v.ends.Lookup(topic, partition)
		return o.Offset, ok && o.Err == nil
	}
	return v, nil
}

// line writes one sample.
func line(w io.Writer, metric string, value int64, labels ...string) {
	var b strings.Builder
	for i := 0; i < len(labels); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%s=%q", labels[i], labels[i+1])
	}
	fmt.Fprintf(w, "%s{%s} %d\n", metric, b.String(), value)
}

// writeKminion speaks kminion's dialect with partitions shown.
func writeKminion(w io.Writer, v clusterView) {
	for _, b := range v.brokers {
		line(w, "kminion_kafka_broker_info", 1, "address", b.Host, "broker_id", itoa(b.NodeID), "is_controller", "false", "port", itoa(b.Port), "rack_id", "")
	}
	v.ends.Each(func(o kadm.ListedOffset) {
		line(w, "kminion_kafka_topic_partition_high_water_mark", o.Offset, "partition_id", itoa(o.Partition), "topic_name", o.Topic)
	})
	v.starts.Each(func(o kadm.ListedOffset) {
		line(w, "kminion_kafka_topic_partition_low_water_mark", o.Offset, "partition_id", itoa(o.Partition), "topic_name", o.Topic)
	})
	for _, g := range v.groups.Sorted() {
		stable := int64(0)
		if g.State == "Stable" {
			stable = 1
		}
		line(w, "kminion_kafka_consumer_group_info", stable, "coordinator_id", itoa(g.Coordinator.NodeID), "group_id", g.Group,
			"protocol", g.Protocol, "protocol_type", g.ProtocolType, "state", g.State)
		line(w, "kminion_kafka_consumer_group_members", int64(len(g.Members)), "group_id", g.Group)
		v.committed[g.Group].Fetched.Each(func(o kadm.OffsetResponse) {
			if end, ok := v.endsOfGroup(o.Topic, o.Partition); ok && o.At >= 0 {
				line(w, "kminion_kafka_consumer_group_topic_partition_lag", max(0, end-o.At), "group_id", g.Group, "partition_id", itoa(o.Partition), "topic_name", o.Topic)
			}
		})
	}
}

// writeKafkaExporter speaks kafka_exporter's dialect.
func writeKafkaExporter(w io.Writer, v clusterView) {
	line(w, "kafka_brokers", int64(len(v.brokers)))
	for _, b := range v.brokers {
		line(w, "kafka_broker_info", int64(b.NodeID), "address", fmt.Sprintf("%s:%d", b.Host, b.Port), "id", itoa(b.NodeID))
	}
	for _, t := range v.topics.Sorted() {
		line(w, "kafka_topic_partitions", int64(len(t.Partitions)), "topic", t.Topic)
		for _, p := range t.Partitions.Sorted() {
			line(w, "kafka_topic_partition_leader", int64(p.Leader), "partition", itoa(p.Partition), "topic", t.Topic)
		}
	}
	v.ends.Each(func(o kadm.ListedOffset) {
		line(w, "kafka_topic_partition_current_offset", o.Offset, "partition", itoa(o.Partition), "topic", o.Topic)
	})
	v.starts.Each(func(o kadm.ListedOffset) {
		line(w, "kafka_topic_partition_oldest_offset", o.Offset, "partition", itoa(o.Partition), "topic", o.Topic)
	})
	for _, g := range v.groups.Sorted() {
		line(w, "kafka_consumergroup_members", int64(len(g.Members)), "consumergroup", g.Group)
		v.committed[g.Group].Fetched.Each(func(o kadm.OffsetResponse) {
			line(w, "kafka_consumergroup_current_offset", o.At, "consumergroup", g.Group, "partition", itoa(o.Partition), "topic", o.Topic)
			if end, ok := v.endsOfGroup(o.Topic, o.Partition); ok && o.At >= 0 {
				line(w, "kafka_consumergroup_lag", end-o.At, "consumergroup", g.Group, "partition", itoa(o.Partition), "topic", o.Topic)
			}
		})
	}
}

// serve serves an exporter on a free port until ctx ends.
func serve(ctx context.Context, e exporter) (address string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: e, ReadHeaderTimeout: scrapeTimeout}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() { _ = server.Serve(l) }()
	return l.Addr().String(), nil
}

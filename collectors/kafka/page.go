package kafka

import (
	"strconv"
	"strings"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// pageRows is up to how many (group, partition) rows a cluster may have for the lag of each to be on its page: 15 MB of text.
// Of a larger one those are on it that have series.
const pageRows = 125_000

const (
	partitionLag   = "streamkeeper_group_partition_lag_messages"
	topicLag       = "streamkeeper_group_topic_lag_messages"
	topicCommitted = "streamkeeper_group_topic_committed_offset"
	topicMembers   = "streamkeeper_group_topic_members"
	topicAssigned  = "streamkeeper_group_topic_assigned_partitions"
	topicStart     = "streamkeeper_topic_log_start_offset"
	groupInfo      = "streamkeeper_group_info"
	topicInfo      = "streamkeeper_topic_info"
	brokerInfo     = "streamkeeper_broker_info"
	clusterInfo    = "streamkeeper_cluster_info"
)

// Page is what the newest round measured; nil before the first. Safe for concurrent use with a round.
func (c *Collector) Page() *collectors.Page { return c.page.Load() }

func (c *Collector) show(p *collectors.Page) {
	p.Compress(c.page.Load())
	c.page.Store(p)
}

// page writes, after the one before it, what a round measured, and what is not worth a series of its own but is expected of an exporter: the lag of
// every partition that a group reads, and what things are called.
func (t *tracker) page(s *snapshot, r *round, before *collectors.Page) *collectors.Page {
	const usualRow = 128 // bytes
	p := pageWriter{Page: collectors.NewPageAfter(before), t: t}
	if p.each = t.rows() <= pageRows; p.each {
		p.Expect(partitionLag, t.rows()*usualRow)
	}
	for _, x := range r.samples {
		if !p.each || x.Metric != partitionLag {
			p.Add(x, help(x.Metric))
		}
	}
	p.cluster(s)
	if p.each {
		for _, name := range sortedKeys(t.groups) {
			p.group(t.groups[name])
		}
	}
	return p.Page
}

// help says what a metric means.
func help(metric string) string {
	for _, entity := range [...]string{"group", "topic", "broker", "cluster", "client", "quorum", "tier"} {
		if name, ok := strings.CutPrefix(metric, "streamkeeper_"+entity+"_"); ok {
			return helps[entity][name]
		}
	}
	return ""
}

type pageWriter struct {
	*collectors.Page
	t    *tracker
	each bool // (group, partition) row is written
}

// info tells of a thing by labels alone; those without a value are left out.
func (p pageWriter) info(metric string, labels map[string]string) {
	labels["cluster"] = p.t.cluster
	for name, value := range labels {
		if value == "" {
			delete(labels, name)
		}
	}
	p.Add(streamkeeper.Sample{Metric: metric, Labels: labels, Value: 1}, help(metric))
}

func (p pageWriter) cluster(s *snapshot) {
	if s.clusterID != "" {
		p.info(clusterInfo, map[string]string{"id": s.clusterID, "controller": node(s.controller)})
	}
	for id, b := range p.t.brokers {
		if b.listed {
			p.info(brokerInfo, map[string]string{"broker": itoa(id), "address": b.state.address, "rack": b.state.rack})
		}
	}
	if !p.each {
		return
	}
	for name, topic := range p.t.topics {
		if !topic.read || topic.internal {
			continue
		}
		if start, ok := topic.start(); ok {
			p.Add(streamkeeper.Sample{Metric: topicStart, Labels: topic.labels, Value: float64(start)}, help(topicStart))
		}
		labels := map[string]string{"topic": name, "cleanup_policy": topic.configs["cleanup.policy"], "retention_ms": topic.configs["retention.ms"]}
		if topic.replicas > 0 {
			labels["replicas"] = itoa(topic.replicas)
		}
		p.info(topicInfo, labels)
	}
}

// node is a broker's id as a label; empty when there is none.
func node(id int32) string {
	if id < 0 {
		return ""
	}
	return itoa(id)
}

// start is the sum of where the logs of a topic start; not ok while one is not known.
func (topic *topicTrack) start() (sum int64, ok bool) {
	for _, p := range topic.parts {
		if p.start == unset {
			return 0, false
		}
		sum += p.start
	}
	return sum, len(topic.parts) > 0
}

// group writes what a group has of each topic and partition.
func (p pageWriter) group(g *groupTrack) {
	if g.described && g.state != nil {
		protocol := "classic"
		if g.state.kip848 {
			protocol = "consumer"
		}
		if g.nameless {
			protocol = ""
		}
		p.info(groupInfo, map[string]string{"group": g.name, "state": g.state.state, "protocol": protocol, "assignor": g.state.assignor})
	}
	of := collectors.AppendLabel(nil, "cluster", p.t.cluster)
	of = collectors.AppendLabel(append(of, ','), "group", g.name)
	if g.described {
		p.assigned(of, g)
	}
	if !g.committed {
		return
	}
	for _, row := range g.parts.topics {
		if row.n > 0 {
			p.rows(of, row)
		}
	}
}

// assigned writes how many members have partitions of a topic, and how many.
func (p pageWriter) assigned(of []byte, g *groupTrack) {
	members, partitions := map[string]int{}, map[string]int{}
	for _, m := range g.members {
		for i, where := range m.state.assigned { // sorted: partitions of one topic are neighbours
			partitions[where.topic]++
			if i == 0 || m.state.assigned[i-1].topic != where.topic {
				members[where.topic]++
			}
		}
	}
	for _, topic := range sortedKeys(members) {
		labels := collectors.AppendLabel(append(of[:len(of):len(of)], ','), "topic", topic)
		p.Line(topicMembers, help(topicMembers), labels, float64(members[topic]))
		p.Line(topicAssigned, help(topicAssigned), labels, float64(partitions[topic]))
	}
}

// rows writes a group's lag on the partitions of one topic. A sum that lacks a partition is left out.
func (p pageWriter) rows(of []byte, row topicRow[*groupPart]) {
	topic := collectors.AppendLabel(append(of[:len(of):len(of)], ','), "topic", row.name)
	line := append(topic[:len(topic):len(topic)], `,partition="`...)
	n, whole := len(line), true
	var lag, committed int64
	for i, gp := range row.parts {
		if gp == nil {
			continue
		}
		if !gp.fresh || gp.assumed {
			whole = false
		}
		if !gp.fresh {
			continue
		}
		behind := gp.lag(gp.part.start)
		lag, committed = lag+behind, committed+gp.progress.committed
		line = append(strconv.AppendInt(line[:n], int64(i), 10), '"')
		p.Line(partitionLag, help(partitionLag), line, float64(behind))
	}
	if whole {
		p.Line(topicLag, help(topicLag), topic, float64(lag))
		p.Line(topicCommitted, help(topicCommitted), topic, float64(committed))
	}
}

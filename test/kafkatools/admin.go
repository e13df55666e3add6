package main

import (
	"context"
	"errors"
	"strings"

	"github.com/streamkeeper-io/streamkeeper/test/kafka"
)

func configsTopic(ctx context.Context, t *trial) error {
	if err := t.create(ctx, "configured", 1); err != nil {
		return err
	}
	topic := "--entity-type topics --entity-name configured"
	if err := t.expect(ctx, kafka.Configs, args(topic+" --alter --add-config retention.ms=3600000,max.message.bytes=2000000"), "Completed updating config for topic configured."); err != nil {
		return err
	}
	if err := t.expect(ctx, kafka.Configs, args(topic+" --describe"), "retention.ms=3600000 sensitive=false", "DYNAMIC_TOPIC_CONFIG:retention.ms=3600000", "max.message.bytes=2000000"); err != nil {
		return err
	}
	if err := t.expect(ctx, kafka.Configs, args(topic+" --alter --delete-config max.message.bytes"), "Completed updating"); err != nil {
		return err
	}
	out, err := t.tool(ctx, kafka.Configs, args(topic+" --describe")...)
	if err != nil {
		return err
	}
	if strings.Contains(out, "max.message.bytes") {
		return errors.New("a deleted config is still described: " + out)
	}
	return errors.Join(
		t.expect(ctx, kafka.Configs, args(topic+" --describe --all"), "cleanup.policy=delete", "retention.ms=3600000", "max.message.bytes=1048588"),
		t.refuse(ctx, kafka.Configs, args(topic+" --alter --add-config no.such.config=1"), "no.such.config"),
		t.refuse(ctx, kafka.Configs, args("--entity-type topics --entity-name no-such-topic --describe"), "no-such-topic"),
	)
}

func configsBroker(ctx context.Context, t *trial) error {
	out, err := t.tool(ctx, kafka.BrokerAPIVersions)
	if err != nil {
		return err
	}
	id, ok := between(out, "(id: ", " ")
	if !ok {
		return errors.New("no broker id in: " + out)
	}
	return errors.Join(
		t.expect(ctx, kafka.Configs, args("--entity-type brokers --entity-name "+id+" --describe --all"), "All configs for broker "+id+" are:", "num.partitions="),
		t.expect(ctx, kafka.Configs, args("--entity-type brokers --entity-name "+id+" --describe"), "Dynamic configs for broker "+id+" are:"),
		t.expect(ctx, kafka.Configs, args("--entity-type brokers --entity-default --describe"), "Default configs for brokers in the cluster are:"),
		t.expect(ctx, kafka.Configs, args("--entity-type groups --describe")),
		t.expect(ctx, kafka.Configs, args("--entity-type client-metrics --describe")),
		t.expect(ctx, kafka.Configs, args("--entity-type users --describe")),
	)
}

func between(s, before, after string) (string, bool) {
	_, rest, ok := strings.Cut(s, before)
	if !ok {
		return "", false
	}
	found, _, ok := strings.Cut(rest, after)
	return found, ok
}

func clusterWide(ctx context.Context, t *trial) error {
	if err := t.create(ctx, "inspected", 2); err != nil {
		return err
	}
	cluster := func(command, want string) error { // its command comes first
		out, err := t.Run(ctx, "", kafka.ClusterTool, command, "--bootstrap-server", t.brokers)
		return errors.Join(err, contains(args(command), out, want))
	}
	return errors.Join(
		t.expect(ctx, kafka.BrokerAPIVersions, nil, "(id: ", "Produce(0): ", "Fetch(1): "),
		t.expect(ctx, kafka.Features, args("describe")),
		t.expect(ctx, kafka.LogDirs, args("--describe --topic-list inspected"), `"partition":"inspected-0"`, `"error":null`),
		t.expect(ctx, kafka.MetadataQuorum, args("describe --status"), "ClusterId:", "LeaderId:"),
		t.expect(ctx, kafka.MetadataQuorum, args("describe --replication"), "Leader"),
		cluster("cluster-id", "Cluster ID: "),
		cluster("list-endpoints", "127.0.0.1"),
		t.expect(ctx, kafka.Groups, args("--list")),
	)
}

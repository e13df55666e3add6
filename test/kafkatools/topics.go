package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/streamkeeper-io/streamkeeper/test/kafka"
)

func topicsLife(ctx context.Context, t *trial) error {
	if err := t.expect(ctx, kafka.Topics, args("--create --topic life --partitions 3 --replication-factor 1 --config retention.ms=7200000"), "Created topic life."); err != nil {
		return err
	}
	if err := t.expect(ctx, kafka.Topics, args("--describe --topic life"), "Topic: life", "PartitionCount: 3", "ReplicationFactor: 1",
		"retention.ms=7200000", "Partition: 0 Leader: ", "Partition: 2 Leader: "); err != nil {
		return err
	}
	if err := t.expect(ctx, kafka.Topics, args("--alter --topic life --partitions 5")); err != nil {
		return err
	}
	if err := t.expect(ctx, kafka.Topics, args("--describe --topic life"), "PartitionCount: 5", "Partition: 4 Leader: "); err != nil {
		return err
	}
	for _, empty := range []string{"--under-replicated-partitions", "--unavailable-partitions", "--at-min-isr-partitions --topic none-such"} {
		out, err := t.tool(ctx, kafka.Topics, append([]string{"--describe"}, args(empty)...)...)
		if strings.Contains(empty, "none-such") {
			if err == nil {
				return errors.New("describe of a topic that is not there succeeded")
			}
			continue
		}
		if err != nil || strings.TrimSpace(out) != "" {
			return fmt.Errorf("--describe %s: want nothing, got %q, %v", empty, out, err)
		}
	}
	if err := t.expect(ctx, kafka.Topics, args("--delete --topic life")); err != nil {
		return err
	}
	out, err := t.tool(ctx, kafka.Topics, "--list")
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(out) {
		if name == "life" {
			return errors.New("the topic is listed after its deletion")
		}
	}
	return nil
}

func topicsRefusals(ctx context.Context, t *trial) error {
	if err := t.create(ctx, "refusals", 4); err != nil {
		return err
	}
	return errors.Join(
		t.refuse(ctx, kafka.Topics, args("--create --topic refusals"), "already exists"),
		t.expect(ctx, kafka.Topics, args("--create --if-not-exists --topic refusals")),
		t.refuse(ctx, kafka.Topics, args("--create --topic refusals-2 --config no.such.config=1"), "no.such.config"),
		t.refuse(ctx, kafka.Topics, args("--create --topic refusals-3 --config retention.ms=soon"), "retention.ms"),
		t.refuse(ctx, kafka.Topics, args("--create --topic refusals-4 --replication-factor 9"), "eplication factor"),
		t.refuse(ctx, kafka.Topics, args("--alter --topic refusals --partitions 2"), "The topic refusals currently has 4 partition(s); 2 would not be an increase"),
		t.refuse(ctx, kafka.Topics, args("--delete --topic no-such-topic"), "does not exist as expected"),
		t.refuse(ctx, kafka.Topics, args("--create --topic bad/name"), "name"),
	)
}

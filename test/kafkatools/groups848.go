package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/streamkeeper-io/streamkeeper/test/kafka"
)

// groupsNextGen runs Java consumers of the KIP-848 protocol and looks at their group with Kafka's tools.
func groupsNextGen(ctx context.Context, t *trial) error {
	if err := errors.Join(t.create(ctx, "modern", 4), t.produce(ctx, "modern", 200)); err != nil {
		return err
	}
	// The members are told to speak often, so that the check does not take minutes.
	if err := t.expect(ctx, kafka.Configs, args("--alter --entity-type groups --entity-name movers --add-config consumer.heartbeat.interval.ms=5000"), "Completed"); err != nil {
		return err
	}
	first, second := t.member(ctx, "movers", "modern", "one"), t.member(ctx, "movers", "modern", "two")
	defer first()
	defer second()
	if err := t.until(ctx,
		func() error {
			return errors.Join(
				t.expect(ctx, kafka.ConsumerGroups, args("--describe --group movers --state"), "uniform Stable 2"),
				t.expect(ctx, kafka.ConsumerGroups, args("--describe --group movers --members --verbose"), "one 2", "two 2"),
			)
		}); err != nil {
		return err
	}
	if err := errors.Join(
		t.expect(ctx, kafka.Groups, args("--list --consumer"), "movers Consumer consumer"),
		t.expect(ctx, kafka.Configs, args("--describe --entity-type groups --entity-name movers"), "consumer.heartbeat.interval.ms=5000"),
		t.refuse(ctx, kafka.ConsumerGroups, args("--delete --group movers"), "not empty"),
	); err != nil {
		return err
	}
	second()
	if err := t.until(ctx, func() error {
		return t.expect(ctx, kafka.ConsumerGroups, args("--describe --group movers --members"), "one 4")
	}); err != nil {
		return fmt.Errorf("after one member left: %w", err)
	}
	first()
	if err := t.until(ctx, func() error {
		return t.expect(ctx, kafka.ConsumerGroups, args("--describe --group movers --state"), "Empty 0")
	}); err != nil {
		return err
	}
	// Back to the classic protocol, from where the others stopped.
	if err := t.produce(ctx, "modern", 50); err != nil {
		return err
	}
	return errors.Join(
		t.consumeAll(ctx, "modern", "movers", 50),
		t.expect(ctx, kafka.ConsumerGroups, args("--delete --group movers"), "was successful"),
	)
}

// member runs a consumer of the KIP-848 protocol; end stops it and waits.
func (t *trial) member(ctx context.Context, group, topic, client string) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Its end is ours: an error says nothing.
		_, _ = t.tool(ctx, kafka.ConsoleConsumer, args("--topic "+topic+" --group "+group+" --from-beginning --command-property client.id="+client+" --command-property group.protocol=consumer")...)
	}()
	return func() {
		cancel()
		<-done
	}
}

// until repeats a check until it passes, for a minute and a half.
func (t *trial) until(ctx context.Context, check func() error) error {
	deadline := time.Now().Add(90 * time.Second)
	for {
		err := check()
		if err == nil || time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/streamkeeper-io/streamkeeper/test/kafka"
)

// consumeAll reads a topic to its end in a group, and leaves.
func (t *trial) consumeAll(ctx context.Context, topic, group string, records int) error {
	out, err := t.tool(ctx, kafka.ConsoleConsumer, args(fmt.Sprintf("--topic %s --group %s --from-beginning --max-messages %d --timeout-ms 60000", topic, group, records))...)
	if err != nil {
		return err
	}
	if n := strings.Count(out, "\n"); n != records {
		return fmt.Errorf("%d of %d records came", n, records)
	}
	return nil
}

func groupsDescribe(ctx context.Context, t *trial) error {
	if err := t.create(ctx, "described", 2); err != nil {
		return err
	}
	if err := t.produce(ctx, "described", 200); err != nil {
		return err
	}
	if err := t.consumeAll(ctx, "described", "readers", 200); err != nil {
		return err
	}
	if err := errors.Join(
		t.expect(ctx, kafka.ConsumerGroups, args("--list"), "readers"),
		t.expect(ctx, kafka.ConsumerGroups, args("--list --state"), "readers Empty"),
		t.expect(ctx, kafka.ConsumerGroups, args("--describe --group readers"), "described 0 ", "described 1 "),
		t.expect(ctx, kafka.ConsumerGroups, args("--describe --group readers --state"), "Empty 0"),
		t.refuse(ctx, kafka.ConsumerGroups, args("--describe --group no-such-group"), "no-such-group"),
	); err != nil {
		return err
	}
	return groupLive(ctx, t)
}

// groupLive describes a group while a member is in it.
func groupLive(ctx context.Context, t *trial) error {
	member, leave := context.WithCancel(ctx)
	defer leave()
	left := make(chan error, 1)
	go func() {
		_, err := t.tool(member, kafka.ConsoleConsumer, args("--topic described --group live --command-property client.id=watched --from-beginning")...)
		left <- err
	}()
	deadline := time.Now().Add(60 * time.Second)
	for {
		err := errors.Join(
			t.expect(ctx, kafka.ConsumerGroups, args("--describe --group live --state"), "range Stable 1"),
			t.expect(ctx, kafka.ConsumerGroups, args("--describe --group live --members --verbose"), "watched 2", "described"),
			t.expect(ctx, kafka.ConsumerGroups, args("--describe --group live"), "watched"),
		)
		if err == nil {
			break
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
	}
	if err := t.refuse(ctx, kafka.ConsumerGroups, args("--delete --group live"), "not empty"); err != nil {
		return err
	}
	if err := t.refuse(ctx, kafka.ConsumerGroups, args("--reset-offsets --group live --topic described --to-earliest --execute"), "current state is Stable"); err != nil {
		return err
	}
	leave()
	<-left // ended by us
	return t.expect(ctx, kafka.ConsumerGroups, args("--describe --group live --state"), "Empty 0")
}

func groupsReset(ctx context.Context, t *trial) error {
	if err := t.create(ctx, "reset", 1); err != nil {
		return err
	}
	if err := t.produce(ctx, "reset", 100); err != nil {
		return err
	}
	if err := t.consumeAll(ctx, "reset", "resetters", 100); err != nil {
		return err
	}
	lag := func(line string) error {
		return t.expect(ctx, kafka.ConsumerGroups, args("--describe --group resetters"), line)
	}
	if err := lag("resetters reset 0 100 100 0"); err != nil {
		return err
	}
	for _, c := range []struct{ how, offset string }{
		{"--to-earliest", "0"},
		{"--to-latest", "100"},
		{"--shift-by -30", "70"},
		{"--to-offset 12", "12"},
		{"--to-datetime 2020-01-01T00:00:00.000", "0"},
		{"--by-duration PT0S", "100"},
	} {
		line := "--reset-offsets --group resetters --topic reset " + c.how
		if err := t.expect(ctx, kafka.ConsumerGroups, args(line+" --execute"), "resetters reset 0 "+c.offset); err != nil {
			return err
		}
	}
	if err := t.expect(ctx, kafka.ConsumerGroups, args("--reset-offsets --group resetters --topic reset --to-offset 25 --dry-run"), "resetters reset 0 25"); err != nil {
		return err
	}
	if err := lag("resetters reset 0 100 100 0"); err != nil {
		return fmt.Errorf("after a dry run: %w", err)
	}
	if err := t.expect(ctx, kafka.ConsumerGroups, args("--reset-offsets --group resetters --all-topics --to-offset 40 --execute"), "resetters reset 0 40"); err != nil {
		return err
	}
	if err := t.consumeAll(ctx, "reset", "resetters", 60); err != nil {
		return fmt.Errorf("from the reset offset: %w", err)
	}
	return errors.Join(
		t.expect(ctx, kafka.ConsumerGroups, args("--delete-offsets --group resetters --topic reset"), "Successful"),
		t.expect(ctx, kafka.ConsumerGroups, args("--delete --group resetters"), "Deletion of requested consumer groups ('resetters') was successful."),
		t.refuse(ctx, kafka.ConsumerGroups, args("--delete --group resetters"), "not"),
	)
}

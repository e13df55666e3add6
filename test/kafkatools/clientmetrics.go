package main

import (
	"context"
	"errors"

	"github.com/streamkeeper-io/streamkeeper/test/kafka"
)

// clientMetrics is the life of a subscription to what clients push of themselves (KIP-714).
func clientMetrics(ctx context.Context, t *trial) error {
	tool := func(line string, want ...string) error {
		return t.expect(ctx, kafka.ClientMetrics, args(line), want...)
	}
	for _, step := range []struct {
		line string
		want []string
	}{
		{"--alter --name polls --metrics org.apache.kafka.consumer.poll. --interval 5000 --match client_id=app-.*", nil},
		{"--list", []string{"polls"}},
		{"--describe --name polls", []string{"interval.ms=5000", "match=client_id=app-.*", "metrics=org.apache.kafka.consumer.poll."}},
		{"--delete --name polls", nil},
	} {
		if err := tool(step.line, step.want...); err != nil {
			return err
		}
	}
	out, err := t.tool(ctx, kafka.ClientMetrics, "--list")
	if err == nil && contains(nil, out, "polls") == nil {
		err = errors.New("a deleted subscription is listed: " + out)
	}
	return err
}

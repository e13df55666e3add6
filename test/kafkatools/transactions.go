package main

import (
	"context"
	"errors"

	"github.com/streamkeeper-io/streamkeeper/test/kafka"
)

// transactions: records sent in transactions by Kafka's own producer are read back committed, and kafka-transactions
// tells of them.
func transactions(ctx context.Context, t *trial) error {
	if err := t.create(ctx, "transactions", 1); err != nil {
		return err
	}
	out, err := t.Run(ctx, "", kafka.ProducerPerf, append(args("--topic transactions --num-records 500 --record-size 100 --throughput -1 --transactional-id tools --transaction-duration-ms 100 --producer-props"),
		"bootstrap.servers="+t.brokers)...)
	if err != nil {
		return err
	}
	if err := contains(args("producer-perf"), out, "500 records sent"); err != nil {
		return err
	}
	out, err = t.tool(ctx, kafka.ConsoleConsumer, args("--topic transactions --from-beginning --max-messages 500 --timeout-ms 60000 --isolation-level read_committed")...)
	if err != nil {
		return err
	}
	if len(out) != 500*101 {
		return errors.New("what was committed did not come back whole")
	}
	return errors.Join(
		t.expect(ctx, kafka.Transactions, args("list"), "tools ", "CompleteCommit"),
		t.expect(ctx, kafka.Transactions, args("describe --transactional-id tools"), "tools ", "CompleteCommit"),
		t.expect(ctx, kafka.Transactions, args("describe-producers --topic transactions --partition 0"), "ProducerId ProducerEpoch", "None"),
		t.expect(ctx, kafka.Transactions, args("find-hanging --topic transactions"), "Topic Partition ProducerId"),
	)
}

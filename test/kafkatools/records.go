package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/streamkeeper-io/streamkeeper/test/kafka"
)

// produce sends n records, key and value, with kafka-console-producer.
func (t *trial) produce(ctx context.Context, topic string, n int, extra ...string) error {
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, "key-%d:value-%06d\n", i%7, i)
	}
	a := append([]string{"--bootstrap-server", t.brokers, "--topic", topic, "--reader-property", "parse.key=true", "--reader-property", "key.separator=:"}, extra...)
	_, err := t.Run(ctx, lines.String(), kafka.ConsoleProducer, a...)
	return err
}

func console(ctx context.Context, t *trial) error {
	const records = 500
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		topic := "console-" + codec
		if err := t.create(ctx, topic, 3); err != nil {
			return err
		}
		if err := t.produce(ctx, topic, records, "--compression-codec", codec, "--command-property", "acks=all"); err != nil {
			return err
		}
		out, err := t.tool(ctx, kafka.ConsoleConsumer, "--topic", topic, "--from-beginning", "--max-messages", strconv.Itoa(records),
			"--timeout-ms", "60000", "--formatter-property", "print.key=true", "--formatter-property", "print.partition=true", "--formatter-property", "print.timestamp=true")
		if err != nil {
			return err
		}
		if err := inOrder(out, records); err != nil {
			return fmt.Errorf("%s: %w", codec, err)
		}
	}
	return nil
}

// inOrder checks that each record came once, and those of a key in order and from one partition.
func inOrder(out string, records int) error {
	last, partition, seen := map[string]string{}, map[string]string{}, map[string]bool{}
	for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); {
		f := strings.Split(lines.Text(), "\t") // CreateTime:N Partition:N key value
		if len(f) != 4 || !strings.HasPrefix(f[0], "CreateTime:") {
			return fmt.Errorf("unexpected line %q", lines.Text())
		}
		part, key, value := f[1], f[2], f[3]
		if seen[value] || value <= last[key] || (partition[key] != "" && partition[key] != part) {
			return fmt.Errorf("%s of %s came after %s, in %s after %s", value, key, last[key], part, partition[key])
		}
		last[key], partition[key], seen[value] = value, part, true
	}
	if len(seen) != records {
		return fmt.Errorf("%d of %d records came back", len(seen), records)
	}
	return nil
}

func offsets(ctx context.Context, t *trial) error {
	if err := t.create(ctx, "offsets", 1); err != nil {
		return err
	}
	if err := t.produce(ctx, "offsets", 100); err != nil {
		return err
	}
	at := func(time, want string) error {
		return t.expect(ctx, kafka.GetOffsets, args("--topic offsets --time "+time), want)
	}
	for _, c := range [][2]string{
		{"-1", "offsets:0:100"},
		{"latest", "offsets:0:100"},
		{"-2", "offsets:0:0"},
		{"max-timestamp", "offsets:0:"},
		{"earliest-local", "offsets:0:"},
		{"1", "offsets:0:0"},
	} {
		if err := at(c[0], c[1]); err != nil {
			return err
		}
	}
	file, err := os.CreateTemp("", "delete-records-*.json")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	fmt.Fprint(file, `{"partitions": [{"topic": "offsets", "partition": 0, "offset": 40}], "version": 1}`)
	if err := file.Close(); err != nil {
		return err
	}
	if err := t.expect(ctx, kafka.DeleteRecords, []string{"--offset-json-file", file.Name()}, "partition: offsets-0 low_watermark: 40"); err != nil {
		return err
	}
	if err := at("-2", "offsets:0:40"); err != nil {
		return err
	}
	out, err := t.tool(ctx, kafka.ConsoleConsumer, args("--topic offsets --from-beginning --max-messages 60 --timeout-ms 60000")...)
	if err != nil {
		return err
	}
	if first := strings.SplitN(out, "\n", 2)[0]; first != "value-000040" {
		return fmt.Errorf("after deleting below 40 the first record is %q", first)
	}
	return nil
}

// verifiable: kafka-verifiable-producer and -consumer tell each record and commit as a line of JSON.
func verifiable(ctx context.Context, t *trial) error {
	const records = 3000
	if err := t.create(ctx, "verifiable", 4); err != nil {
		return err
	}
	out, err := t.tool(ctx, kafka.VerifiableProducer, "--topic", "verifiable", "--max-messages", strconv.Itoa(records), "--acks", "-1")
	if err != nil {
		return err
	}
	sent := map[string]int{}
	if err := eachEvent(out, func(e event) { sent[e.Name]++ }); err != nil {
		return err
	}
	if sent["producer_send_success"] != records || sent["producer_send_error"] != 0 {
		return fmt.Errorf("of %d records: %v", records, sent)
	}
	out, err = t.tool(ctx, kafka.VerifiableConsumer, "--topic", "verifiable", "--group-id", "verifiable", "--max-messages", strconv.Itoa(records),
		"--reset-policy", "earliest")
	if err != nil {
		return err
	}
	var consumed, commits, ended int
	err = eachEvent(out, func(e event) {
		switch e.Name {
		case "records_consumed":
			consumed += e.Count
		case "offsets_committed":
			if e.Success {
				commits++
			}
		case "shutdown_complete":
			ended++
		}
	})
	if err != nil || consumed != records || commits == 0 || ended != 1 {
		return fmt.Errorf("consumed %d of %d, %d commits, %d clean ends, %w:\n%s", consumed, records, commits, ended, err, out[max(0, len(out)-2000):])
	}
	return t.expect(ctx, kafka.GetOffsets, args("--topic verifiable --partitions 0 --time -1"), "verifiable:0:")
}

type event struct {
	Name    string `json:"name"`
	Count   int    `json:"count"`
	Success bool   `json:"success"`
}

func eachEvent(out string, each func(event)) error {
	lines := bufio.NewScanner(strings.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("line %q: %w", lines.Text(), err)
		}
		each(e)
	}
	return lines.Err()
}

func perf(ctx context.Context, t *trial) error {
	if err := t.create(ctx, "perf", 3); err != nil {
		return err
	}
	out, err := t.Run(ctx, "", kafka.ProducerPerf, append(args("--topic perf --num-records 20000 --record-size 1000 --throughput -1 --producer-props acks=all"), "bootstrap.servers="+t.brokers)...)
	if err != nil {
		return err
	}
	if err := contains(args("producer-perf"), out, "20000 records sent"); err != nil {
		return err
	}
	out, err = t.tool(ctx, kafka.ConsumerPerf, args("--topic perf --messages 20000 --group perf")...)
	if err != nil {
		return err
	}
	return contains(args("consumer-perf"), out, ", 20000, ")
}

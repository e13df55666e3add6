package kafka

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Kafka's tools, by what their scripts are called.
const (
	Topics             = "org.apache.kafka.tools.TopicCommand"
	ConsoleProducer    = "org.apache.kafka.tools.ConsoleProducer"
	ConsoleConsumer    = "org.apache.kafka.tools.consumer.ConsoleConsumer"
	ConsumerGroups     = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
	Groups             = "org.apache.kafka.tools.GroupsCommand"
	Configs            = "org.apache.kafka.tools.ConfigCommand"
	ClientMetrics      = "org.apache.kafka.tools.ClientMetricsCommand"
	GetOffsets         = "org.apache.kafka.tools.GetOffsetShell"
	DeleteRecords      = "org.apache.kafka.tools.DeleteRecordsCommand"
	LogDirs            = "org.apache.kafka.tools.LogDirsCommand"
	BrokerAPIVersions  = "org.apache.kafka.tools.BrokerApiVersionsCommand"
	Features           = "org.apache.kafka.tools.FeatureCommand"
	MetadataQuorum     = "org.apache.kafka.tools.MetadataQuorumCommand"
	ClusterTool        = "org.apache.kafka.tools.ClusterTool"
	VerifiableProducer = "org.apache.kafka.tools.VerifiableProducer"
	VerifiableConsumer = "org.apache.kafka.tools.VerifiableConsumer"
	Transactions       = "org.apache.kafka.tools.TransactionsCommand"
	ProducerPerf       = "org.apache.kafka.tools.ProducerPerformance"
	ConsumerPerf       = "org.apache.kafka.tools.ConsumerPerformance"
	JMX                = "org.apache.kafka.tools.JmxTool"
)

// toolJVM starts fast and stays small: a tool lives for a second.
var toolJVM = []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m"}

// toolTimeout bounds one run of a tool.
const toolTimeout = 2 * time.Minute

// Run runs a tool with input to its end and returns what it printed. Where it fails, or its context ends, the
// error holds what it said. A tool that runs until it is stopped ends by SIGTERM with the context.
func (d *Dist) Run(ctx context.Context, input, class string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, toolTimeout)
	defer cancel()
	cmd := d.Tool(ctx, class, args...)
	var out, log bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &log
	stopGently(cmd)
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s%s", class[strings.LastIndexByte(class, '.')+1:], strings.Join(args, " "), err, tail(log.Bytes()), tail(out.Bytes()))
	}
	return out.String(), nil
}

// Tool is a tool that is yet to be started, to run for as long as its context. The child is gone when this process is.
func (d *Dist) Tool(ctx context.Context, class string, args ...string) *exec.Cmd {
	jvm := append(slices.Clone(toolJVM), "-Xlog:disable", "-XX:SharedArchiveFile="+d.archive())
	return d.command(ctx, jvm, class, args...)
}

// stopGently makes the end of the command's context a SIGTERM, and a kill where that is not heard.
func stopGently(cmd *exec.Cmd) {
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
}

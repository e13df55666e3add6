package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/streamkeeper-io/streamkeeper/test/server"
)

// watcher is a program that watches the grid and has a page of metrics.
type watcher struct {
	name string
	rows string // begins the lines that tell the lag of a group on a partition
	ends string // and those that tell where a partition ends
	// start runs it, to be reached at an address of its own.
	start func(ctx context.Context, dir, brokers, listen string) (*exec.Cmd, error)
}

// ours as an exporter: it measures, another process diagnoses.
func ours(binary string) watcher {
	return watcher{
		name: "streamkeeper",
		rows: "streamkeeper_group_partition_lag_messages{",
		ends: "streamkeeper_topic_partition_end_offset{",
		start: func(_ context.Context, dir, brokers, listen string) (*exec.Cmd, error) {
			return exec.Command(binary, "up", "--data", filepath.Join(dir, "data"), "--http-listen", listen, "--cluster", "grid="+brokers,
				"--set", "diagnose.enabled=false", "--set", "log.level=warn"), nil
		},
	}
}

// kminion with what it needs to tell the same: lags and offsets by partition, sizes of logs (docs/reference-config.yaml of
// it has these keys).
func kminion(binary string) watcher {
	return watcher{
		name: "kminion",
		rows: "kminion_kafka_consumer_group_topic_partition_lag{",
		ends: "kminion_kafka_topic_partition_high_water_mark{",
		start: func(_ context.Context, dir, brokers, listen string) (*exec.Cmd, error) {
			host, port, err := net.SplitHostPort(listen)
			if err != nil {
				return nil, err
			}
			config := filepath.Join(dir, "kminion.yaml")
			text := fmt.Sprintf(`kafka: {brokers: [%q]}
minion:
  consumerGroups: {enabled: true, scrapeMode: adminApi, granularity: partition}
  topics: {granularity: partition}
  logDirs: {enabled: true}
exporter: {namespace: kminion, host: %q, port: %s}
logger: {level: error}
`, brokers, host, port)
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				return nil, err
			}
			cmd := exec.Command(binary)
			cmd.Env = append(os.Environ(), "CONFIG_FILEPATH="+config)
			return cmd, nil
		},
	}
}

// cost is what a watcher took for something, and what the brokers took for it.
type cost struct {
	wall, cpu, broker time.Duration
	rss               int64
}

// run is a watcher that is running.
type run struct {
	watcher
	dir     string
	address string
	cmd     *exec.Cmd
	done    chan struct{}
}

func (w watcher) run(ctx context.Context, parent, brokers string) (*run, error) {
	dir, err := os.MkdirTemp(parent, "collectbench-")
	if err != nil {
		return nil, err
	}
	r := &run{watcher: w, dir: dir, done: make(chan struct{})}
	if r.address, err = server.FreeAddress(); err == nil {
		r.cmd, err = w.start(ctx, dir, brokers, r.address)
	}
	if err == nil {
		err = r.launch()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", w.name, err), os.RemoveAll(dir))
	}
	go func() {
		_ = r.cmd.Wait()
		close(r.done)
	}()
	return r, nil
}

// launch starts it, with a file for what it says.
func (r *run) launch() error {
	said, err := os.Create(filepath.Join(r.dir, "log"))
	if err != nil {
		return err
	}
	defer said.Close()
	r.cmd.Stderr = said
	return r.cmd.Start()
}

// log is the end of what it said.
func (r *run) log() string {
	b, _ := os.ReadFile(filepath.Join(r.dir, "log"))
	return string(b[max(0, len(b)-4000):])
}

func (r *run) process() server.Process { return server.Process(r.cmd.Process.Pid) }

// stop ends it and deletes what it wrote.
func (r *run) stop() error {
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.done:
	case <-time.After(20 * time.Second):
		_ = r.cmd.Process.Kill()
		<-r.done
	}
	return os.RemoveAll(r.dir)
}

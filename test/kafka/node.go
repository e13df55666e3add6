package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/streamkeeper-io/streamkeeper/test/server"
)

// How long a broker may take to end after SIGTERM.
const stopTimeout = 30 * time.Second

// node is one broker, which is also a controller.
type node struct {
	id         int
	dir        string
	address    string
	controller string
	secured    string   // where users log in; empty: nowhere
	jmx        string   // where counters are told; empty: nowhere
	metrics    string   // where the JMX exporter listens; "" without one
	jvm        []string // options of its own
	cmd        *exec.Cmd
	done       chan struct{} // closed when the process has ended; nil before it starts
}

func (n *node) log() string    { return filepath.Join(n.dir, "log") }
func (n *node) config() string { return filepath.Join(n.dir, "server.properties") }

// place finds addresses for the node.
func (n *node) place(o Options) error {
	wanted := []*string{&n.address, &n.controller}
	if len(o.Users) > 0 {
		wanted = append(wanted, &n.secured)
	}
	if o.JMX {
		wanted = append(wanted, &n.jmx)
	}
	for _, a := range wanted {
		var err error
		if *a, err = server.FreeAddress(); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) format(ctx context.Context, d *Dist, cluster, properties string) error {
	if err := os.MkdirAll(n.dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(n.config(), []byte(properties), 0o644); err != nil {
		return err
	}
	_, err := d.Run(ctx, "", "kafka.tools.StorageTool", "format", "-t", cluster, "-c", n.config())
	return err
}

// serverJVM is what kafka-server-start.sh sets.
func serverJVM(heap string) []string {
	if heap == "" {
		heap = "1G"
	}
	return []string{
		"-Xmx" + heap, "-Xms" + heap, "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
		"-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent", "-Dstreamkeeper.log=info",
	}
}

func (n *node) start(d *Dist, heap string) error {
	log, err := os.OpenFile(n.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	// The process outlives the start's deadline: stop ends it.
	n.cmd = d.command(context.Background(), slices.Concat(serverJVM(heap), jmxJVM(n.jmx), n.jvm), "kafka.Kafka", n.config())
	n.cmd.Stdout, n.cmd.Stderr = log, log
	if err := n.cmd.Start(); err != nil {
		return err
	}
	n.done = make(chan struct{})
	go func() {
		_ = n.cmd.Wait()
		close(n.done)
	}()
	return nil
}

// until asks again and again whether the broker is as wanted.
func (n *node) until(ctx context.Context, is func(context.Context) bool) error {
	for {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		ok := is(try)
		cancel()
		if ok {
			return nil
		}
		select {
		case <-n.done:
			return errors.New("it ended by itself")
		case <-ctx.Done():
			return errors.New("it did not serve in time")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (n *node) stop() error {
	if n.done == nil {
		return nil
	}
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-n.done:
		return nil
	case <-time.After(stopTimeout):
	}
	_ = n.cmd.Process.Kill()
	<-n.done
	return fmt.Errorf("broker %d did not end within %s of SIGTERM and was killed", n.id, stopTimeout)
}

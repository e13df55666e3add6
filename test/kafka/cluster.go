package kafka

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// How long a cluster may take to serve. Three JVMs share what machine there is.
const startTimeout = 5 * time.Minute

// Options of a cluster.
type Options struct {
	Brokers int               // 1 or 3, each also a controller; 1 when 0
	Heap    string            // of each broker; Kafka's own default of 1G when empty
	Set     map[string]string // server.properties over the harness's
	Dir     string            // where its temporary folder is made; os.TempDir when empty
	Users   map[string]string // passwords of who may log in at a second listener, and then only what ACLs allow; none when empty
	JMX     bool              // tell counters, for Requests
	Tier    *Tier             // what the brokers run beside Kafka; nil for nothing
}

// Cluster is a running Apache Kafka. Not safe for concurrent use.
type Cluster struct {
	dir   string
	nodes []*node
}

// Start formats storage and starts a cluster, and waits until each broker knows all the others. Where that
// fails nothing is left behind, and the error holds the end of the brokers' logs.
func (d *Dist) Start(ctx context.Context, o Options) (*Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	dir, err := os.MkdirTemp(o.Dir, "kafka-cluster-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir}
	if err := c.start(ctx, d, o); err != nil {
		err = fmt.Errorf("start Apache Kafka: %w: %s", err, c.Log())
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, d *Dist, o Options) error {
	brokers := max(o.Brokers, 1)
	var voters []string
	for id := 1; id <= brokers; id++ {
		n := &node{id: id, dir: filepath.Join(c.dir, strconv.Itoa(id))}
		if err := n.place(o); err != nil {
			return err
		}
		if err := o.Tier.watch(n); err != nil {
			return err
		}
		voters = append(voters, fmt.Sprintf("%d@%s", id, n.controller))
		c.nodes = append(c.nodes, n)
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	cluster := base64.RawURLEncoding.EncodeToString(id[:])
	for _, n := range c.nodes {
		if err := n.format(ctx, d, cluster, properties(n, brokers, strings.Join(voters, ","), o)); err != nil {
			return err
		}
	}
	for _, n := range c.nodes {
		if err := n.start(d, o.Heap); err != nil {
			return err
		}
	}
	return c.ready(ctx)
}

// properties is a server.properties: Kafka's defaults but for what a small cluster on loopback needs.
func properties(n *node, brokers int, voters string, o Options) string {
	replicas := strconv.Itoa(min(brokers, 3))
	p := map[string]string{
		"process.roles":                                    "broker,controller",
		"node.id":                                          strconv.Itoa(n.id),
		"controller.quorum.voters":                         voters,
		"listeners":                                        "PLAINTEXT://" + n.address + ",CONTROLLER://" + n.controller,
		"advertised.listeners":                             "PLAINTEXT://" + n.address,
		"controller.listener.names":                        "CONTROLLER",
		"listener.security.protocol.map":                   "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs":                                         filepath.Join(n.dir, "data"),
		"offsets.topic.replication.factor":                 replicas,
		"transaction.state.log.replication.factor":         replicas,
		"transaction.state.log.min.isr":                    "1",
		"share.coordinator.state.topic.replication.factor": replicas,
		"share.coordinator.state.topic.min.isr":            "1",
		"group.initial.rebalance.delay.ms":                 "0",
	}
	if len(o.Users) > 0 {
		maps.Copy(p, authorized(n, o.Users))
	}
	maps.Copy(p, o.Set)
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&b, "%s=%s\n", key, p[key])
	}
	return b.String()
}

// ready waits until every broker answers and knows all of them.
func (c *Cluster) ready(ctx context.Context) error {
	for _, n := range c.nodes {
		client, err := kgo.NewClient(kgo.SeedBrokers(n.address))
		if err != nil {
			return err
		}
		err = n.until(ctx, func(ctx context.Context) bool {
			req := kmsg.NewPtrMetadataRequest()
			req.Topics = []kmsg.MetadataRequestTopic{} // none
			meta, err := req.RequestWith(ctx, client)  // kadm would answer from its cache
			return err == nil && len(meta.Brokers) == len(c.nodes)
		})
		client.Close()
		if err != nil {
			return fmt.Errorf("broker %d: %w", n.id, err)
		}
	}
	return nil
}

// Bootstrap is the list of addresses that clients begin with.
func (c *Cluster) Bootstrap() string {
	var all []string
	for _, n := range c.nodes {
		all = append(all, n.address)
	}
	return strings.Join(all, ",")
}

// Addresses are the brokers' addresses.
func (c *Cluster) Addresses() []string { return strings.Split(c.Bootstrap(), ",") }

// Metrics are the addresses of the brokers' JMX exporters; none without a Tier.
func (c *Cluster) Metrics() []string {
	var all []string
	for _, n := range c.nodes {
		if n.metrics != "" {
			all = append(all, "http://"+n.metrics+"/metrics")
		}
	}
	return all
}

// PIDs are the brokers' processes.
func (c *Cluster) PIDs() []int {
	var all []int
	for _, n := range c.nodes {
		all = append(all, n.cmd.Process.Pid)
	}
	return all
}

// Log is the end of what each broker logged.
func (c *Cluster) Log() string {
	var b strings.Builder
	for _, n := range c.nodes {
		text, _ := os.ReadFile(n.log())
		fmt.Fprintf(&b, "\n-- broker %d\n%s", n.id, tail(text))
	}
	return b.String()
}

// LogFiles are the files that the brokers log to, by their ids from 1 on.
func (c *Cluster) LogFiles() map[int]string {
	out := map[int]string{}
	for _, n := range c.nodes {
		out[n.id] = n.log()
	}
	return out
}

// StopBroker stops one broker, by its id from 1 on, as an operator does.
func (c *Cluster) StopBroker(id int) error {
	if id < 1 || id > len(c.nodes) {
		return fmt.Errorf("there is no broker %d", id)
	}
	return c.nodes[id-1].stop()
}

// StartBroker starts a broker that was stopped or killed, with its data. It does not wait until the broker serves.
func (c *Cluster) StartBroker(d *Dist, id int, heap string) error {
	if id < 1 || id > len(c.nodes) {
		return fmt.Errorf("there is no broker %d", id)
	}
	return c.nodes[id-1].start(d, heap)
}

// Stop ends every broker, by SIGTERM and then by force, and deletes the cluster's folder.
func (c *Cluster) Stop() error {
	var all []error
	ended := make(chan error, len(c.nodes))
	for _, n := range c.nodes { // together: brokers hand over to each other while they stop
		go func() { ended <- n.stop() }()
	}
	for range c.nodes {
		all = append(all, <-ended)
	}
	return errors.Join(append(all, os.RemoveAll(c.dir))...)
}

// Kill ends one broker, by its id from 1 on, as a crash does: it hands nothing over.
func (c *Cluster) Kill(id int) error {
	if id < 1 || id > len(c.nodes) {
		return fmt.Errorf("there is no broker %d", id)
	}
	n := c.nodes[id-1]
	if err := n.cmd.Process.Kill(); err != nil {
		return err
	}
	<-n.done
	return nil
}

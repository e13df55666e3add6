package kafka

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/streamkeeper-io/streamkeeper/test/server"
)

//go:embed tier
var tierFiles embed.FS

// Tier is what brokers run beside Apache Kafka: a RemoteStorageManager that keeps segments in S3 (tier/S3Tier.java, no
// plugin with S3 is in Maven Central) and Prometheus' JMX exporter. Safe for concurrent use.
type Tier struct {
	folder string
	rules  string // the exporter's configuration, a file
}

// Tier resolves the tier into the user's cache folder, where it is kept. It needs a JDK's javac, mvn and the rules that
// the JMX exporter is to follow.
func (d *Dist) Tier(ctx context.Context, rules []byte) (*Tier, error) {
	javac, err := exec.LookPath("javac")
	if err != nil {
		return nil, fmt.Errorf("a JDK is needed to build a RemoteStorageManager (Debian: openjdk-17-jdk-headless): %w", err)
	}
	files, sum := map[string][]byte{"rules.yaml": rules}, sha256.New()
	for _, name := range []string{"pom.xml", "S3Tier.java"} {
		if files[name], err = tierFiles.ReadFile("tier/" + name); err != nil {
			return nil, err
		}
		sum.Write(files[name])
	}
	sum.Write(rules)
	t := &Tier{folder: filepath.Join(filepath.Dir(d.folder), "tier-"+Version()+"-"+hex.EncodeToString(sum.Sum(nil)[:4]))}
	t.rules = filepath.Join(t.folder, "rules.yaml")
	if _, err := os.Stat(t.folder); err == nil {
		return t, nil
	}
	return t, fetch(ctx, t.folder, files, func(ctx context.Context, folder string) error {
		path := filepath.Join(d.folder, "libs", "*") + string(os.PathListSeparator) + filepath.Join(folder, "libs", "*")
		classes := filepath.Join(folder, "classes")
		if err := os.Mkdir(classes, 0o755); err != nil {
			return err
		}
		out, err := exec.CommandContext(ctx, javac, "-nowarn", "-d", classes, "-cp", path, filepath.Join(folder, "S3Tier.java")).CombinedOutput()
		if err != nil {
			return fmt.Errorf("javac: %w: %s", err, tail(out))
		}
		return nil
	})
}

// Bucket is where a tier keeps segments.
type Bucket struct {
	Endpoint, Name       string // http://host:port
	AccessKey, SecretKey string
}

// Config is the server.properties of brokers with tiered storage. Their tasks run every few seconds instead of every
// half minute, and a read may wait for the store, so that a test need not.
func (t *Tier) Config(b Bucket) map[string]string {
	path := filepath.Join(t.folder, "classes") + string(os.PathListSeparator) + filepath.Join(t.folder, "libs", "*")
	return map[string]string{
		"remote.log.storage.system.enable":                         "true",
		"remote.log.storage.manager.class.name":                    "S3Tier",
		"remote.log.storage.manager.class.path":                    path,
		"rsm.config.endpoint":                                      b.Endpoint,
		"rsm.config.bucket":                                        b.Name,
		"rsm.config.access.key":                                    b.AccessKey,
		"rsm.config.secret.key":                                    b.SecretKey,
		"remote.log.metadata.manager.listener.name":                "PLAINTEXT",
		"rlmm.config.remote.log.metadata.topic.replication.factor": "1",
		"rlmm.config.remote.log.metadata.topic.num.partitions":     "2",
		"remote.log.manager.task.interval.ms":                      "2000",
		"remote.fetch.max.wait.ms":                                 "10000",
		"log.retention.check.interval.ms":                          "2000",
		"log.initial.task.delay.ms":                                "1000",
		"log.segment.delete.delay.ms":                              "1000",
	}
}

// watch gives a broker that is yet to start a JMX exporter. The nil Tier gives none.
func (t *Tier) watch(n *node) error {
	if t == nil {
		return nil
	}
	agents, err := filepath.Glob(filepath.Join(t.folder, "libs", "jmx_prometheus_javaagent-*.jar"))
	if err != nil || len(agents) != 1 {
		return fmt.Errorf("%d JMX exporters below %s, want one", len(agents), t.folder)
	}
	if n.metrics, err = server.FreeAddress(); err != nil {
		return err
	}
	n.jvm = []string{"-javaagent:" + agents[0] + "=" + n.metrics + ":" + t.rules}
	return nil
}

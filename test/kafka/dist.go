// Package kafka runs Apache Kafka beside ours: it resolves the pinned server, client and tools from Maven Central
// (pom.xml), starts KRaft clusters of one or three brokers on loopback and runs Kafka's own tools. It needs java
// (17 or newer) and mvn; without them Resolve says so with ErrUnavailable.
package kafka

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

//go:embed pom.xml
var pom []byte

// ErrUnavailable is answered where Apache Kafka cannot be had: java or mvn is missing.
var ErrUnavailable = errors.New("java 17 or newer and mvn are needed on the PATH to run Apache Kafka (Debian: openjdk-17-jre-headless, maven)")

// resolveTimeout bounds the download of some 60 MB.
const resolveTimeout = 10 * time.Minute

// logging sends what Kafka logs to standard error, away from what its tools print.
const logging = `status = error
appender.console.type = Console
appender.console.name = stderr
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = ${sys:streamkeeper.log:-warn}
rootLogger.appenderRef.stderr.ref = stderr
`

// Dist is a resolved Apache Kafka. Safe for concurrent use.
type Dist struct {
	java   string
	folder string
}

// Version is the Apache Kafka that pom.xml pins.
func Version() string {
	m := regexp.MustCompile(`<kafka.version>([^<]+)</kafka.version>`).FindSubmatch(pom)
	if m == nil {
		return "unknown"
	}
	return string(m[1])
}

// Resolve finds Apache Kafka in the user's cache folder, or has mvn bring it there. Concurrent calls, also of
// other processes, end with the same complete folder.
func Resolve(ctx context.Context) (*Dist, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, ErrUnavailable
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find the cache folder (set HOME or XDG_CACHE_HOME): %w", err)
	}
	sum := sha256.Sum256(append(append([]byte{}, pom...), logging...))
	folder := filepath.Join(cache, "streamkeeper", "kafka-"+Version()+"-"+hex.EncodeToString(sum[:4]))
	d := &Dist{java: java, folder: folder}
	if _, err := os.Stat(d.archive()); err == nil { // the last thing made
		return d, nil
	}
	return d, download(ctx, java, folder)
}

func download(ctx context.Context, java, folder string) error {
	files := map[string][]byte{"pom.xml": pom, "log4j2.properties": []byte(logging)}
	if err := fetch(ctx, folder, files, nil); err != nil {
		return fmt.Errorf("resolve Apache Kafka %s: %w", Version(), err)
	}
	return archive(ctx, &Dist{java: java, folder: folder})
}

// fetch makes a folder with files, of which one is pom.xml, and what that depends on below libs, brought by mvn. It is
// there whole or not at all: finish, which may be nil, completes it before it gets its name.
func fetch(ctx context.Context, folder string, files map[string][]byte, finish func(ctx context.Context, folder string) error) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return ErrUnavailable
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return err
	}
	partial, err := os.MkdirTemp(filepath.Dir(folder), "partial-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(partial)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(partial, name), content, 0o644); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, mvn, "-B", "-q", "-f", filepath.Join(partial, "pom.xml"),
		"org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+filepath.Join(partial, "libs"))
	cmd.WaitDelay = 10 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mvn: %w: %s", err, tail(out))
	}
	if finish != nil {
		if err := finish(ctx, partial); err != nil {
			return err
		}
	}
	if err := os.Rename(partial, folder); err != nil {
		if _, there := os.Stat(folder); there != nil {
			return err
		} // else another process was first
	}
	return nil
}

// archive keeps the classes that tools load in a file that the JVM maps: tools then start in half the time. It is
// made by a tool that finds nobody. A JVM that cannot use the archive starts without it.
func archive(ctx context.Context, d *Dist) error {
	impatient := filepath.Join(d.folder, "impatient.properties")
	if err := os.WriteFile(impatient, []byte("default.api.timeout.ms=1000\nrequest.timeout.ms=500\n"), 0o644); err != nil {
		return err
	}
	partial := fmt.Sprintf("%s.%d", d.archive(), os.Getpid())
	jvm := append(slices.Clone(toolJVM), "-Xlog:disable", "-XX:ArchiveClassesAtExit="+partial)
	cmd := d.command(ctx, jvm, Topics, "--bootstrap-server", "127.0.0.1:1", "--command-config", impatient, "--list")
	out, _ := cmd.CombinedOutput() // it fails, having loaded what a tool needs
	if err := os.Rename(partial, d.archive()); err != nil {
		return fmt.Errorf("archive the classes of Kafka's tools: %w: %s", err, tail(out))
	}
	return nil
}

func (d *Dist) archive() string { return filepath.Join(d.folder, "tools.jsa") }

func tail(b []byte) string { return string(b[max(0, len(b)-4000):]) }

// command runs a main class. The child is gone when this process is.
func (d *Dist) command(ctx context.Context, jvm []string, class string, args ...string) *exec.Cmd {
	all := append([]string{"-Djava.awt.headless=true", "-Dlog4j2.configurationFile=" + filepath.Join(d.folder, "log4j2.properties")}, jvm...)
	all = append(all, "-cp", filepath.Join(d.folder, "libs", "*"), class)
	cmd := exec.CommandContext(ctx, d.java, append(all, args...)...)
	endWithParent(cmd)
	return cmd
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/streamkeeper-io/streamkeeper/test/server"
)

// prometheus is a real Prometheus, or what takes its place, in processes of its own.
type prometheus struct {
	url  string
	cmds []*exec.Cmd
	dir  string
}

// startPrometheus scrapes targets, one job for each, and calls each job's cluster like the job. It writes all of it to an
// address too, and takes what is written to it.
func startPrometheus(ctx context.Context, o options, targets map[string]string, writesTo string) (*prometheus, error) {
	p, address, config, err := newPrometheus(o.every, targets, fmt.Sprintf("remote_write: [{url: %q, queue_config: {batch_send_deadline: 1s}}]\n", writesTo))
	if err != nil {
		return nil, err
	}
	return p, errors.Join(p.start(o.prometheus, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(p.dir, "data"),
		"--web.listen-address="+address, "--web.enable-remote-write-receiver", "--log.level=error"), p.ready(ctx))
}

// startVictoriaMetrics does the same with a VictoriaMetrics, which vmagent scrapes for and which it writes on for.
func startVictoriaMetrics(ctx context.Context, o options, targets map[string]string, writesTo string) (*prometheus, error) {
	p, address, config, err := newPrometheus(o.every, targets, "")
	if err != nil {
		return nil, err
	}
	agent, err := server.FreeAddress()
	if err != nil {
		return nil, err
	}
	return p, errors.Join(
		p.start(o.victoria, "-storageDataPath="+filepath.Join(p.dir, "data"), "-httpListenAddr="+address, "-loggerLevel=ERROR"),
		p.start(o.vmagent, "-promscrape.config="+config, "-httpListenAddr="+agent, "-remoteWrite.tmpDataPath="+filepath.Join(p.dir, "agent"),
			"-remoteWrite.url="+p.url+"/api/v1/write", "-remoteWrite.url="+writesTo, "-loggerLevel=ERROR"),
		p.ready(ctx))
}

// newPrometheus chooses where it listens, and writes what it scrapes down.
func newPrometheus(every time.Duration, targets map[string]string, more string) (p *prometheus, address, config string, err error) {
	dir, err := os.MkdirTemp("", "streamkeeper-prometheus-")
	if err != nil {
		return nil, "", "", err
	}
	if address, err = server.FreeAddress(); err != nil {
		return nil, "", "", err
	}
	text := fmt.Sprintf("global: {scrape_interval: %s, scrape_timeout: %s}\nscrape_configs:\n", every, every)
	for job, target := range targets {
		text += fmt.Sprintf("  - job_name: %s\n    static_configs: [{targets: [%q], labels: {kafka_cluster: %s}}]\n", job, target, job)
	}
	config = filepath.Join(dir, "prometheus.yml")
	return &prometheus{url: "http://" + address, dir: dir}, address, config, os.WriteFile(config, []byte(text+more), 0o600)
}

func (p *prometheus) start(binary string, args ...string) error {
	cmd := exec.Command(binary, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s (a Debian package): %w", binary, err)
	}
	p.cmds = append(p.cmds, cmd)
	fmt.Printf("%s for %s\n", binary, p.url)
	return nil
}

func (p *prometheus) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/-/ready", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		if !pause(ctx, 100*time.Millisecond) {
			return errors.New(p.url + " did not become ready")
		}
	}
}

// Close ends the processes and removes their data.
func (p *prometheus) Close() error {
	for _, cmd := range p.cmds {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	return os.RemoveAll(p.dir)
}

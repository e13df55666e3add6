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

// prometheus is a real Prometheus in a process of its own.
type prometheus struct {
	url string
	cmd *exec.Cmd
	dir string
}

// startPrometheus scrapes targets, one job for each, and calls each job's cluster like the job. It writes all of it to an
// address too, and takes what is written to it.
func startPrometheus(ctx context.Context, binary string, every time.Duration, targets map[string]string, writesTo string) (*prometheus, error) {
	dir, err := os.MkdirTemp("", "streamkeeper-prometheus-")
	if err != nil {
		return nil, err
	}
	address, err := server.FreeAddress()
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf("global: {scrape_interval: %s, scrape_timeout: %s}\nscrape_configs:\n", every, every)
	for job, target := range targets {
		config += fmt.Sprintf("  - job_name: %s\n    static_configs: [{targets: [%q], labels: {kafka_cluster: %s}}]\n", job, target, job)
	}
	config += fmt.Sprintf("remote_write: [{url: %q, queue_config: {batch_send_deadline: 1s}}]\n", writesTo)
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	p := &prometheus{url: "http://" + address, dir: dir}
	p.cmd = exec.Command(binary, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address,
		"--web.enable-remote-write-receiver", "--log.level=error")
	p.cmd.Stderr = os.Stderr
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s (Debian: prometheus): %w", binary, err)
	}
	fmt.Printf("prometheus %s every %s: %s\n", binary, every, p.url)
	return p, p.ready(ctx)
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
			return errors.New("prometheus did not become ready")
		}
	}
}

// Close ends the process and removes its data.
func (p *prometheus) Close() error {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	return os.RemoveAll(p.dir)
}

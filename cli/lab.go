package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper/cli/drill"
)

// drillCluster is the name that a drill's diagnoser gives the broker it watches.
const drillCluster = "drill"

// Credentials and bucket of the S3 server that a store drill starts for itself on loopback.
const (
	drillKey    = "drill"
	drillSecret = "drill-secret"
	drillBucket = "cold"
)

// lab runs drills on the embedded broker: broker, diagnoser, workers and store in processes of their own.
type lab struct {
	dir        string // data and recordings
	s3         string // path of the S3 server's binary
	httpListen string // where the diagnoser's dashboard is, 127.0.0.1:0 for any
	keep       bool

	mu       sync.Mutex
	children []*child
	broker   *child
	args     []string // the broker's, for a restart
	store    *workerProcess
	network  *network
	site     *drill.Site
}

// Open starts a broker and a diagnoser that watches it through its network doors only.
func (l *lab) Open(ctx context.Context, s drill.Setup) (*drill.Site, error) {
	kafka, metrics, err := freeAddresses()
	if err != nil {
		return nil, err
	}
	if s.Network {
		if l.network, err = openNetwork(ctx); err != nil {
			return nil, err
		}
		_, port, err := net.SplitHostPort(kafka)
		if err != nil {
			return nil, err
		}
		kafka = net.JoinHostPort(l.network.hereIP, port)
	}
	l.args = []string{
		"up", "--data", filepath.Join(l.dir, "broker"), "--kafka-listen", kafka, "--http-listen", metrics,
		"--set", "diagnose.enabled=false", "--set", "log.level=warn",
		"--set", "broker.group.initial_rebalance_delay=500ms", "--set", "broker.group.min_session_timeout=2s",
	}
	site := &drill.Site{Target: "embedded", Cluster: drillCluster, Kafka: kafka}
	if s.Store {
		url, err := l.openStore(ctx)
		if err != nil {
			return nil, err
		}
		site.StoreID = drillBucket
		l.args = append(l.args, "--object-store", url,
			"--set", "broker.log.segment_bytes=1MiB", "--set", "broker.tier.offload_after=3s", "--set", "broker.tier.local_bytes=256MiB")
	}
	if err := l.startBroker(ctx); err != nil {
		return nil, err
	}
	cluster := fmt.Sprintf("[{name: %s, brokers: [%q], metrics: [%q], events: %q}]", drillCluster, kafka,
		"http://"+metrics+"/metrics", "http://"+metrics+"/api/v1/broker/events")
	d, err := startChild(nil, "up", "--data", filepath.Join(l.dir, "diagnoser"), "--http-listen", l.httpListen,
		"--set", "broker.enabled=false", "--set", "clusters="+cluster, "--set", "log.level=warn",
		"--set", "diagnose.shadow=0") // the laboratory's broker has no past that anybody should be spared
	if err != nil {
		return nil, err
	}
	l.keepTrack(d)
	ready, err := d.ready(ctx)
	if err != nil {
		return nil, err
	}
	site.Diagnose = ready["http"]
	l.site = site
	return site, nil
}

func (l *lab) startBroker(ctx context.Context) error {
	b, err := startChild([]string{"AWS_ACCESS_KEY_ID=" + drillKey, "AWS_SECRET_ACCESS_KEY=" + drillSecret}, l.args...)
	if err != nil {
		return err
	}
	l.keepTrack(b)
	l.broker = b
	_, err = b.ready(ctx)
	return err
}

func (l *lab) keepTrack(c *child) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.children = append(l.children, c)
}

// openStore starts a real S3 server on a folder and, in front of it, the road that a drill can break.
func (l *lab) openStore(ctx context.Context) (url string, err error) {
	if l.s3 == "" {
		return "", errors.New("store drills need a real S3 server: `./task drill` installs one, or put `versitygw` on the PATH")
	}
	back, front, err := freeAddresses()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(l.dir, "s3")
	if err := os.MkdirAll(filepath.Join(dir, drillBucket), 0o755); err != nil {
		return "", err
	}
	cmd := exec.Command(l.s3, "--port", back, "posix", dir)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+drillKey, "ROOT_SECRET_KEY="+drillSecret)
	server, err := startProgram(cmd)
	if err != nil {
		return "", err
	}
	l.keepTrack(server)
	l.store, err = startWorker(drill.Spec{Role: drill.RoleStore, Listen: front, Backend: "http://" + back}, nil)
	if err != nil {
		return "", err
	}
	l.keepTrack(l.store.child)
	for _, address := range []string{back, front} {
		if err := dialable(ctx, address); err != nil {
			return "", fmt.Errorf("the S3 server did not start: %w: %s", err, server.tail.String())
		}
	}
	return fmt.Sprintf("s3://%s?endpoint=http://%s&path_style=true", drillBucket, front), nil
}

// dialable waits until somebody listens.
func dialable(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// freeAddresses finds two loopback ports that are free now.
func freeAddresses() (a, b string, err error) {
	var listeners [2]net.Listener
	for i := range listeners {
		if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return "", "", fmt.Errorf("find a free port: %w", err)
		}
		defer listeners[i].Close()
	}
	return listeners[0].Addr().String(), listeners[1].Addr().String(), nil
}

// Work starts a client process.
func (l *lab) Work(_ context.Context, s drill.Spec) (drill.Worker, error) {
	var away *network
	if s.Away {
		if l.network == nil {
			return nil, errors.New("start a worker on the second host: the drill did not ask for one")
		}
		away = l.network
	}
	w, err := startWorker(s, away)
	if err != nil {
		return nil, err
	}
	l.keepTrack(w.child)
	return w, nil
}

// Store is the road to the object store.
func (l *lab) Store() drill.Worker {
	if l.store == nil {
		return nil
	}
	return l.store
}

// Network is the road to the second host.
func (l *lab) Network() drill.Network {
	if l.network == nil {
		return nil
	}
	return l.network
}

// Restart stops the broker cleanly and starts it again.
func (l *lab) Restart(ctx context.Context) error {
	if err := l.broker.end(); err != nil {
		return err
	}
	if !pause(ctx, 2*time.Second) {
		return ctx.Err()
	}
	return l.startBroker(ctx)
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// Record saves the diagnoser's view since a time, with the truth of the run inside.
func (l *lab) Record(ctx context.Context, since time.Time, r *drill.Result) (string, error) {
	path := l.path(*r, ".txtar.gz")
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := fetchRecording(ctx, l.site.Diagnose, l.site.Cluster, since, time.Time{}, path); err != nil {
		return "", err
	}
	rec, err := readRecording(path)
	if err != nil {
		return "", err
	}
	if rec.truth, err = json.MarshalIndent(r, "", "  "); err != nil {
		return "", err
	}
	rec.truth = append(rec.truth, '\n')
	return path, writeRecording(path, rec)
}

// path is a file of a run.
func (l *lab) path(r drill.Result, ending string) string {
	return filepath.Join(l.dir, seedName(r.ID, r.Seed)+ending)
}

// saveResult writes a run's result beside its recording: `drill rescore` reads it. A run that failed has one too,
// which says why.
func (l *lab) saveResult(r drill.Result) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(l.path(r, ".json"), append(b, '\n'), 0o644)
}

// fetchRecording downloads a recording from a running server; a zero until is now.
func fetchRecording(ctx context.Context, server, cluster string, since, until time.Time, path string) error {
	q := url.Values{"cluster": {cluster}, "since": {since.UTC().Format(time.RFC3339)}}
	if !until.IsZero() {
		q.Set("until", until.UTC().Format(time.RFC3339Nano))
	}
	address := baseURL(server) + "/api/v1/recording?" + q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return explainDial(server, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return fmt.Errorf("recording: %s: %s", resp.Status, strings.TrimSpace(string(body)))
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}

// Close ends everything, newest first, and removes the data unless it is kept.
func (l *lab) Close() error {
	l.mu.Lock()
	children := l.children
	l.children = nil
	l.mu.Unlock()
	var wg sync.WaitGroup
	for i := len(children) - 1; i >= 0; i-- {
		wg.Go(func() { _ = children[i].end() })
	}
	wg.Wait()
	var errs []error
	if l.network != nil {
		errs = append(errs, l.network.close())
		l.network = nil
	}
	if l.keep {
		return errors.Join(errs...)
	}
	for _, d := range []string{"broker", "diagnoser", "s3"} {
		errs = append(errs, os.RemoveAll(filepath.Join(l.dir, d)))
	}
	return errors.Join(errs...)
}

// findS3 looks for the S3 server's binary: named, beside this program, or on the PATH.
func findS3(named string) string {
	if named != "" {
		return named
	}
	if self, err := os.Executable(); err == nil {
		if p := filepath.Join(filepath.Dir(self), "versitygw"); isFile(p) {
			return p
		}
	}
	p, _ := exec.LookPath("versitygw")
	return p
}

func isFile(p string) bool {
	info, err := os.Stat(p)
	return err == nil && info.Mode().IsRegular()
}

func seedName(id string, seed uint64) string { return id + "-" + strconv.FormatUint(seed, 10) }

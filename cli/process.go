package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/streamkeeper-io/streamkeeper/cli/drill"
)

// How long a child may take to serve and to end.
const (
	childReady = 40 * time.Second
	childStop  = 15 * time.Second
)

// child is a process of ours that runs this very program with other arguments.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{} // closed when the process has ended and its output is read
	lines chan string   // standard output, oldest dropped when nobody reads
	tail  tailBuffer    // the end of standard error, for error messages
	err   error         // valid once done is closed
}

// startChild starts this program's own binary, with more environment than our own where env is given. Its standard
// error goes to a bounded tail.
func startChild(env []string, args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), env...)
	return startProgram(cmd)
}

func startProgram(cmd *exec.Cmd) (*child, error) {
	c := &child{cmd: cmd, done: make(chan struct{}), lines: make(chan string, 64)}
	// A group of its own: Ctrl-C at the terminal must reach the parent only, which then ends its children in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	killWithParent(cmd.SysProcAttr)
	cmd.Stderr = &c.tail
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if c.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	go c.read(out)
	return c, nil
}

func (c *child) read(out io.Reader) {
	s := bufio.NewScanner(out)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		select {
		case c.lines <- s.Text():
		default: // the newest line wins
			select {
			case <-c.lines:
			default:
			}
			select {
			case c.lines <- s.Text():
			default:
			}
		}
	}
	c.err = c.cmd.Wait()
	close(c.done)
}

// ready waits for the one line that says the program serves, and returns its fields.
func (c *child) ready(ctx context.Context) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, childReady)
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s did not serve within %s: %s", c.cmd.Args[1], childReady, c.tail.String())
		case <-c.done:
			return nil, fmt.Errorf("%s ended: %v: %s", c.cmd.Args[1], c.err, c.tail.String())
		case line := <-c.lines:
			rest, ok := strings.CutPrefix(line, "ready ")
			if !ok {
				continue
			}
			fields := map[string]string{}
			for _, kv := range strings.Fields(rest) {
				k, v, _ := strings.Cut(kv, "=")
				fields[k] = v
			}
			return fields, nil
		}
	}
}

func (c *child) signal(s syscall.Signal) error {
	select {
	case <-c.done:
		return nil
	default:
	}
	if err := c.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", s, err)
	}
	return nil
}

// end asks the process to end (SIGTERM) and kills it when it does not.
func (c *child) end() error {
	if err := c.signal(syscall.SIGTERM); err != nil {
		return err
	}
	_ = c.signal(syscall.SIGCONT) // a frozen process hears nothing
	select {
	case <-c.done:
		return nil
	case <-time.After(childStop):
		return c.kill()
	}
}

func (c *child) kill() error {
	if err := c.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-c.done
	return nil
}

// tailBuffer keeps the last bytes written to it.
type tailBuffer struct {
	mu sync.Mutex
	b  []byte
}

const tailBytes = 4 << 10

func (t *tailBuffer) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if extra := len(t.b) - tailBytes; extra > 0 {
		t.b = append(t.b[:0], t.b[extra:]...)
	}
	return len(p), nil
}

func (t *tailBuffer) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}

// workerProcess is a drill worker as a child process.
type workerProcess struct {
	*child
	stats atomic.Pointer[drill.Stats]
	told  chan struct{} // closed when it has ended and its last word is taken over
}

// startWorker starts a worker here, or on the second host when there is one.
func startWorker(spec drill.Spec, away *network) (*workerProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.Command(self, "drill", "worker")
	if away != nil {
		cmd = away.command(self, "drill", "worker")
	}
	c, err := startProgram(cmd)
	if err != nil {
		return nil, err
	}
	w := &workerProcess{child: c, told: make(chan struct{})}
	w.stats.Store(&drill.Stats{})
	go func() {
		defer close(w.told)
		for {
			select {
			case <-c.done:
				w.last()
				return
			case line := <-c.lines:
				var s drill.Stats
				if json.Unmarshal([]byte(line), &s) == nil {
					w.stats.Store(&s)
				}
			}
		}
	}()
	return w, w.line(spec)
}

// last takes over what the worker told before it ended. It owns nothing any more.
func (w *workerProcess) last() {
	for {
		select {
		case line := <-w.lines:
			var s drill.Stats
			if json.Unmarshal([]byte(line), &s) == nil {
				w.stats.Store(&s)
			}
		default:
			s := *w.stats.Load()
			s.Assigned = 0
			w.stats.Store(&s)
			return
		}
	}
}

func (w *workerProcess) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err := w.stdin.Write(append(b, '\n')); err != nil {
		select {
		case <-w.done:
			return nil // it has ended; what it should have done no longer matters
		default:
			return fmt.Errorf("command the worker: %w", err)
		}
	}
	return nil
}

// Set changes what the worker does.
func (w *workerProcess) Set(b drill.Behaviour) error { return w.line(b) }

// Stats is what the worker told last.
func (w *workerProcess) Stats() drill.Stats { return *w.stats.Load() }

// Freeze stops the process as a long pause does.
func (w *workerProcess) Freeze() error { return w.signal(syscall.SIGSTOP) }

// Thaw lets it go on.
func (w *workerProcess) Thaw() error { return w.signal(syscall.SIGCONT) }

// Kill ends it as a crash does.
func (w *workerProcess) Kill() error {
	if err := w.kill(); err != nil {
		return err
	}
	<-w.told
	return nil
}

// Done is closed when the process has ended.
func (w *workerProcess) Done() <-chan struct{} { return w.done }

// Stop closes the worker cleanly: the end of its input.
func (w *workerProcess) Stop() error {
	_ = w.stdin.Close()
	select {
	case <-w.told:
		return nil
	case <-time.After(childStop):
		return w.Kill()
	}
}

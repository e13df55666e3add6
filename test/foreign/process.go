package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

const (
	readsFor  = time.Second            // a reader that holds a process up reads so long in between
	paceEvery = 100 * time.Millisecond // between two reads of one that keeps a pace
)

// process is a consumer in a process of its own, which may be ended and started again. What it prints is read, and can be
// read so slowly that it must wait for that: a consumer whose processing is slow. What it logs is pushed where logs are.
type process struct {
	lab  *lab
	ctx  context.Context
	id   string
	make func() *exec.Cmd
	hold atomic.Int64 // nanoseconds without a read, again and again
	pace atomic.Int64 // bytes a second that are read at most; 0 is no limit

	mu    sync.Mutex
	cmd   *exec.Cmd
	asked bool // to end
	done  chan struct{}
}

func (l *lab) startProcess(ctx context.Context, id string, make func() *exec.Cmd) (member, error) {
	p := &process{lab: l, ctx: ctx, id: id, make: make}
	l.end = append(l.end, func() { p.end(os.Kill) })
	return member{stop: func() { p.end(endSignal) }, kill: func() { p.end(os.Kill) }, process: p}, p.again()
}

// again starts the process, the first time or after its end.
func (p *process) again() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return p.ctx.Err()
	}
	cmd := p.make()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	said, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s (Debian: kcat): %w", cmd.Path, err)
	}
	p.cmd, p.asked, p.done = cmd, false, make(chan struct{})
	done := p.done
	p.lab.wg.Go(func() {
		defer close(done)
		var read sync.WaitGroup
		read.Go(func() { p.read(out) })
		last := p.log(said)
		read.Wait()
		if err := cmd.Wait(); !p.wasAsked() && p.lab.tells {
			logf("%s ended by itself (%v): %s", p.id, err, last)
		}
	})
	return nil
}

// read reads what the process prints, at its pace or at ours.
func (p *process) read(out io.Reader) {
	buffer := make([]byte, 64<<10)
	since := time.Now()
	for {
		if hold := time.Duration(p.hold.Load()); hold > 0 && time.Since(since) > readsFor {
			if !pause(p.ctx, hold) {
				return
			}
			since = time.Now()
		}
		most := buffer
		if pace := p.pace.Load(); pace > 0 {
			if !pause(p.ctx, paceEvery) {
				return
			}
			most = buffer[:max(1, min(int64(len(buffer)), pace*int64(paceEvery)/int64(time.Second)))]
		}
		if _, err := out.Read(most); err != nil {
			return
		}
	}
}

// log pushes what the process logs and returns the last of it.
func (p *process) log(said io.Reader) (last string) {
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		last = lines.Text()
		p.lab.logs.add(map[string]string{"job": "consumer", "pod": p.id}, last)
	}
	return last
}

func (p *process) wasAsked() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// end sends the signal to a process that runs.
func (p *process) end(how os.Signal) {
	p.mu.Lock()
	p.asked = true
	p.mu.Unlock()
	_ = p.signal(how)
}

func (p *process) signal(s os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return errors.New("not started")
	}
	return p.cmd.Process.Signal(s)
}

// ended is closed when the process has ended.
func (p *process) ended() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

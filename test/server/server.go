// Package server starts a Streamkeeper binary for black-box tests: a process of its own on loopback that can
// be stopped, killed and started again on the same data and ports.
package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Server is one process. Not safe for concurrent use.
type Server struct {
	Binary string
	Dir    string // data and logs
	Kafka  string
	HTTP   string
	Args   []string
	Env    []string
	cmd    *exec.Cmd
	done   chan struct{}
}

// New picks free ports and a temporary folder.
func New(binary string, args ...string) (*Server, error) { return NewIn("", binary, args...) }

// NewIn is New with the temporary folder below parent.
func NewIn(parent, binary string, args ...string) (*Server, error) {
	dir, err := os.MkdirTemp(parent, "streamkeeper-test-")
	if err != nil {
		return nil, err
	}
	s := &Server{Binary: binary, Dir: dir, Args: args}
	for _, a := range []*string{&s.Kafka, &s.HTTP} {
		if *a, err = FreeAddress(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// handedOut are the addresses that FreeAddress has told: the system may give a port again before its first taker listens.
var handedOut sync.Map

// FreeAddress is a loopback address that nobody listens on now, another one each time.
func FreeAddress() (string, error) {
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		address := l.Addr().String()
		if err := l.Close(); err != nil {
			return "", err
		}
		if _, again := handedOut.LoadOrStore(address, true); !again {
			return address, nil
		}
	}
}

// Start starts the process and waits until it serves.
func (s *Server) Start(ctx context.Context) error {
	args := append([]string{"up", "--data", filepath.Join(s.Dir, "data"), "--kafka-listen", s.Kafka, "--http-listen", s.HTTP}, s.Args...)
	s.cmd = exec.Command(s.Binary, args...)
	s.cmd.Env = append(os.Environ(), s.Env...)
	log, err := os.OpenFile(filepath.Join(s.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd.Stderr = log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	ready := make(chan struct{})
	done := make(chan struct{})
	s.done = done
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "ready ") {
				close(ready)
			}
		}
		_ = s.cmd.Wait()
		close(done)
	}()
	select {
	case <-ready:
		return nil
	case <-done:
		return fmt.Errorf("the server ended at once: %s", s.Log())
	case <-time.After(60 * time.Second):
		return errors.Join(errors.New("the server did not serve within 60 s: "+s.Log()), s.Kill())
	case <-ctx.Done():
		return errors.Join(ctx.Err(), s.Kill())
	}
}

// PID is the process's id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Kill ends it as a power cut of the process does.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

// Stop ends it cleanly.
func (s *Server) Stop() error { return s.end(syscall.SIGTERM) }

func (s *Server) end(sig syscall.Signal) error {
	if s.cmd == nil {
		return nil
	}
	_ = s.cmd.Process.Signal(sig)
	select {
	case <-s.done:
		return nil
	case <-time.After(30 * time.Second):
		_ = s.cmd.Process.Kill()
		return fmt.Errorf("the server did not end within 30 s of %s", sig)
	}
}

// Remove deletes its data.
func (s *Server) Remove() error { return os.RemoveAll(s.Dir) }

// Log is the end of what it wrote to standard error.
func (s *Server) Log() string {
	b, _ := os.ReadFile(filepath.Join(s.Dir, "log"))
	return string(b[max(0, len(b)-4000):])
}

// RSS is the resident memory in bytes, from /proc.
func (s *Server) RSS() (int64, error) { return Process(s.PID()).RSS() }

// PeakRSS is the largest resident memory so far, in bytes.
func (s *Server) PeakRSS() (int64, error) { return Process(s.PID()).PeakRSS() }

// CPU is the processor time used so far.
func (s *Server) CPU() (time.Duration, error) { return Process(s.PID()).CPU() }

// Dialable waits until somebody listens at an address.
func Dialable(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nobody listens at %s: %w", address, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

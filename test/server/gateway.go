package server

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// What clients of a Gateway must know.
const (
	Bucket    = "cold"
	AccessKey = "test"
	SecretKey = "test-secret"
)

// Gateway is an S3 server (a versitygw) with one bucket, a process of its own.
type Gateway struct {
	Address string
	Dir     string // the bucket's objects, as files
	process *exec.Cmd
}

// StartGateway starts the S3 server on a folder below dir, with options of its own beside ours, and returns once it answers.
func StartGateway(ctx context.Context, binary, dir string, options ...string) (*Gateway, error) {
	root := filepath.Join(dir, "s3")
	g := &Gateway{Dir: filepath.Join(root, Bucket)}
	if err := os.MkdirAll(g.Dir, 0o755); err != nil {
		return nil, err
	}
	var err error
	if g.Address, err = FreeAddress(); err != nil {
		return nil, err
	}
	g.process = exec.Command(binary, append(options, "--port", g.Address, "posix", root)...)
	g.process.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
	if err := g.process.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", binary, err)
	}
	if err := Dialable(ctx, g.Address); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// UseStore points s, which must not run yet, at the bucket, reached at address.
func (s *Server) UseStore(address string) {
	s.Args = append(s.Args, "--object-store", "s3://"+Bucket+"?endpoint=http://"+address+"&path_style=true")
	s.Env = append(s.Env, "AWS_ACCESS_KEY_ID="+AccessKey, "AWS_SECRET_ACCESS_KEY="+SecretKey)
}

// Close ends the process.
func (g *Gateway) Close() {
	_ = g.process.Process.Kill()
	_ = g.process.Wait()
}

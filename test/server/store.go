package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/streamkeeper-io/streamkeeper/cli/drill"
)

const bucket = "cold"

// Store is an S3 server and a road to it that breaks on command, two processes of their own.
type Store struct {
	Dir     string // the bucket's objects, as files
	road    *json.Encoder
	roadIn  io.Closer
	running []*exec.Cmd
}

// StartStore starts the S3 server (a versitygw) on a folder below dir and points s at it, which must not run yet.
func StartStore(ctx context.Context, s *Server, s3 string) (_ *Store, err error) {
	root := filepath.Join(s.Dir, "s3")
	st := &Store{Dir: filepath.Join(root, bucket)}
	defer func() {
		if err != nil {
			st.Close()
		}
	}()
	if err := os.MkdirAll(st.Dir, 0o755); err != nil {
		return nil, err
	}
	back, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	front, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	gateway := exec.Command(s3, "--port", back, "posix", root)
	gateway.Env = append(os.Environ(), "ROOT_ACCESS_KEY=test", "ROOT_SECRET_KEY=test-secret")
	if err := st.start(gateway); err != nil {
		return nil, err
	}
	road := exec.Command(s.Binary, "drill", "worker")
	in, err := road.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := st.start(road); err != nil {
		return nil, err
	}
	st.road, st.roadIn = json.NewEncoder(in), in
	if err := st.road.Encode(drill.Spec{Role: drill.RoleStore, Listen: front, Backend: "http://" + back}); err != nil {
		return nil, err
	}
	for _, address := range []string{back, front} {
		if err := Dialable(ctx, address); err != nil {
			return nil, err
		}
	}
	s.Args = append(s.Args, "--object-store", "s3://"+bucket+"?endpoint=http://"+front+"&path_style=true")
	s.Env = append(s.Env, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test-secret")
	return st, nil
}

func (st *Store) start(cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	st.running = append(st.running, cmd)
	return nil
}

// Behave makes the road what b says; the zero Behaviour is healthy.
func (st *Store) Behave(b drill.Behaviour) error { return st.road.Encode(b) }

// Bytes is the size of the bucket's objects, metadata of the tier counted.
func (st *Store) Bytes() (n int64, err error) {
	err = filepath.WalkDir(st.Dir, func(_ string, e fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // deleted meanwhile
		}
		if err != nil || e.IsDir() {
			return err
		}
		if info, err := e.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return n, err
}

// Close ends both processes.
func (st *Store) Close() {
	if st.roadIn != nil {
		_ = st.roadIn.Close()
	}
	for i := len(st.running) - 1; i >= 0; i-- {
		_ = st.running[i].Process.Kill()
		_ = st.running[i].Wait()
	}
}

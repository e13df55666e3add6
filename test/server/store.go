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

// Store is an S3 server and a road to it that breaks on command, two processes of their own.
type Store struct {
	*Gateway
	Front  string // the road's address, for clients
	road   *exec.Cmd
	roadIn io.Closer
	tell   *json.Encoder
}

// StartStore starts the S3 server (a versitygw) on a folder below s's and points s, which must not run yet, at the road to it.
func StartStore(ctx context.Context, s *Server, s3 string) (*Store, error) {
	st, err := StartRoad(ctx, s.Binary, s.Dir, s3)
	if err == nil {
		s.UseStore(st.Front)
	}
	return st, err
}

// StartRoad starts the S3 server on a folder below dir, and the road to it with our program.
func StartRoad(ctx context.Context, binary, dir, s3 string) (_ *Store, err error) {
	g, err := StartGateway(ctx, s3, dir)
	if err != nil {
		return nil, err
	}
	st := &Store{Gateway: g}
	defer func() {
		if err != nil {
			st.Close()
		}
	}()
	if st.Front, err = FreeAddress(); err != nil {
		return nil, err
	}
	road := exec.Command(binary, "drill", "worker")
	in, err := road.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := road.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", road.Path, err)
	}
	st.road, st.roadIn, st.tell = road, in, json.NewEncoder(in)
	if err := st.tell.Encode(drill.Spec{Role: drill.RoleStore, Listen: st.Front, Backend: "http://" + g.Address}); err != nil {
		return nil, err
	}
	if err := Dialable(ctx, st.Front); err != nil {
		return nil, err
	}
	return st, nil
}

// Behave makes the road what b says; the zero Behaviour is healthy.
func (st *Store) Behave(b drill.Behaviour) error { return st.tell.Encode(b) }

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
	if st.road != nil {
		_ = st.roadIn.Close()
		_ = st.road.Process.Kill()
		_ = st.road.Wait()
	}
	st.Gateway.Close()
}

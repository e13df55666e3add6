package objectstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/objectstore"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/tiertest"
)

// env returns a getenv with credentials.
func env(extra ...string) func(string) string {
	m := map[string]string{"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
	for i := 0; i < len(extra); i += 2 {
		m[extra[i]] = extra[i+1]
	}
	return func(k string) string { return m[k] }
}

func fakeS3(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(gofakes3.New(s3mem.New(), gofakes3.WithAutoBucket(false)).Server())
	t.Cleanup(server.Close)
	return server.URL
}

// stores are all implementations; each must behave the same.
func stores(t *testing.T) map[string]objectstore.Objects {
	t.Helper()
	file, err := objectstore.Open("file://"+t.TempDir()+"/objects/", env())
	if err != nil {
		t.Fatal(err)
	}
	s3, err := objectstore.Open("s3://bucket/some/prefix?path_style=true&create=true&endpoint="+fakeS3(t), env())
	if err != nil {
		t.Fatal(err)
	}
	return map[string]objectstore.Objects{"file": file, "s3": s3, "memory": tiertest.NewStore()}
}

func TestStoresAgree(t *testing.T) {
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) { contract(t, s) })
	}
}

func contract(t *testing.T, s objectstore.Objects) {
	ctx := t.Context()
	body := bytes.Repeat([]byte("0123456789"), 50_000)
	put := func(name string, b []byte, o objectstore.PutOptions) error {
		return s.Put(ctx, name, bytes.NewReader(b), int64(len(b)), o)
	}
	if err := put("a/b/c", body, objectstore.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Head(ctx, "a/b/c"); n != int64(len(body)) || err != nil {
		t.Errorf("head: %d, %v", n, err)
	}
	for _, r := range [][2]int64{{0, 10}, {123_457, 70_000}, {int64(len(body)) - 1, 1}, {0, int64(len(body))}} {
		if got, err := get(ctx, s, "a/b/c", r[0], r[1]); err != nil || !bytes.Equal(got, body[r[0]:r[0]+r[1]]) {
			t.Errorf("get %v: %d bytes, %v", r, len(got), err)
		}
	}
	if got, err := get(ctx, s, "a/b/c", int64(len(body))-5, 10); err == nil {
		t.Errorf("a range beyond the end gave %d bytes and no error", len(got))
	}
	if err := put("a/b/c", body[:3], objectstore.PutOptions{IfAbsent: true}); !errors.Is(err, objectstore.ErrExists) {
		t.Errorf("put-if-absent over an object: %v", err)
	}
	if n, _ := s.Head(ctx, "a/b/c"); n != int64(len(body)) {
		t.Error("put-if-absent replaced the object")
	}
	if err := put("a/b/c", body[:4], objectstore.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if n, _ := s.Head(ctx, "a/b/c"); n != 4 {
		t.Error("put did not replace the object")
	}
	if err := put("a/new", body[:1], objectstore.PutOptions{IfAbsent: true}); err != nil {
		t.Errorf("put-if-absent of a new object: %v", err)
	}
	if err := s.Put(ctx, "a/short", bytes.NewReader(body[:5]), 6, objectstore.PutOptions{}); err == nil {
		t.Error("a body shorter than its size was stored")
	}
	if _, err := s.Head(ctx, "a/short"); objectstore.Classify(err) != objectstore.ClassNotFound {
		t.Errorf("half a put is visible: %v", err)
	}
	if _, err := s.Get(ctx, "none", 0, 1); objectstore.Classify(err) != objectstore.ClassNotFound {
		t.Errorf("get of nothing: %v", err)
	}
	if err := s.Delete(ctx, "a/b/c"); err != nil {
		t.Error(err)
	}
	if err := s.Delete(ctx, "a/b/c"); err != nil {
		t.Errorf("deleting what is not there: %v", err)
	}
	if _, err := s.Head(ctx, "a/b/c"); objectstore.Classify(err) != objectstore.ClassNotFound {
		t.Errorf("after delete: %v", err)
	}
	if l, ok := s.(objectstore.Lister); ok {
		list(t, s, l)
	}
}

func list(t *testing.T, s objectstore.Objects, l objectstore.Lister) {
	t.Helper()
	for i := range 7 {
		if err := s.Put(t.Context(), fmt.Sprintf("l/%d", i), strings.NewReader("x"), 1, objectstore.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	if err := l.List(t.Context(), "l/", func(name string, size int64) error {
		names = append(names, fmt.Sprint(name, size))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	if want := []string{"l/01", "l/11", "l/21", "l/31", "l/41", "l/51", "l/61"}; !slices.Equal(names, want) {
		t.Errorf("list: %v", names)
	}
	stop := errors.New("stop")
	if err := l.List(t.Context(), "", func(string, int64) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("list did not stop: %v", err)
	}
}

func get(ctx context.Context, s objectstore.Objects, name string, offset, length int64) ([]byte, error) {
	r, err := s.Get(ctx, name, offset, length)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// Of concurrent put-if-absents one wins.
func TestPutIfAbsentHasOneWinner(t *testing.T) {
	for name, s := range stores(t) {
		if name == "s3" {
			continue // the fake checks and writes in two steps
		}
		var g sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for i := range 8 {
			g.Go(func() {
				b := fmt.Sprint(i)
				err := s.Put(t.Context(), "claim", strings.NewReader(b), int64(len(b)), objectstore.PutOptions{IfAbsent: true})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won++
				} else if !errors.Is(err, objectstore.ErrExists) {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		if g.Wait(); won != 1 {
			t.Errorf("%s: %d winners", name, won)
		}
	}
}

func TestFileStoreCleansUpAndRefusesEscapes(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, ".tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(dir, ".tmp", "left-over")
	if err := os.WriteFile(left, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := objectstore.OpenFile(vfs.Default, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a temporary file survived the start: %v", err)
	}
	for _, name := range []string{"../x", "/x", "a/../../x", "", ".", ".tmp/x"} {
		if err := s.Put(t.Context(), name, strings.NewReader("x"), 1, objectstore.PutOptions{}); err == nil {
			t.Errorf("name %q was accepted", name)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if err := s.Put(ctx, "x", strings.NewReader("x"), 1, objectstore.PutOptions{}); !errors.Is(err, why) {
		t.Errorf("put under an ended context: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, ".tmp")); err != nil || len(entries) != 0 {
		t.Errorf("failed puts left %v, %v", entries, err)
	}
}

func TestOpenSaysWhatToDo(t *testing.T) {
	none := func(string) string { return "" }
	for url, c := range map[string]struct {
		env  func(string) string
		want string
	}{
		"":                                      {none, "file:///dir"},
		"file://relative/dir":                   {none, "three slashes"},
		"http://bucket":                         {none, "s3://bucket/prefix"},
		"s3:///prefix":                          {env(), "names no bucket"},
		"s3://b":                                {none, "AWS_ACCESS_KEY_ID"},
		"s3://b?endpoint=host:9000":             {env(), "http://host:port"},
		"s3://b?path_style=maybe":               {env(), "true or false"},
		"s3://b?pathstyle=true":                 {env(), "unknown parameter"},
		"s3://key:secret@b/p":                   {env(), "AWS_SECRET_ACCESS_KEY"},
		"s3://b?endpoint=http://h:1/sub/folder": {env(), "http://host:port"},
	} {
		if _, err := objectstore.Open(url, c.env); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want it to say %q", url, err, c.want)
		} else if strings.Contains(err.Error(), "key:secret") {
			t.Errorf("%q: the error shows the credentials", url)
		}
	}
}

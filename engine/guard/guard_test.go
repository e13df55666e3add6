package guard

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

var errDisk = errors.New("the disk is broken")

// broken fails writes and syncs of files whose name begins with prefix, once it is on.
type broken struct {
	prefix string
	on     bool
}

func (b *broken) MaybeError(op errorfs.Op) error {
	if b.on && (op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) && len(op.Path) > 0 {
		base := vfs.Default.PathBase(op.Path)
		if len(base) >= len(b.prefix) && base[:len(b.prefix)] == b.prefix {
			return errDisk
		}
	}
	return nil
}

func (b *broken) String() string { return "broken" }

func open(t *testing.T, b *broken) (*pebble.DB, *Guard, *error) {
	t.Helper()
	var told error
	g := New("index", func(err error) { told = err })
	db, err := pebble.Open("db", g.Configure(&pebble.Options{FS: errorfs.Wrap(vfs.NewMem(), b), FormatMajorVersion: pebble.FormatNewest}))
	if err != nil {
		t.Fatal(err)
	}
	return db, g, &told
}

func TestGuard_WriteAheadLogFails(t *testing.T) {
	b := &broken{prefix: "0"}
	db, g, told := open(t, b)
	set := func() error {
		return g.Do(func() error { return db.Set([]byte("k"), []byte("v"), pebble.Sync) })
	}
	if err := set(); err != nil {
		t.Fatal(err)
	}
	b.on = true
	if err := set(); !errors.Is(err, ErrFailed) || !errors.Is(*told, ErrFailed) {
		t.Fatalf("a write to a broken disk: %v, reported %v", err, *told)
	}
	b.on = false
	if err := set(); !errors.Is(err, ErrFailed) {
		t.Fatalf("a failed database takes writes again: %v", err)
	}
	if err := g.Close(db.Close); err != nil {
		t.Fatal(err)
	}
}

func TestGuard_ManifestFailsInBackground(t *testing.T) {
	b := &broken{prefix: "MANIFEST"}
	db, g, _ := open(t, b)
	if err := db.Set([]byte("k"), []byte("v"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	b.on = true
	flushed, err := db.AsyncFlush()
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-flushed:
		t.Fatal("flushed without a manifest")
	case <-g.Failed():
	}
	if v, done, err := db.Get([]byte("k")); err != nil || string(v) != "v" {
		t.Fatalf("reads stopped, too: %q, %v", v, err)
	} else if err := done.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.Do(func() error { t.Error("a failed database is written to"); return nil }); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
}

// A table that cannot be written must not be tried again and again.
func TestGuard_TableFailsInBackground(t *testing.T) {
	b := &broken{prefix: "0"}
	g := New("index", func(error) {})
	db, err := pebble.Open("db", g.Configure(&pebble.Options{
		FS: errorfs.Wrap(vfs.NewMem(), b), DisableWAL: true, FormatMajorVersion: pebble.FormatNewest,
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Set([]byte("k"), []byte("v"), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	b.on = true
	if _, err := db.AsyncFlush(); err != nil {
		t.Fatal(err)
	}
	<-g.Failed()
	if err := g.Do(func() error { return nil }); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
	if err := g.Close(db.Close); err != nil {
		t.Fatal(err)
	}
}

// Whoever waits for what a failed database will never do comes back.
func TestGuard_EndsWaiting(t *testing.T) {
	g := New("index", func(error) {})
	go logger{g}.Fatalf("the disk is gone")
	if err := g.Do(func() error { select {} }); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
}

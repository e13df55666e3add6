package engine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/streamkeeper-io/streamkeeper/engine/commitlog"
)

// formatLine is the whole content of the FORMAT file. A new on-disk format gets a new number and a migration.
const formatLine = "streamkeeper-engine 1\n"

const (
	formatFile = "FORMAT"
	cleanFile  = "CLEAN"
	lockFile   = "LOCK"
)

// openDir makes, locks and checks the data directory. It returns where a clean shutdown left the log, or 0.
func (e *Engine) openDir() (clean uint64, err error) {
	fs := e.o.FS
	if err := fs.MkdirAll(e.o.Dir, 0o755); err != nil {
		return 0, fmt.Errorf("creating data directory: %w", err)
	}
	if err := commitlog.SyncDir(fs, fs.PathDir(e.o.Dir)); err != nil {
		return 0, err
	}
	e.lock, err = fs.Lock(e.path(lockFile))
	if err != nil {
		return 0, fmt.Errorf("locking data directory; is another broker using it?: %w", err)
	}
	format, found, err := e.readSmall(formatFile)
	switch {
	case err != nil:
		return 0, err
	case !found:
		if err := e.writeSmall(formatFile, formatLine); err != nil {
			return 0, err
		}
	case format != formatLine:
		return 0, fmt.Errorf("data directory has format %q, this program reads %q", strings.TrimSpace(format), strings.TrimSpace(formatLine))
	}
	for _, d := range []string{"log", "meta", "index"} {
		if err := fs.MkdirAll(e.path(d), 0o755); err != nil {
			return 0, fmt.Errorf("creating data directory: %w", err)
		}
		if err := e.settleDir(d); err != nil {
			return 0, err
		}
	}
	if err := commitlog.SyncDir(fs, e.o.Dir); err != nil {
		return 0, err
	}
	return e.takeClean()
}

// settleDir makes durable what a process crash left in the page cache and Pebble would trust: directory entries, and the
// tail of a manifest. Without it a power loss soon after could take the index back behind what we recycled since.
func (e *Engine) settleDir(name string) error {
	fs, dir := e.o.FS, e.path(name)
	files, err := fs.List(dir)
	if err != nil {
		return fmt.Errorf("listing %s: %w", dir, err)
	}
	for _, file := range files {
		if !strings.HasPrefix(file, "MANIFEST-") {
			continue // tables and logs are synced before a manifest names them, or replayed
		}
		f, err := fs.Open(fs.PathJoin(dir, file))
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if err != nil {
			return fmt.Errorf("syncing %s: %w", file, err)
		}
	}
	return commitlog.SyncDir(fs, dir)
}

// takeClean reads and removes the clean-shutdown marker: from now on the directory is in use.
func (e *Engine) takeClean() (uint64, error) {
	s, found, err := e.readSmall(cleanFile)
	if err != nil || !found {
		return 0, err
	}
	end, err := strconv.ParseUint(strings.TrimSpace(s), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is damaged; the disk lost a write it had confirmed, so check it, then remove the file: %w", cleanFile, err)
	}
	if err := e.o.FS.Remove(e.path(cleanFile)); err != nil {
		return 0, fmt.Errorf("removing %s: %w", cleanFile, err)
	}
	return end, commitlog.SyncDir(e.o.FS, e.o.Dir)
}

func (e *Engine) markClean(end uint64) error {
	return e.writeSmall(cleanFile, strconv.FormatUint(end, 10)+"\n")
}

// readSmall reads a file; found is false when it does not exist.
func (e *Engine) readSmall(name string) (content string, found bool, err error) {
	f, err := e.o.FS.Open(e.path(name))
	if errors.Is(err, os.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("reading %s: %w", name, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err = errors.Join(err, f.Close()); err != nil {
		return "", false, fmt.Errorf("reading %s: %w", name, err)
	}
	return string(b), true, nil
}

// writeSmall replaces a file in one step that survives a crash.
func (e *Engine) writeSmall(name, content string) error {
	fs, tmp := e.o.FS, e.path(name+".tmp")
	f, err := fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	_, err = f.Write([]byte(content))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = fs.Rename(tmp, e.path(name))
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return commitlog.SyncDir(fs, e.o.Dir)
}

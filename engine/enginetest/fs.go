package enginetest

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FS is a crashable file system. Crash and Kill return what a restart finds; the old FS lives on for the goroutines that
// still use it, and nothing they do there reaches the new one.
type FS struct {
	*vfs.MemFS
	// Swallow, when not empty, is one of Sites, or only the file of some; their syncs return success without doing anything.
	Swallow string

	gate sync.RWMutex // held shared by each change, so that a crash happens between changes
	dead bool

	reads sync.RWMutex // held while sectors hold what is on disk

	mu     sync.Mutex
	sites  map[string]int
	fuse   int // steps until blow; 0 = none
	blow   func(at string)
	faults []*Fault
	struck map[string]int
	lostIn map[string]*lost
}

// NewFS returns an empty file system.
func NewFS() *FS { return wrap(vfs.NewCrashableMem(), "") }

func wrap(m *vfs.MemFS, swallow string) *FS {
	return &FS{MemFS: m, Swallow: swallow, sites: map[string]int{}, struck: map[string]int{}, lostIn: map[string]*lost{}}
}

// Bucket is the folder for a file store: its files have names without end, so that sites leave them out.
const Bucket = "bucket"

// Site names a file by its directory and kind.
func Site(name string, dir bool) string {
	if strings.HasPrefix(name, Bucket+"/") {
		if dir {
			return Bucket + "/folder/"
		}
		return Bucket + "/object"
	}
	base, parent := path.Base(name), path.Base(path.Dir(name))
	if dir {
		return base + "/"
	}
	kind := base
	switch {
	case strings.HasSuffix(base, ".log"):
		kind = "log"
	case strings.HasSuffix(base, ".sst"):
		kind = "sst"
	case strings.HasPrefix(base, "MANIFEST"):
		kind = "manifest"
	case strings.HasPrefix(base, "OPTIONS"):
		kind = "options"
	case strings.HasPrefix(base, "marker"):
		kind = "marker"
	case strings.HasSuffix(base, ".dbtmp"):
		kind = "dbtmp"
	}
	return parent + "/" + kind
}

// Sites counts the syncs seen so far, by file and by the function that asked, and the changes of the object store.
func (f *FS) Sites() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]int{}
	for k, v := range f.sites {
		out[k] = v
	}
	return out
}

// Fuse calls fn right before the n-th step from now, outside of any change. A step is a sync or, twice each, before and
// after its effect, a change of the object store. fn is told which.
func (f *FS) Fuse(n int, fn func(at string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fuse, f.blow = n, fn
}

// sync counts a sync and reports whether it must be swallowed.
func (f *FS) sync(file string) (swallow bool) {
	site := file + " " + caller()
	f.step(site)
	return site == f.Swallow || file == f.Swallow
}

const module = "github.com/streamkeeper-io/streamkeeper/engine"

// passesOn are functions whose callers are told apart.
var passesOn = map[string]bool{"/commitlog.SyncDir": true, "/tier/objectstore.(*File).syncDir": true}

// caller is the function of the engine that asks for a sync, past those that only pass it on; "pebble" when a database
// does by itself.
func caller() string {
	pc := make([]uintptr, 32)
	frames := runtime.CallersFrames(pc[:runtime.Callers(3, pc)])
	for {
		f, more := frames.Next()
		name, ours := strings.CutPrefix(f.Function, module)
		switch {
		case strings.HasPrefix(f.Function, "github.com/cockroachdb/pebble"):
			return "pebble"
		case ours && !strings.HasPrefix(name, "/enginetest.") && !strings.HasPrefix(name, "/guard.") && !passesOn[name]:
			return strings.TrimLeft(strings.ReplaceAll(name, "[...]", ""), "/.")
		case !more:
			return "?"
		}
	}
}

// step counts a step, and ends it all when the fuse has burnt down.
func (f *FS) step(site string) {
	f.mu.Lock()
	f.sites[site]++
	var fn func(string)
	if f.fuse > 0 {
		if f.fuse--; f.fuse == 0 {
			fn = f.blow
		}
	}
	f.mu.Unlock()
	if fn != nil {
		fn(site)
	}
}

// Dead reports whether the file system crashed. What was acknowledged before is durable if the engine is right.
func (f *FS) Dead() bool {
	f.gate.RLock()
	defer f.gate.RUnlock()
	return f.dead
}

// Crash is a power loss: the new file system holds everything synced and a random part of the rest. ok is false when it
// had crashed before.
func (f *FS) Crash(rng *rand.Rand) (_ *FS, ok bool) {
	f.gate.Lock()
	defer f.gate.Unlock()
	if f.dead {
		return nil, false
	}
	f.dead = true
	percent := []int{0, 30, 70, 100}[rng.IntN(4)]
	after := f.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
	if percent > 0 && percent < 100 {
		dropEarlyMarkers(after, f.synced(), "/")
		tear(after, f.synced(), f.all(), "", percent, rng)
	}
	return wrap(after, f.Swallow), true
}

// Kill is the end of the process only: everything written is there, and what was not synced still is not.
func (f *FS) Kill() (_ *FS, ok bool, err error) {
	f.gate.Lock()
	defer f.gate.Unlock()
	if f.dead {
		return nil, false, nil
	}
	f.dead = true
	after := vfs.NewCrashableMem()
	if err := rebuild(after, f.synced(), f.all(), "/"); err != nil {
		return nil, false, err
	}
	next := wrap(after, f.Swallow)
	next.lostIn = f.lostIn // the system still believes that these bytes are on disk
	return next, true, nil
}

func (f *FS) synced() *vfs.MemFS { return f.CrashClone(vfs.CrashCloneCfg{}) }

func (f *FS) all() *vfs.MemFS {
	return f.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(0, 0))})
}

// dropEarlyMarkers restores the order of operations within one directory, which journaling file systems keep and the
// memory file system does not: Pebble makes a manifest, then the marker that names it, then syncs the directory once.
func dropEarlyMarkers(after, synced *vfs.MemFS, dir string) {
	names, err := after.List(dir)
	if err != nil {
		return
	}
	for _, name := range names {
		full := path.Join(dir, name)
		if st, err := after.Stat(full); err == nil && st.IsDir() {
			dropEarlyMarkers(after, synced, full)
			continue
		}
		part := strings.SplitN(name, ".", 4) // marker.KIND.NUMBER.VALUE
		if len(part) != 4 || part[0] != "marker" || part[1] != "manifest" {
			continue
		}
		_, errNamed := after.Stat(path.Join(dir, part[3]))
		_, errSynced := synced.Stat(full)
		if errNamed != nil && errSynced != nil {
			_ = after.Remove(full)
		}
	}
	_ = syncDir(after, dir)
}

// sector is what a disk writes whole. Pebble's clone tears at pages; disks tear finer.
const sector = 512

// tear mixes synced and unsynced sectors in every file that exists in all three states.
func tear(after, synced, all *vfs.MemFS, dir string, percent int, rng *rand.Rand) {
	names, err := after.List(dir)
	if err != nil {
		return
	}
	slices.Sort(names) // the seed decides, not the map
	for _, name := range names {
		full := path.Join(dir, name)
		st, err := after.Stat(full)
		if err != nil {
			continue
		}
		if st.IsDir() {
			tear(after, synced, all, full, percent, rng)
			continue
		}
		now, err1 := after.UnsafeGetFileDataBuffer(full)
		old, err2 := synced.UnsafeGetFileDataBuffer(full)
		young, err3 := all.UnsafeGetFileDataBuffer(full)
		if err1 != nil || err2 != nil || err3 != nil || bytes.Equal(old, young) {
			continue
		}
		for at := 0; at < len(now); at += sector {
			end := min(at+sector, len(now))
			switch {
			case rng.IntN(100) < percent && end <= len(young):
				copy(now[at:end], young[at:end])
			case end <= len(old):
				copy(now[at:end], old[at:end])
			case at >= len(old):
				clear(now[at:end])
			}
		}
		if h, err := after.OpenReadWrite(full, vfs.WriteCategoryUnspecified); err == nil {
			_ = h.Sync() // what is on the disk stays as it is
			_ = h.Close()
		}
	}
}

// change runs a change between crashes.
func (f *FS) change(fn func() error) error {
	f.gate.RLock()
	defer f.gate.RUnlock()
	return fn()
}

func (f *FS) open(name string, dir bool, fn func() (vfs.File, error)) (vfs.File, error) {
	f.gate.RLock()
	defer f.gate.RUnlock()
	h, err := fn()
	if err != nil {
		return nil, err
	}
	return &file{File: h, fs: f, name: name, dir: dir}, nil
}

// make opens a file that may be new.
func (f *FS) make(name string, fn func() (vfs.File, error)) (vfs.File, error) {
	return f.open(name, false, func() (vfs.File, error) {
		if _, err := f.MemFS.Stat(name); err != nil {
			if err := f.strike(Site(name, false), FailCreate, FailSpace); err != nil {
				return nil, err
			}
		}
		return fn()
	})
}

// name changes a directory.
func (f *FS) name(name string, fn func() error) error {
	return f.change(func() error {
		if err := f.strike(Site(name, false), FailName); err != nil {
			return err
		}
		return fn()
	})
}

// Create implements vfs.FS.
func (f *FS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.make(name, func() (vfs.File, error) {
		f.mu.Lock()
		delete(f.lostIn, name)
		f.mu.Unlock()
		return f.MemFS.Create(name, c)
	})
}

// OpenReadWrite implements vfs.FS.
func (f *FS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return f.make(name, func() (vfs.File, error) { return f.MemFS.OpenReadWrite(name, c, opts...) })
}

// ReuseForWrite implements vfs.FS.
func (f *FS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.make(newname, func() (vfs.File, error) { return f.MemFS.ReuseForWrite(oldname, newname, c) })
}

// Open implements vfs.FS.
func (f *FS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	return f.open(name, false, func() (vfs.File, error) { return f.MemFS.Open(name, opts...) })
}

// OpenDir implements vfs.FS.
func (f *FS) OpenDir(name string) (vfs.File, error) {
	return f.open(name, true, func() (vfs.File, error) { return f.MemFS.OpenDir(name) })
}

// Link implements vfs.FS.
func (f *FS) Link(o, n string) error {
	return f.name(n, func() error { return f.MemFS.Link(o, n) })
}

// Remove implements vfs.FS.
func (f *FS) Remove(name string) error {
	return f.name(name, func() error { return f.MemFS.Remove(name) })
}

// RemoveAll implements vfs.FS.
func (f *FS) RemoveAll(name string) error {
	return f.name(name, func() error { return f.MemFS.RemoveAll(name) })
}

// Rename implements vfs.FS.
func (f *FS) Rename(o, n string) error {
	return f.name(n, func() error { return f.MemFS.Rename(o, n) })
}

// MkdirAll implements vfs.FS.
func (f *FS) MkdirAll(dir string, perm os.FileMode) error {
	return f.change(func() error { return f.MemFS.MkdirAll(dir, perm) })
}

// Unwrap implements vfs.FS.
func (f *FS) Unwrap() vfs.FS { return f.MemFS }

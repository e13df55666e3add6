package tier

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/objectstore"
)

// Meta is the engine's metadata for the manifest: without the names and configs
// of its topics a bucket cannot be restored.
type Meta interface {
	// Version changes with every change of the metadata.
	Version() uint64
	// Export returns all of it.
	Export() ([]byte, error)
}

const (
	// snapshotAfter deltas, or when they are larger than the snapshot before them
	// and leastSnapshot, a new snapshot is written.
	snapshotAfter = 64
	leastSnapshot = 64 << 10
)

// manifests writes to the store what it holds: a snapshot at each start, then
// what changed, so that the bucket alone is enough for a restore. Objects are
// deleted only after a manifest says so, hence all objects that the manifests
// call live exist; those committed since the last one are found by listing.
type manifests struct {
	t *Tier

	// Only run uses these.
	sequence  uint64 // of the last one written; 0 = none
	snapshot  int    // bytes of the last snapshot
	deltas    int    // since then
	deltaSize int
	chains    []chain

	version atomic.Uint64 // of the metadata written last
	writing atomic.Int64  // facts under way
}

// chain is the manifests of one fence epoch, from a sequence on.
type chain struct{ epoch, first uint64 }

// run writes manifests until ctx ends.
func (m *manifests) run(ctx context.Context) {
	select {
	case <-m.t.fence.ready:
	case <-ctx.Done():
		return
	}
	m.chains = m.t.state.manifestChains()
	ticker := time.NewTicker(m.t.o.ManifestEvery)
	defer ticker.Stop()
	for {
		if err := m.write(ctx); err != nil && ctx.Err() == nil {
			m.t.event(EventManifestFailed, fmt.Sprintf("the manifest cannot be written: %v", err), nil)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// write puts the next manifest if there is something to tell.
func (m *manifests) write(ctx context.Context) error {
	if lost, _ := m.t.fence.status(); lost || m.t.journalError() != nil {
		return nil
	}
	full := m.sequence == 0 || m.deltas >= snapshotAfter || m.deltaSize > max(m.snapshot, leastSnapshot)
	next := manifest{kind: kindDelta, epoch: m.t.fence.number(), sequence: m.sequence + 1}
	if full {
		next.kind = kindSnapshot
	}
	var err error
	version := m.version.Load()
	if meta := m.t.o.Meta; meta != nil && (full || meta.Version() != version) {
		version = meta.Version()
		e := entry{kind: entryMeta}
		if e.meta, err = meta.Export(); err != nil {
			return fmt.Errorf("exporting the metadata: %w", err)
		}
		next.entries = append(next.entries, e)
	}
	told, facts := m.t.state.facts(full, &m.writing)
	if next.entries = append(next.entries, facts...); len(next.entries) == 0 && !full { // an empty store says so
		return nil
	}
	if m.sequence == 0 {
		m.chains = append(m.chains, chain{next.epoch, 1})
		if err := m.t.journal(ctx, manifestRecord(m.chains)); err != nil {
			return err
		}
	}
	b := next.encode()
	if err := m.put(ctx, manifestName(m.t.o.NodeID, next.epoch, next.sequence), b); err != nil {
		return err
	}
	m.sequence = next.sequence
	m.version.Store(version)
	m.writing.Store(0)
	m.t.state.noted(told)
	signal(m.t.collectNow)
	if !full {
		m.deltas, m.deltaSize = m.deltas+1, m.deltaSize+len(b)
		return nil
	}
	m.deltas, m.deltaSize, m.snapshot = 0, 0, len(b)
	return m.clean(ctx, next.epoch, next.sequence)
}

// untold is how many facts no manifest tells yet.
func (m *manifests) untold() int {
	n := m.t.state.untold(&m.writing)
	if meta := m.t.o.Meta; meta != nil && meta.Version() != m.version.Load() {
		n++
	}
	return n
}

// put stores a manifest, trying until it is there: the ones after it need it.
func (m *manifests) put(ctx context.Context, name string, b []byte) error {
	for failures := 0; ; failures++ {
		err := m.t.calls.put(ctx, name, bytes.NewReader(b), int64(len(b)), PutOptions{})
		if err == nil {
			return nil
		}
		if lost, err := m.t.fence.status(); lost {
			return err
		}
		if !m.t.sleep(ctx, m.t.backoff(failures, 10*time.Second), callsWrite) {
			return context.Cause(ctx)
		}
	}
}

// clean deletes the manifests that a snapshot made useless. Sequences have no
// gaps, so the end of an older chain is found without listing.
func (m *manifests) clean(ctx context.Context, epoch, sequence uint64) error {
	for _, c := range m.chains {
		for at := c.first; ; at++ {
			name := manifestName(m.t.o.NodeID, c.epoch, at)
			if c.epoch == epoch {
				if at == sequence {
					break
				}
			} else if _, err := m.t.calls.head(ctx, &call{op: "head", name: name, limit: m.t.o.CallBase, hidden: true}); err != nil {
				if class := objectstore.Classify(err); class == objectstore.ClassNotFound || class == objectstore.ClassDenied {
					break
				}
				return nil // the next snapshot cleans up
			}
			if m.t.calls.delete(ctx, name) != nil {
				return nil
			}
		}
	}
	m.chains = []chain{{epoch, sequence}}
	return m.t.journal(ctx, manifestRecord(m.chains))
}

// facts returns the entries of what changed since it was called last, or of
// everything, and the destroyed objects among them. Entries that are not written
// after all must be asked for in full.
func (s *state) facts(full bool, count *atomic.Int64) (destroyedIDs []ObjectID, entries []entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { count.Store(int64(len(entries))) }()
	ids, streams := s.changed, s.trimmedSince
	if full {
		ids, streams = map[ObjectID]bool{}, map[uint32]bool{}
		for id, k := range s.objects {
			ids[id] = k.phase != prepared
		}
		for stream := range s.trims {
			streams[stream] = true
		}
	}
	for id, relevant := range ids {
		k := s.objects[id]
		switch {
		case !relevant:
		case k == nil:
			entries = append(entries, entry{kind: entryGone, id: id})
		case k.phase != prepared:
			e := entry{kind: entryObject, id: id, phase: k.phase, size: k.size, footer: k.footer, notBefore: k.notBefore}
			s.pruneLocked(k)
			e.moves = slices.Clone(k.moves)
			entries = append(entries, e)
			if k.phase == destroyed {
				destroyedIDs = append(destroyedIDs, id)
			}
		}
	}
	for stream := range streams {
		if t := s.trims[stream]; t.before < deletedTopic {
			entries = append(entries, entry{kind: entryTrim, stream: stream, before: t.before, at: t.at})
		}
	}
	s.changed, s.trimmedSince = map[ObjectID]bool{}, map[uint32]bool{}
	return destroyedIDs, entries
}

func (s *state) untold(writing *atomic.Int64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.changed) + len(s.trimmedSince) + int(writing.Load())
}

// noted says that a manifest calls these objects destroyed: they may be deleted.
func (s *state) noted(ids []ObjectID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if k := s.objects[id]; k != nil {
			k.noted = true
		}
	}
}

// manifestChains returns the manifests that an earlier process may have left.
func (s *state) manifestChains() []chain {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.chains)
}

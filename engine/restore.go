package engine

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/commitlog"
	"github.com/streamkeeper-io/streamkeeper/engine/index"
	"github.com/streamkeeper-io/streamkeeper/engine/meta"
	"github.com/streamkeeper-io/streamkeeper/engine/tier"
)

// RestoreOptions configure Restore beside the engine's own.
type RestoreOptions struct {
	// SkipDamaged leaves out objects that are missing or damaged.
	SkipDamaged bool
	// Progress hears how many of how many objects were looked at; may be nil.
	Progress func(done, total int)
}

// RestoreSummary is what a Restore brought back.
type RestoreSummary struct {
	Cluster            string
	Topics, Partitions int
	Objects            int
	Bytes              int64 // of records, as stored
	Found              int   // objects committed after the last manifest
	Groups             int   // with committed offsets
	Damaged            []string
}

// Restore makes a data directory from what the object store holds: topics with
// their configs, all cold data, and the groups' offsets as far as they were
// offloaded. What was only in the lost log is lost. Dir must not exist or be
// empty; it appears whole or not at all.
func Restore(ctx context.Context, o Options, ro RestoreOptions) (sum RestoreSummary, err error) {
	if o, err = o.withDefaults(); err != nil {
		return sum, err
	}
	if names, err := o.FS.List(o.Dir); err == nil && len(names) > 0 {
		return sum, fmt.Errorf("restoring to %s: it is not empty; choose a new directory", o.Dir)
	}
	r, err := tier.Restore(ctx, tier.RestoreOptions{
		Objects: o.Store, NodeID: o.NodeID, Now: o.Clock.Now, SkipDamaged: ro.SkipDamaged, Progress: ro.Progress,
	})
	if err != nil {
		return sum, err
	}
	if len(r.Meta) == 0 {
		return sum, errors.New("restoring: the manifest holds no metadata")
	}
	target := o.Dir
	o.Dir += ".restoring"
	if err := o.FS.RemoveAll(o.Dir); err != nil {
		return sum, fmt.Errorf("restoring: %w", err)
	}
	sum = RestoreSummary{Cluster: r.Cluster, Objects: len(r.Objects), Bytes: r.Bytes, Found: r.Found, Damaged: r.Damaged}
	if err := fill(o, r, &sum); err != nil {
		return sum, fmt.Errorf("restoring: %w", err)
	}
	if sum.Groups, err = project(ctx, o); err != nil {
		return sum, fmt.Errorf("restoring group offsets and transactions: %w", err)
	}
	if err := o.FS.RemoveAll(target); err != nil && !errors.Is(err, os.ErrNotExist) {
		return sum, fmt.Errorf("restoring: %w", err)
	}
	if err := o.FS.Rename(o.Dir, target); err != nil {
		return sum, fmt.Errorf("restoring: %w", err)
	}
	return sum, commitlog.SyncDir(o.FS, o.FS.PathDir(target))
}

// fill writes metadata and index of a new directory.
func fill(o Options, r *tier.Restored, sum *RestoreSummary) error {
	for _, d := range []string{"meta", "index"} {
		if err := o.FS.MkdirAll(o.FS.PathJoin(o.Dir, d), 0o755); err != nil {
			return err
		}
	}
	streams := restoredStreams(r)
	top := uint32(0)
	for stream := range streams {
		top = max(top, stream+1)
	}
	topics, err := meta.Import(meta.Options{FS: o.FS, Dir: o.FS.PathJoin(o.Dir, "meta"), Now: o.Clock.Now, Random: rand.Reader, Node: o.NodeID, Failed: func(error) {}}, r.Meta, top)
	if err != nil {
		return err
	}
	alive := map[uint32]bool{}
	for _, t := range topics {
		sum.Topics++
		sum.Partitions += int(t.Partitions)
		for i := range t.Partitions {
			stream, _ := t.Stream(i)
			alive[stream] = true
		}
	}
	d, err := index.Open(index.Options{FS: o.FS, Dir: o.FS.PathJoin(o.Dir, "index"), Failed: func(error) {}})
	if err != nil {
		return err
	}
	c := d.Change()
	records := r.Records
	for stream, s := range streams {
		if alive[stream] {
			c.SetStream(stream, *s)
		} else {
			records = append(records, tier.ForgetStream(stream, o.Clock.Now()))
		}
	}
	for _, rec := range records {
		key, _, err := tier.RecordKey(rec)
		if err != nil {
			c.Drop()
			return errors.Join(err, d.Close())
		}
		c.SetTier(key, rec)
	}
	return errors.Join(c.Commit(), d.Close())
}

// restoredStreams is the state of each stream as its runs tell it.
func restoredStreams(r *tier.Restored) map[uint32]*index.Stream {
	type run struct {
		stream uint32
		epoch  int32
		base   int64
	}
	var runs []run
	streams := map[uint32]*index.Stream{}
	for _, f := range r.Objects {
		for _, x := range f.Runs {
			s := streams[x.Stream]
			if s == nil {
				s = &index.Stream{LogStart: x.Base, MaxTime: -1, MaxAt: -1}
				streams[x.Stream] = s
			}
			s.LogStart = min(s.LogStart, x.Base)
			s.Next = max(s.Next, x.Next)
			if x.MaxTimestamp > s.MaxTime {
				s.MaxTime, s.MaxAt = x.MaxTimestamp, x.Base
			}
			runs = append(runs, run{x.Stream, x.Epoch, x.Base})
		}
	}
	slices.SortFunc(runs, func(a, b run) int {
		return cmp.Or(cmp.Compare(a.stream, b.stream), cmp.Compare(a.base, b.base))
	})
	for _, x := range runs {
		s := streams[x.stream]
		if n := len(s.Epochs); n == 0 || s.Epochs[n-1].Epoch < x.epoch {
			s.Epochs = append(s.Epochs, index.Epoch{Epoch: x.epoch, Start: x.base})
		}
	}
	for stream, before := range r.Trims {
		if s := streams[stream]; s != nil {
			s.LogStart = max(s.LogStart, before)
			s.Next = max(s.Next, s.LogStart)
		}
	}
	return streams
}

const never = 1000 * time.Hour

// project rebuilds from cold data what a log is replayed for: the groups' offsets,
// the transactional ids, and which transactions of a partition were aborted.
func project(ctx context.Context, o Options) (groups int, err error) {
	// Until it is known which transactions were aborted, compaction would keep their records and drop what they replaced.
	o.Tier.CompactEvery, o.Tier.RewriteEvery = never, never
	e, err := Open(ctx, o)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, e.Close(context.WithoutCancel(ctx))) }()
	// Only a cluster that used transactions has to read all its records for them.
	_, transactions := e.Topic(TransactionsTopic)
	var touched []*Partition
	for _, t := range e.Topics() {
		if t.Name != OffsetsTopic && !transactions {
			continue
		}
		for i := range t.Partitions {
			p, err := e.Partition(t.Name, i)
			if err != nil {
				return 0, err
			}
			if err := p.scan(ctx, p.LogStart(), p.HighWatermark(), p.project); err != nil {
				return 0, err
			}
			touched = append(touched, p)
		}
	}
	return len(e.GroupsWithOffsets()), e.saveProjected(touched)
}

// project applies one cold batch.
func (p *Partition) project(h batch.Header) error {
	if p.topic.name == TransactionsTopic {
		return p.e.transactions.replay(p, h)
	}
	p.mu.Lock()
	err := p.noteTransaction(h, p.e.now)
	p.settleTransactions()
	p.mu.Unlock()
	if err != nil {
		return err
	}
	return p.e.groups.replay(p, h)
}

// saveProjected puts the result into the index.
func (e *Engine) saveProjected(touched []*Partition) error {
	e.indexMu.Lock()
	defer e.indexMu.Unlock()
	c := e.index.Change()
	for _, p := range touched {
		s, producers, aborted := p.durableState()
		c.SetStream(p.stream, s)
		for _, pr := range producers {
			c.SetProducer(p.stream, pr)
		}
		p.saveAborted(c, s, aborted)
	}
	e.groups.save(c)
	e.transactions.save(c)
	return c.Commit()
}

// scanBytes is how much a scan reads at once.
const scanBytes = 1 << 20

// scan calls fn for each batch of [from, to), waiting for the store where it must.
func (p *Partition) scan(ctx context.Context, from, to int64, fn func(batch.Header) error) error {
	for from < to {
		r, err := p.await(ctx, from, scanBytes)
		if err != nil {
			return err
		}
		var raw []byte
		for _, piece := range r.Bytes {
			raw = append(raw, piece...)
		}
		next := r.NextOffset
		r.Release()
		for len(raw) > 0 {
			h, rest, ok := batch.Next(raw)
			if !ok {
				return fmt.Errorf("reading %s at %d: no whole batch: %w", p.name(), from, ErrStorage)
			}
			if h.BaseOffset() >= to {
				return nil
			}
			if err := fn(h); err != nil {
				return err
			}
			raw = rest
		}
		if next <= from {
			return fmt.Errorf("reading %s at %d got nowhere: %w", p.name(), from, ErrStorage)
		}
		from = next
	}
	return nil
}

// await is Read that waits for cold data.
func (p *Partition) await(ctx context.Context, offset int64, maxBytes int) (Read, error) {
	for {
		ready := make(chan struct{})
		r, err := p.Read(ctx, offset, maxBytes)
		if err != nil || !r.Pending {
			return r, err
		}
		cancel := p.Watch(offset, func() { close(ready) })
		select {
		case <-ready:
		case <-ctx.Done():
			cancel()
			return Read{}, ctx.Err()
		}
	}
}

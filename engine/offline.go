package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/commitlog"
	"github.com/streamkeeper-io/streamkeeper/engine/index"
	"github.com/streamkeeper-io/streamkeeper/engine/meta"
	"github.com/streamkeeper-io/streamkeeper/engine/tier"
)

// Offline looks at the data directory of an engine that does not run, and changes
// nothing. It knows what the index knows: after a stop that was not clean, the end
// of the log is missing (see Clean).
type Offline struct {
	o        Options
	lock     io.Closer
	meta     *meta.Store
	index    *index.DB
	segments map[uint64]index.Segment
	tier     tier.Contents
	files    map[uint32]vfs.File
	// Clean says that the engine stopped cleanly, so that nothing is missing.
	Clean bool
}

// OpenOffline locks the directory and opens what is in it for reading.
func OpenOffline(o Options) (_ *Offline, err error) {
	if o, err = o.withDefaults(); err != nil {
		return nil, err
	}
	x := &Offline{o: o, files: map[uint32]vfs.File{}, segments: map[uint64]index.Segment{}}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("opening %s for reading: %w", o.Dir, err), x.Close())
		}
	}()
	e := &Engine{o: o} // for its small files
	format, found, err := e.readSmall(formatFile)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, errors.New("there is no broker's data; name the folder that `up --data` was given")
	case format != formatLine:
		return nil, fmt.Errorf("it has format %q, this program reads %q", strings.TrimSpace(format), strings.TrimSpace(formatLine))
	}
	if x.lock, err = o.FS.Lock(e.path(lockFile)); err != nil {
		return nil, fmt.Errorf("it is locked; stop the broker that uses it first: %w", err)
	}
	if _, x.Clean, err = e.readSmall(cleanFile); err != nil {
		return nil, err
	}
	damaged := func(error) {} // reads of it fail, and say so
	if x.meta, err = meta.Open(meta.Options{FS: o.FS, Dir: e.path("meta"), Node: o.NodeID, ReadOnly: true, Failed: damaged}); err != nil {
		return nil, err
	}
	if x.index, err = index.Open(index.Options{FS: o.FS, Dir: e.path("index"), ReadOnly: true, Failed: damaged}); err != nil {
		return nil, err
	}
	segments, err := x.index.Segments()
	if err != nil {
		return nil, err
	}
	for _, s := range segments {
		x.segments[s.ID] = s
	}
	var records tierRecords
	if err := records.load(x.index); err != nil {
		return nil, err
	}
	x.tier, err = tier.ReadJournal(records.replay())
	return x, err
}

// Close gives everything back.
func (x *Offline) Close() error {
	var errs []error
	for _, f := range x.files {
		errs = append(errs, f.Close())
	}
	if x.index != nil {
		errs = append(errs, x.index.Abandon())
	}
	if x.meta != nil {
		errs = append(errs, x.meta.Close())
	}
	if x.lock != nil {
		errs = append(errs, x.lock.Close())
	}
	return errors.Join(errs...)
}

// Inspection is a summary of a data directory.
type Inspection struct {
	Format   string              `json:"format"`
	Cluster  string              `json:"cluster"`
	Clean    bool                `json:"clean"`
	Segments int                 `json:"segments"`
	LogBytes int64               `json:"log_bytes"`
	Objects  int                 `json:"objects"`
	Stored   int64               `json:"object_bytes"`
	Orphans  int                 `json:"orphans"`
	Parts    []PartitionContents `json:"partitions"`
}

// PartitionContents is what a data directory holds of a partition.
type PartitionContents struct {
	Topic       string `json:"topic"`
	Partition   int32  `json:"partition"`
	LogStart    int64  `json:"log_start"`
	Next        int64  `json:"next_offset"`
	ColdEnd     int64  `json:"tiered_end"` // -1 when nothing is in the store
	ColdBytes   int64  `json:"tiered_bytes"`
	ColdRuns    int    `json:"tiered_runs"`
	LocalFrom   int64  `json:"local_start"` // -1 when nothing is local
	LeaderEpoch int32  `json:"leader_epoch"`
}

// Inspect summarises the directory.
func (x *Offline) Inspect() (Inspection, error) {
	in := Inspection{
		Format: strings.TrimSpace(formatLine), Cluster: x.meta.ClusterID(), Clean: x.Clean, Segments: len(x.segments),
		Objects: len(x.tier.Objects), Orphans: x.tier.Orphans,
	}
	for _, s := range x.segments {
		in.LogBytes += s.Bytes()
	}
	for _, o := range x.tier.Objects {
		in.Stored += o.Size
	}
	for _, t := range x.meta.Snapshot().Topics {
		for i := range t.Partitions {
			c, err := x.partition(t, i)
			if err != nil {
				return in, err
			}
			in.Parts = append(in.Parts, c)
		}
	}
	return in, nil
}

func (x *Offline) partition(t *meta.Topic, i int32) (PartitionContents, error) {
	c := PartitionContents{Topic: t.Name, Partition: i, ColdEnd: -1, LocalFrom: -1, LeaderEpoch: -1}
	stream, _ := t.Stream(i)
	s, ok, err := x.index.Stream(stream)
	if err != nil {
		return c, err
	}
	if ok {
		c.LogStart, c.Next = s.LogStart, s.Next
		if n := len(s.Epochs); n > 0 {
			c.LeaderEpoch = s.Epochs[n-1].Epoch
		}
	}
	if e, ok, err := x.tier.Index.Extent(stream); err != nil {
		return c, err
	} else if ok {
		c.ColdEnd, c.ColdBytes, c.ColdRuns = e.End, e.Bytes, e.Rows
	}
	if from, ok, err := x.index.FirstLocal(stream); err != nil {
		return c, err
	} else if ok {
		c.LocalFrom = from
	}
	return c, nil
}

// Verification counts what Verify looked at; Problems says what is wrong.
type Verification struct {
	IndexRows    int64    `json:"index_rows"`
	LogBatches   int64    `json:"log_batches"`
	Objects      int      `json:"objects"`
	ObjectBytes  int64    `json:"object_bytes"`
	Clean        bool     `json:"clean"` // else the log's end is checked when the broker starts
	Problems     []string `json:"problems"`
	ProblemCount int      `json:"problem_count"`
}

// mostProblems bounds the list; the count goes on.
const mostProblems = 100

func (v *Verification) problem(err error) {
	if v.ProblemCount++; len(v.Problems) < mostProblems {
		v.Problems = append(v.Problems, err.Error())
	}
}

// Verify reads everything and checks every sum: index rows, the batches they find
// in the log, and all live objects. The error is for what kept it from looking;
// damage is in the result. progress may be nil.
func (x *Offline) Verify(ctx context.Context, progress func(doing string, done, total int)) (Verification, error) {
	v := Verification{Clean: x.Clean}
	if progress == nil {
		progress = func(string, int, int) {}
	}
	progress("index", 0, 1)
	var err error
	if v.IndexRows, err = x.index.Check(); err != nil {
		v.problem(err)
	}
	progress("log", 0, 1)
	err = x.index.Places(func(stream uint32, segment uint64, b index.Batch) error {
		v.LogBatches++
		if _, err := x.readBatch(segment, b); err != nil {
			v.problem(fmt.Errorf("log, stream %d: %w", stream, err))
		}
		return ctx.Err()
	})
	if err := ctx.Err(); err != nil {
		return v, err
	}
	if err != nil {
		v.problem(err)
	}
	for i, o := range x.tier.Objects {
		progress("objects", i, len(x.tier.Objects))
		f, err := tier.VerifyObject(ctx, x.o.Store, tier.ObjectName(o.ID))
		if err := ctx.Err(); err != nil {
			return v, err
		}
		if err == nil && f.Data != o.Data {
			err = fmt.Errorf("it has %d bytes of records, the journal says %d", f.Data, o.Data)
		}
		if err != nil {
			v.problem(fmt.Errorf("object %s: %w", tier.ObjectName(o.ID), err))
		}
		v.Objects++
		v.ObjectBytes += o.Size
	}
	progress("objects", len(x.tier.Objects), len(x.tier.Objects))
	return v, nil
}

// readBatch reads one batch from its log file and checks it.
func (x *Offline) readBatch(segment uint64, b index.Batch) (batch.Header, error) {
	s, ok := x.segments[segment]
	if !ok {
		return nil, fmt.Errorf("offset %d lies in segment %x, which is gone: %w", b.Base, segment, commitlog.ErrCorrupt)
	}
	f := x.files[s.Slot]
	if f == nil {
		var err error
		name := x.o.FS.PathJoin(x.o.Dir, "log", commitlog.FileName(s.Slot))
		if f, err = x.o.FS.Open(name); err != nil {
			return nil, fmt.Errorf("opening a log file: %w", err)
		}
		x.files[s.Slot] = f
	}
	raw := make([]byte, b.Len)
	if _, err := f.ReadAt(raw, b.Pos); err != nil {
		return nil, fmt.Errorf("reading offset %d in segment %x: %w", b.Base, segment, err)
	}
	h, rest, ok := batch.Next(raw)
	if !ok || len(rest) > 0 || h.BaseOffset() != b.Base || h.ComputeCRC() != binary.BigEndian.Uint32(raw[17:]) {
		return nil, fmt.Errorf("the batch at offset %d in segment %x does not match its checksum: %w", b.Base, segment, commitlog.ErrCorrupt)
	}
	return h, nil
}

// Dump calls fn for the batches of a partition from the one that holds from on, in
// offset order: from the log where it has them, else from the store. Every
// checksum is verified.
func (x *Offline) Dump(ctx context.Context, topic string, partition int32, from int64, fn func(batch.Header) error) error {
	t, ok := x.meta.Snapshot().Topic(topic)
	if !ok {
		return fmt.Errorf("topic %s: %w", topic, ErrUnknownTopic)
	}
	stream, ok := t.Stream(partition)
	if !ok {
		return fmt.Errorf("partition %d of topic %s, which has %d: %w", partition, topic, t.Partitions, ErrUnknownPartition)
	}
	s, _, err := x.index.Stream(stream)
	if err != nil {
		return err
	}
	for at := max(from, s.LogStart); at < s.Next; {
		next, err := x.dumpAt(ctx, stream, at, s.Next, fn)
		if err != nil || next <= at {
			return err
		}
		at = next
	}
	return nil
}

// dumpAt dumps from one offset on and returns where to go on; the same offset when
// there is nothing more.
func (x *Offline) dumpAt(ctx context.Context, stream uint32, at, end int64, fn func(batch.Header) error) (int64, error) {
	bs, segment, ok, err := x.index.Find(stream, at, end, 1<<20, nil)
	if err != nil {
		return at, err
	}
	if ok {
		for _, b := range bs {
			h, err := x.readBatch(segment, b)
			if err == nil {
				err = fn(h)
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return at, err
			}
			at = b.Next()
		}
		return at, nil
	}
	row, ok, err := x.tier.Index.Find(stream, at)
	if err != nil || !ok {
		return at, err
	}
	o, _, err := x.tier.Index.Object(row.Object)
	if err != nil {
		return at, err
	}
	return row.Next, tier.ReadRun(ctx, x.o.Store, o, row, func(h batch.Header) error {
		if h.NextOffset() <= at {
			return nil
		}
		return fn(h)
	})
}

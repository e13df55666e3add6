package tier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/objectstore"
)

// ErrNothingToRestore means that a prefix holds no manifest.
var ErrNothingToRestore = errors.New("the object store holds no manifest")

// RestoreOptions configure a Restore.
type RestoreOptions struct {
	Objects Objects // must be a Lister, too
	NodeID  int32
	Now     func() time.Time
	// SkipDamaged leaves objects out that are missing or damaged, instead of
	// failing at the first one.
	SkipDamaged bool
	Progress    func(done, total int) // objects; may be nil
}

// Restored is what a prefix holds.
type Restored struct {
	Cluster string
	Meta    []byte   // of the engine
	Records [][]byte // a journal from which a tier opens
	Objects []object.Footer
	Trims   map[uint32]int64 // log starts
	Found   int              // objects that no manifest knows yet, adopted
	Damaged []string         // left out
	Bytes   int64
}

// parallel is how many objects are looked at at a time.
const parallel = 16

// Restore reads what the store holds without changing anything: the last
// manifest of the node's last epoch, and objects committed after it.
func Restore(ctx context.Context, o RestoreOptions) (*Restored, error) {
	lister, ok := o.Objects.(Lister)
	if !ok {
		return nil, errors.New("restoring: the object store cannot list")
	}
	r := &restore{o: o, lister: lister, known: map[ObjectID]entry{}, out: &Restored{Trims: map[uint32]int64{}}, trims: map[uint32]trim{}}
	for _, step := range []func(context.Context) error{r.owner, r.manifests, r.footers} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("restoring: %w", err)
		}
	}
	return r.out, r.records()
}

type restore struct {
	o      RestoreOptions
	lister Lister
	out    *Restored

	epoch  uint64
	chains []chain
	known  map[ObjectID]entry
	trims  map[uint32]trim
	live   map[ObjectID]object.Footer // what becomes live
	orphan []ObjectID
}

// owner reads whose prefix it is.
func (r *restore) owner(ctx context.Context) error {
	b, err := r.read(ctx, clusterObject, maxClaim)
	if objectstore.Classify(err) == objectstore.ClassNotFound {
		return fmt.Errorf("%w: no %s; is the URL right?", ErrNothingToRestore, clusterObject)
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", clusterObject, err)
	}
	c, err := decodeClaim(b)
	r.out.Cluster = c.Cluster
	if err != nil {
		return fmt.Errorf("reading %s: %w", clusterObject, err)
	}
	return nil
}

// read gets a small object whole.
func (r *restore) read(ctx context.Context, name string, most int64) ([]byte, error) {
	size, err := r.o.Objects.Head(ctx, name)
	if err != nil {
		return nil, err
	}
	if size > most {
		return nil, fmt.Errorf("it has %d bytes, more than %d", size, most)
	}
	in, err := r.o.Objects.Get(ctx, name, 0, size)
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	_, err = io.ReadFull(in, b)
	return b, errors.Join(err, in.Close())
}

// maxManifest bounds the memory of one.
const maxManifest = 1 << 30

// manifests replays the chain of the last epoch that has a snapshot.
func (r *restore) manifests(ctx context.Context) error {
	byEpoch := map[uint64][]uint64{}
	err := r.lister.List(ctx, manifestPrefix(r.o.NodeID), func(name string, _ int64) error {
		var epoch, sequence uint64
		if _, err := fmt.Sscanf(strings.TrimPrefix(name, manifestPrefix(r.o.NodeID)), "%d-%d.skm", &epoch, &sequence); err == nil {
			byEpoch[epoch] = append(byEpoch[epoch], sequence)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("listing manifests: %w", err)
	}
	epochs := make([]uint64, 0, len(byEpoch))
	for epoch, sequences := range byEpoch {
		epochs = append(epochs, epoch)
		slices.Sort(sequences)
		r.chains = append(r.chains, chain{epoch, sequences[0]})
	}
	slices.Sort(epochs)
	if len(epochs) == 0 {
		return fmt.Errorf("%w of node %d below %s", ErrNothingToRestore, r.o.NodeID, manifestPrefix(r.o.NodeID))
	}
	r.epoch = epochs[len(epochs)-1]
	// A snapshot comes first in each epoch, and nothing older goes before it is there.
	return r.chain(ctx, r.epoch, byEpoch[r.epoch])
}

// chain applies the last snapshot of an epoch and the deltas after it.
func (r *restore) chain(ctx context.Context, epoch uint64, sequences []uint64) error {
	var read []manifest // newest first
	for i := len(sequences) - 1; ; i-- {
		if i < 0 {
			return fmt.Errorf("%w: epoch %d has no snapshot", errManifest, epoch)
		}
		name := manifestName(r.o.NodeID, epoch, sequences[i])
		b, err := r.read(ctx, name, maxManifest)
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		m, err := decodeManifest(b)
		if err == nil && (m.epoch != epoch || m.sequence != sequences[i]) {
			err = fmt.Errorf("%w: it is number %d of epoch %d", errManifest, m.sequence, m.epoch)
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		if n := len(read); n > 0 && read[n-1].sequence != m.sequence+1 {
			return fmt.Errorf("%w: %s is followed by number %d", errManifest, name, read[n-1].sequence)
		}
		if read = append(read, m); m.kind == kindSnapshot {
			break
		}
	}
	for i := len(read) - 1; i >= 0; i-- {
		for _, e := range read[i].entries {
			r.apply(e)
		}
	}
	return nil
}

func (r *restore) apply(e entry) {
	switch e.kind {
	case entryObject:
		r.known[e.id] = e
	case entryGone:
		delete(r.known, e.id)
	case entryTrim:
		r.trims[e.stream] = trim{e.before, e.at}
		r.out.Trims[e.stream] = e.before
	case entryMeta:
		r.out.Meta = e.meta
	}
}

// footers reads the footer of each object that is live, and of those that no
// manifest knows.
func (r *restore) footers(ctx context.Context) error {
	sizes := map[ObjectID]int64{}
	err := r.lister.List(ctx, "objects/", func(name string, size int64) error {
		if id, ok := parseObjectName(name); ok {
			sizes[id] = size
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("listing objects: %w", err)
	}
	var wanted []ObjectID
	for id, e := range r.known {
		switch _, there := sizes[id]; {
		case e.phase == destroyed:
			r.orphan = append(r.orphan, id)
		case !there:
			if err := r.damaged(id, errors.New("it is missing")); err != nil {
				return err
			}
		default:
			wanted = append(wanted, id)
		}
	}
	for id := range sizes {
		if _, ok := r.known[id]; !ok {
			wanted = append(wanted, id)
		}
	}
	slices.SortFunc(wanted, compareIDs)
	found, err := r.readFooters(ctx, wanted, sizes)
	if err != nil {
		return err
	}
	r.live = map[ObjectID]object.Footer{}
	var strange []object.Footer
	for id, f := range found {
		if _, ok := r.known[id]; ok {
			r.live[id] = f
		} else {
			strange = append(strange, f)
		}
	}
	r.adopt(strange)
	return nil
}

// damaged notes an object that is not what the manifest says.
func (r *restore) damaged(id ObjectID, err error) error {
	if !r.o.SkipDamaged {
		return fmt.Errorf("object %s: %w (restore without it by skipping damaged objects)", objectName(id), err)
	}
	r.out.Damaged = append(r.out.Damaged, objectName(id))
	return nil
}

// readFooters reads footers side by side.
func (r *restore) readFooters(ctx context.Context, ids []ObjectID, sizes map[ObjectID]int64) (map[ObjectID]object.Footer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var first error
	found, done := map[ObjectID]object.Footer{}, 0
	next := make(chan ObjectID)
	var g sync.WaitGroup
	for range parallel {
		g.Go(func() {
			for id := range next {
				f, err := object.ReadFooter(&storeReader{ctx, r.o.Objects, objectName(id)}, sizes[id])
				if err == nil && (f.ID != id || f.Cluster != r.out.Cluster) {
					err = fmt.Errorf("%w: it says that it is %s of cluster %s", ErrCorrupt, objectName(f.ID), f.Cluster)
				}
				mu.Lock()
				if err == nil {
					found[id] = f
				} else if _, ok := r.known[id]; ok { // others may be anything
					err = r.damaged(id, err)
					if err != nil && first == nil {
						first = err
						cancel()
					}
				}
				if done++; r.o.Progress != nil {
					r.o.Progress(done, len(ids))
				}
				mu.Unlock()
			}
		})
	}
	for _, id := range ids {
		if ctx.Err() != nil {
			break
		}
		next <- id
	}
	close(next)
	g.Wait()
	if first == nil {
		first = ctx.Err()
	}
	return found, first
}

// adopt decides about objects that no manifest knows: one made of a segment holds
// records that nobody else may have, unless its runs are there already; a rewrite
// whose REWRITE no manifest tells is not needed, for its sources are all there.
func (r *restore) adopt(strange []object.Footer) {
	ends := map[uint32]int64{}
	note := func(f *object.Footer) {
		for _, run := range f.Runs {
			ends[run.Stream] = max(ends[run.Stream], run.Next)
		}
	}
	for _, f := range r.live {
		note(&f)
	}
	slices.SortFunc(strange, func(a, b object.Footer) int { return compareIDs(a.ID, b.ID) })
	for _, f := range strange {
		fresh := f.Segment != 0
		for _, run := range f.Runs {
			fresh = fresh && run.Base >= ends[run.Stream]
		}
		if !fresh {
			r.orphan = append(r.orphan, f.ID)
			continue
		}
		r.live[f.ID] = f
		r.out.Found++
		note(&f)
	}
}

// records writes the journal.
func (r *restore) records() error {
	later := r.o.Now().Add(15 * time.Minute) // an upload of the lost instance may still be under way
	for id, f := range r.live {
		e, footer := r.known[id], object.AppendFooter(nil, &f)
		notBefore := e.notBefore
		if notBefore.Before(later) {
			notBefore = later
		}
		moves := slices.DeleteFunc(slices.Clone(e.moves), func(m move) bool {
			_, ok := r.live[m.source]
			return !ok
		})
		rec := commitRecord(id, notBefore, footer)
		if f.Segment == 0 {
			rec = rewriteRecord(id, notBefore, moves, footer)
		}
		r.out.Records = append(r.out.Records, rec)
		r.out.Objects = append(r.out.Objects, f)
		r.out.Bytes += f.Data
	}
	for _, id := range r.orphan {
		r.out.Records = append(r.out.Records, destroyRecord(id, later))
	}
	for stream, t := range r.trims {
		r.out.Records = append(r.out.Records, trimRecord(stream, t.before, t.at))
	}
	slices.SortFunc(r.out.Objects, func(a, b object.Footer) int { return compareIDs(a.ID, b.ID) })
	r.out.Records = append(r.out.Records, epochRecord(r.epoch), manifestRecord(r.chains))
	return nil
}

// ForgetStream is the journal record that drops what the store holds of a stream
// whose topic is gone.
func ForgetStream(stream uint32, at time.Time) []byte { return trimRecord(stream, deletedTopic, at) }

// storeReader is an object as an io.ReaderAt.
type storeReader struct {
	ctx   context.Context
	store Objects
	name  string
}

// ReadAt implements io.ReaderAt.
func (s *storeReader) ReadAt(p []byte, at int64) (int, error) {
	in, err := s.store.Get(s.ctx, s.name, at, int64(len(p)))
	if err != nil {
		return 0, err
	}
	n, err := io.ReadFull(in, p)
	return n, errors.Join(err, in.Close())
}

// VerifyObject reads a whole object and checks header, footer, blocks and
// batches.
func VerifyObject(ctx context.Context, store Objects, name string) (object.Footer, error) {
	size, err := store.Head(ctx, name)
	if err != nil {
		return object.Footer{}, err
	}
	f, err := object.Verify(&storeReader{ctx, store, name}, size)
	if err == nil && objectName(f.ID) != name {
		err = fmt.Errorf("%w: it is %s under another name", ErrCorrupt, objectName(f.ID))
	}
	return f, err
}

// ObjectName is where an object lies in the store.
func ObjectName(id ObjectID) string { return objectName(id) }

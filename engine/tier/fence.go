package tier

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
	"github.com/streamkeeper-io/streamkeeper/engine/tier/objectstore"
)

// clusterObject says whose prefix it is; probes look at it too.
const clusterObject = "cluster.json"

// fenceCheckEvery is how often an instance looks whether a newer one took over.
const fenceCheckEvery = 30 * time.Second

// claim is the body of cluster.json (Token and Epoch empty) and of an epoch
// object.
type claim struct {
	Format  int    `json:"format"`
	Cluster string `json:"cluster"`
	Node    int32  `json:"node"`
	Epoch   uint64 `json:"epoch,omitempty"`
	Token   string `json:"token,omitempty"`
	At      string `json:"at"`
	Sum     uint32 `json:"crc32c"` // of the JSON with a zero sum: a damaged answer must not look like another cluster
}

// encode returns the claim as JSON with its sum.
func (c claim) encode() ([]byte, error) {
	c.Sum = 0
	b, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	c.Sum = object.Checksum(b)
	return json.Marshal(c)
}

// decodeClaim decodes and checks what encode made.
func decodeClaim(b []byte) (claim, error) {
	var c claim
	if err := json.Unmarshal(b, &c); err != nil {
		return c, err
	}
	again, err := c.encode()
	if err == nil && !bytes.Equal(again, b) {
		err = errors.New("its checksum does not match")
	}
	return c, err
}

const maxClaim = 4096

// fence owns the prefix: nothing is uploaded or deleted before it is
// established, or after a newer instance took it over. Safe for concurrent use.
type fence struct {
	t     *Tier
	ready chan struct{} // closed when established

	mu     sync.Mutex
	epoch  uint64
	err    error // why not established, or ErrFenced
	lost   bool
	unsure bool // the store hides missing objects (403): take-overs go unseen
}

func (f *fence) status() (lost bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lost, f.err
}

// number is the claimed epoch.
func (f *fence) number() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.epoch
}

func (f *fence) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// keep establishes the fence, trying until it succeeds or is refused for good,
// then watches it.
func (f *fence) keep(ctx context.Context) {
	for failures := 0; ; failures++ {
		err := f.establish(ctx)
		f.set(err)
		if err == nil {
			close(f.ready)
			break
		}
		if errors.Is(err, ErrForeign) || errors.Is(err, ErrUnfenced) {
			f.t.event(EventStoreFenced, err.Error(), nil)
			return
		}
		if !f.t.sleep(ctx, f.t.backoff(failures, 5*time.Second), callsWrite) {
			return
		}
	}
	ticker := time.NewTicker(fenceCheckEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = f.check(ctx) // kept in status
		}
	}
}

// establish makes sure that the prefix is this cluster's and claims the next
// epoch of this node.
func (f *fence) establish(ctx context.Context) error {
	if err := f.owner(ctx); err != nil {
		return err
	}
	next, err := f.nextEpoch(ctx)
	if err != nil {
		return err
	}
	token := fmt.Sprintf("%016x%016x", f.t.o.Random(), f.t.o.Random())
	for ; ; next++ {
		body, err := f.claim(next, token).encode()
		if err != nil {
			return err
		}
		err = f.t.calls.put(ctx, f.name(next), bytes.NewReader(body), int64(len(body)), PutOptions{IfAbsent: true})
		if errors.Is(err, objectstore.ErrExists) {
			continue // claimed meanwhile, or by a put of ours whose answer was lost: an epoch more does no harm
		}
		if err != nil {
			return fmt.Errorf("claiming epoch %d: %w", next, err)
		}
		if err := f.t.journal(ctx, epochRecord(next)); err != nil {
			return err
		}
		f.mu.Lock()
		f.epoch = next
		f.mu.Unlock()
		return f.trial(ctx, next, body)
	}
}

// trial repeats a put-if-absent that must fail.
func (f *fence) trial(ctx context.Context, epoch uint64, body []byte) error {
	err := f.t.calls.put(ctx, f.name(epoch), bytes.NewReader(body), int64(len(body)), PutOptions{IfAbsent: true})
	switch {
	case errors.Is(err, objectstore.ErrExists):
		return nil
	case err != nil:
		return fmt.Errorf("testing put-if-absent: %w", err)
	case f.t.o.RequireFence:
		return fmt.Errorf("%w: use a store that does, or do not require a fence", ErrUnfenced)
	}
	f.t.event(EventStoreUnfenced, "the object store ignores If-None-Match: *; take care that no other instance uses this prefix", nil)
	return nil
}

func (f *fence) claim(epoch uint64, token string) claim {
	return claim{Format: 1, Cluster: f.t.o.ClusterID, Node: f.t.o.NodeID, Epoch: epoch, Token: token, At: f.t.o.Clock.Now().UTC().Format(time.RFC3339)}
}

func (f *fence) name(epoch uint64) string {
	return fmt.Sprintf("epochs/node-%d/%010d", f.t.o.NodeID, epoch)
}

// owner checks cluster.json, or creates it.
func (f *fence) owner(ctx context.Context) error {
	for range 3 { // another node may create it between our get and put
		size, err := f.t.calls.head(ctx, &call{op: "head", name: clusterObject, limit: f.t.o.CallBase, hidden: true})
		switch objectstore.Classify(err) {
		case objectstore.ClassOK:
			return f.checkOwner(ctx, size)
		case objectstore.ClassNotFound, objectstore.ClassDenied: // some stores answer 403 for missing objects
		default:
			return fmt.Errorf("looking for %s: %w", clusterObject, err)
		}
		body, err := f.claim(0, "").encode()
		if err != nil {
			return err
		}
		err = f.t.calls.put(ctx, clusterObject, bytes.NewReader(body), int64(len(body)), PutOptions{IfAbsent: true})
		if err == nil {
			return nil
		}
		if !errors.Is(err, objectstore.ErrExists) {
			return fmt.Errorf("writing %s: %w", clusterObject, err)
		}
	}
	return fmt.Errorf("%s exists but cannot be read: allow s3:GetObject", clusterObject)
}

func (f *fence) checkOwner(ctx context.Context, size int64) error {
	if size > maxClaim {
		return fmt.Errorf("%w: its %s has %d bytes", ErrForeign, clusterObject, size)
	}
	b := make([]byte, size)
	if err := f.t.calls.get(ctx, clusterObject, 0, b); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("reading %s: %w", clusterObject, err)
	}
	c, err := decodeClaim(b)
	if err != nil {
		return fmt.Errorf("reading %s: it is damaged or of other software; choose another prefix if it stays so: %w", clusterObject, err)
	}
	if c.Cluster != f.t.o.ClusterID {
		return fmt.Errorf("%w: %s belongs to cluster %s, this is %s; choose another prefix, or restore that cluster", ErrForeign, clusterObject, c.Cluster, f.t.o.ClusterID)
	}
	return nil
}

// nextEpoch returns the first unclaimed epoch, starting from what the journal
// remembers. Claims are never deleted and have no gaps, so that doubling and
// halving steps find the end without listing.
func (f *fence) nextEpoch(ctx context.Context) (uint64, error) {
	low := f.t.state.lastEpoch() // claimed, or 0
	step := uint64(1)
	high := low + step
	for {
		taken, err := f.claimed(ctx, high)
		if err != nil {
			return 0, err
		}
		if !taken {
			break
		}
		low, step = high, 2*step
		high = low + step
	}
	for high-low > 1 {
		middle := low + (high-low)/2
		taken, err := f.claimed(ctx, middle)
		if err != nil {
			return 0, err
		}
		if taken {
			low = middle
		} else {
			high = middle
		}
	}
	return high, nil
}

func (f *fence) claimed(ctx context.Context, epoch uint64) (bool, error) {
	_, err := f.t.calls.head(ctx, &call{op: "head", name: f.name(epoch), limit: f.t.o.CallBase, hidden: true})
	switch objectstore.Classify(err) {
	case objectstore.ClassOK:
		return true, nil
	case objectstore.ClassNotFound:
		return false, nil
	case objectstore.ClassDenied:
		f.mu.Lock()
		f.unsure = true
		f.mu.Unlock()
		return false, nil
	}
	return false, fmt.Errorf("looking for %s: %w", f.name(epoch), err)
}

// check looks whether a newer instance claimed the next epoch. It returns nil
// only if none has.
func (f *fence) check(ctx context.Context) error {
	f.mu.Lock()
	epoch, lost, unsure := f.epoch, f.lost, f.unsure
	f.mu.Unlock()
	if lost {
		return ErrFenced
	}
	if unsure {
		return nil
	}
	taken, err := f.claimed(ctx, epoch+1)
	if err != nil || !taken {
		return err
	}
	f.mu.Lock()
	f.lost, f.err = true, ErrFenced
	f.mu.Unlock()
	f.t.event(EventStoreFenced, fmt.Sprintf("a newer instance of node %d claimed epoch %d: this one stops uploading and deleting", f.t.o.NodeID, epoch+1), map[string]any{"epoch": epoch + 1})
	return ErrFenced
}

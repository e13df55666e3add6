package engine_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/enginetest"
	"github.com/streamkeeper-io/streamkeeper/engine/tier"
)

// lastLook lets everything come to rest in the store. The bucket must then hold exactly what the journal calls live, and
// bring everything back without the disk.
func (c *crash) lastLook() error {
	if err := c.settle(); err != nil {
		return err
	}
	if err := c.checkBucket(); err != nil {
		return err
	}
	if c.rng.IntN(2) == 0 {
		return nil
	}
	if err := c.loseDisk(); err != nil {
		return err
	}
	store, err := c.store()
	if err != nil {
		return err
	}
	if _, err := engine.Restore(context.Background(), c.options(store), engine.RestoreOptions{}); err != nil {
		return fmt.Errorf("restoring from the bucket: %w", err)
	}
	if c.rng.IntN(2) == 0 { // what was restored is on disk
		c.begin()
		c.die("a restore")
	} else {
		c.after = c.fs
	}
	c.bury()
	if err := c.open(); err != nil {
		return fmt.Errorf("after a restore: %w", err)
	}
	c.verify()
	c.tally.count("work", "restored from the bucket", 1)
	if err := c.e.Close(context.Background()); err != nil {
		return fmt.Errorf("closing a restored engine: %w", err)
	}
	if err := c.check.Err(); err != nil {
		return fmt.Errorf("after a restore from the bucket: %w", err)
	}
	return nil
}

// loseDisk leaves the bucket alone.
func (c *crash) loseDisk() error {
	if c.objects == nil {
		return c.fs.RemoveAll(dataDir)
	}
	c.fs = enginetest.NewFS()
	return nil
}

// settle opens an engine that rewrites nothing of its own accord and waits until all records are in the store, the bucket
// says so, and nothing waits for its deletion; compacts what there is, and waits again. Lives are too short to be sure of a
// compaction.
func (c *crash) settle() error {
	store, err := c.store()
	if err != nil {
		return err
	}
	o := c.options(store)
	o.Tier.RewriteEvery, o.Tier.CompactEvery = time.Hour, time.Hour
	if c.e, err = engine.Open(context.Background(), o); err != nil {
		return err
	}
	for _, x := range c.transactors { // what is open would hide records from nobody who matters, but goes on
		if x.ending == 0 {
			c.txnStart(x)
		}
	}
	c.pending.Wait()
	if err := c.rest(); err != nil {
		return err
	}
	if err := c.e.CompactNow(); err != nil {
		return fmt.Errorf("compacting a settled engine: %w", err)
	}
	c.verify()
	if err := c.rest(); err != nil {
		return err
	}
	if err := c.e.Close(context.Background()); err != nil {
		return fmt.Errorf("closing a settled engine: %w", err)
	}
	return c.check.Err()
}

// rest waits until the engine is settled.
func (c *crash) rest() error {
	deadline := time.Now().Add(time.Minute)
	for !c.settled() {
		if time.Now().After(deadline) {
			s := c.e.Stats()
			return fmt.Errorf("after a minute %d objects wait for their deletion, %d facts are untold, offload is at %v", s.Orphans, s.Untold, c.cold())
		}
		c.leap()
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

func (c *crash) settled() bool {
	s := c.e.Stats()
	return s.Orphans == 0 && s.Untold == 0 && len(c.cold()) == 0
}

// cold returns the partitions that are not all in the store.
func (c *crash) cold() (missing []string) {
	for _, t := range c.e.Topics() {
		for i := range t.Partitions {
			p, err := c.e.Partition(t.Name, i)
			if err == nil && p.LogStart() < p.HighWatermark() && p.TieredEnd() < p.HighWatermark() {
				missing = append(missing, fmt.Sprintf("%s/%d %d of %d", t.Name, i, p.TieredEnd(), p.HighWatermark()))
			}
		}
	}
	return missing
}

// checkBucket compares the bucket with the journal.
func (c *crash) checkBucket() error {
	store, err := c.store()
	if err != nil {
		return err
	}
	x, err := engine.OpenOffline(c.options(store))
	if err != nil {
		return err
	}
	live := x.LiveObjects()
	v, err := x.Verify(context.Background(), nil)
	if err := x.Close(); err != nil {
		return err
	}
	if err != nil || v.ProblemCount > 0 {
		return fmt.Errorf("verify found %v, %v", v.Problems, err)
	}
	there, err := names(store)
	if err != nil {
		return err
	}
	if !slices.Equal(live, there) {
		return fmt.Errorf("the bucket is not what the journal says: %s", cmp.Diff(live, there))
	}
	c.tally.count("work", "objects live at the end", len(live))
	return nil
}

// names are the data objects of a bucket.
func names(store tier.Objects) (all []string, err error) {
	err = store.(tier.Lister).List(context.Background(), "objects/", func(name string, _ int64) error {
		all = append(all, name)
		return nil
	})
	return all, err
}

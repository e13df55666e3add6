package engine_test

import (
	"context"
	"fmt"
)

func (c *crash) createTopic() {
	if c.topics > 5 {
		return
	}
	c.topics++
	name, configs := fmt.Sprintf("t%d", c.topics), map[string]string{"retention.ms": "-1"} // their records are of 1970
	if c.topics%3 == 0 {
		name = fmt.Sprintf("k%d", c.topics)
		configs = map[string]string{"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "1"}
	}
	t, err := c.e.CreateTopic(context.Background(), name, 1+c.rng.Int32N(3), configs)
	if c.fs.Dead() {
		return
	}
	if err != nil {
		c.fail("create topic", err)
		return
	}
	c.check.Created(t.ID.String())
}

func (c *crash) deleteTopic() {
	t, ok := c.pickOf(c.rng.IntN(4) == 0)
	if !ok || c.topics < 3 {
		return
	}
	c.check.Deleting(t.ID.String())
	err := c.e.DeleteTopic(context.Background(), t.Name)
	if c.fs.Dead() {
		return
	}
	if err != nil {
		c.fail("delete topic", err)
		return
	}
	c.check.Deleted(t.ID.String())
	c.tally.count("work", "topics deleted", 1)
}

func (c *crash) deleteRecords() {
	t, ok := c.pickOf(c.rng.IntN(4) == 0)
	if !ok {
		return
	}
	index, p, ok := c.pickPartition(t)
	if !ok {
		return
	}
	to := p.LogStart() + c.rng.Int64N(max((p.HighWatermark()-p.LogStart())/2, 1))
	c.check.LogStart(partKey(t, index), to, false)
	_, err := p.DeleteRecords(context.Background(), to)
	if c.fs.Dead() {
		return
	}
	if err != nil {
		c.fail("delete records", err)
		return
	}
	c.check.LogStart(partKey(t, index), to, true)
	c.tally.count("work", "records deleted", 1)
}

package engine_test

import (
	"fmt"
	"strconv"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
)

func (c *crash) commitOffsets() {
	group := fmt.Sprintf("g%d", c.rng.IntN(3))
	k := engine.OffsetKey{Topic: "t1", Partition: c.rng.Int32N(2)}
	c.serial++
	n := int64(c.serial)
	key := fmt.Sprintf("offset/%s/%d", group, k.Partition)
	c.check.Committing(key, n)
	fs := c.fs
	c.pending.Add(1)
	c.e.CommitOffsets(group, map[engine.OffsetKey]engine.CommittedOffset{k: {Offset: n, LeaderEpoch: -1, CommittedAt: time.UnixMilli(n)}}, func(err error) {
		defer c.pending.Done()
		if fs.Dead() {
			return
		}
		if err != nil {
			c.fail("commit", err)
			return
		}
		c.check.Committed(key, n)
		c.tally.count("work", "offsets committed", 1)
	})
}

func (c *crash) saveGroup() {
	c.serial++
	n := int64(c.serial)
	c.check.Committing("group/g", n)
	fs := c.fs
	c.pending.Add(1)
	c.e.SaveGroup("g", strconv.AppendInt(nil, n, 10), func(err error) {
		defer c.pending.Done()
		if fs.Dead() {
			return
		}
		if err != nil {
			c.fail("save group", err)
			return
		}
		c.check.Committed("group/g", n)
		c.tally.count("work", "group commits", 1)
	})
}

// The two records of a KIP-848 group that are always saved together.
const (
	epochRecord  = "\x00\x03\x00\x01h"
	memberRecord = "\x00\x05\x00\x01h\x00\x01m"
)

func (c *crash) saveRecords() {
	c.serial++
	n := int64(c.serial)
	c.check.Committing("records/h", n)
	fs := c.fs
	c.pending.Add(1)
	v := strconv.AppendInt(nil, n, 10)
	c.e.SaveGroupRecords("h", []engine.GroupRecord{{Key: []byte(epochRecord), Value: v}, {Key: []byte(memberRecord), Value: v}}, func(err error) {
		defer c.pending.Done()
		if fs.Dead() {
			return
		}
		if err != nil {
			c.fail("save group records", err)
			return
		}
		c.check.Committed("records/h", n)
	})
}

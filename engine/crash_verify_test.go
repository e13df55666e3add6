package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
)

func (c *crash) readSome() {
	t, ok := c.pickOf(c.rng.IntN(4) == 0)
	if !ok {
		return
	}
	index := c.rng.Int32N(t.Partitions)
	p, err := c.e.Partition(t.Name, index)
	if err != nil {
		return
	}
	start, hw := p.LogStart(), p.HighWatermark()
	if hw <= start {
		return
	}
	r, err := p.Read(context.Background(), start+c.rng.Int64N(hw-start), 8<<10)
	if err != nil {
		if !errors.Is(err, engine.ErrOffsetOutOfRange) {
			c.fail("read", err)
		}
		return
	}
	raw := join(r.Bytes)
	r.Release()
	switch {
	case c.fs.Dead():
	case keyedTopic(t.Name):
		c.keyed.Read(partKey(t, index), raw)
	default:
		c.check.Read(partKey(t, index), raw)
	}
}

func join(pieces [][]byte) (raw []byte) {
	for _, b := range pieces {
		raw = append(raw, b...)
	}
	return raw
}

// verify reads everything and compares it with the promises.
func (c *crash) verify() {
	exist := map[string]bool{}
	for _, t := range c.e.Topics() {
		exist[t.ID.String()] = true
		for i := range t.Partitions {
			c.verifyPartition(t, i)
		}
	}
	c.check.Topics(exist)
	for g := range 3 {
		group := fmt.Sprintf("g%d", g)
		got := c.e.CommittedOffsets(group)
		for i := range int32(2) {
			n := int64(-1)
			if o, ok := got[engine.OffsetKey{Topic: "t1", Partition: i}]; ok {
				n = o.Offset
			}
			c.check.Fetched(fmt.Sprintf("offset/%s/%d", group, i), n)
		}
	}
	n := int64(-1)
	if v, ok := c.e.LoadGroups()["g"]; ok {
		n, _ = strconv.ParseInt(string(v), 10, 64)
	}
	c.check.Fetched("group/g", n)
	n = -1
	records := c.e.LoadGroupRecords("h")
	if string(records[epochRecord]) != string(records[memberRecord]) {
		c.fail("read group records", fmt.Errorf("saved together, came back apart: %q", records))
	}
	if v, ok := records[epochRecord]; ok {
		n, _ = strconv.ParseInt(string(v), 10, 64)
	}
	c.check.Fetched("records/h", n)
	c.verifyTransactions()
	// Whoever was in flight retries, and must end up in the log exactly once.
	for _, p := range c.producers {
		if p.inFlight {
			c.send(p)
		}
	}
	c.pending.Wait()
}

func (c *crash) verifyPartition(t engine.Topic, index int32) {
	p, err := c.e.Partition(t.Name, index)
	if err != nil {
		c.check.Failf("partition %s/%d: %v", t.Name, index, err)
		return
	}
	start, hw := p.LogStart(), p.HighWatermark()
	var raw []byte
	for offset := start; offset < hw; {
		ready := make(chan struct{})
		r, err := p.Read(context.Background(), offset, 32<<10)
		if err != nil {
			c.fail(fmt.Sprintf("reading %s/%d at %d of %d..%d", t.Name, index, offset, start, hw), err)
			return
		}
		if r.Pending {
			p.Watch(offset, func() { close(ready) })
			select {
			case <-ready:
			case <-time.After(20 * time.Second):
				c.check.Failf("cold read of %s/%d at %d never became ready", t.Name, index, offset)
				return
			}
			continue
		}
		raw = append(raw, join(r.Bytes)...)
		r.Release()
		if r.NextOffset <= offset {
			c.check.Failf("reading %s/%d at %d got nowhere (log %d to %d)", t.Name, index, offset, start, hw)
			return
		}
		offset = r.NextOffset
	}
	if t.Name == engine.TransactionsTopic {
		c.check.MayRepeat(partKey(t, index))
	}
	if t.Internal {
		return // compacted: batches shrink; what they say is checked as commits and groups
	}
	if keyedTopic(t.Name) {
		c.check.Started(partKey(t, index), start)
		c.tally.count("work", "records compacted away", c.keyed.Whole(partKey(t, index), start, hw, raw))
		return
	}
	c.check.Whole(partKey(t, index), start, hw, raw)
}

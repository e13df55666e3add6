package engine_test

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
)

// producer is an idempotent producer of one partition with at most one batch in flight.
type producer struct {
	id    int64
	topic string
	tid   engine.TopicID
	index int32

	mu       sync.Mutex
	seq      int32
	batch    []byte // in flight, or the last one answered
	records  int32
	inFlight bool // sent, outcome unknown
	base     int64
}

func (c *crash) pick() (engine.Topic, bool) { return c.pickOf(false) }

// pickPartition returns one of a topic's partitions; that there is none is a violation.
func (c *crash) pickPartition(t engine.Topic) (index int32, p *engine.Partition, ok bool) {
	index = c.rng.Int32N(t.Partitions)
	p, err := c.e.Partition(t.Name, index)
	if err != nil {
		c.fail("partition", err)
	}
	return index, p, err == nil
}

// pickOf returns a topic of ours, compacted or not.
func (c *crash) pickOf(compacted bool) (engine.Topic, bool) {
	var user []engine.Topic
	for _, t := range c.e.Topics() {
		if !t.Internal && keyedTopic(t.Name) == compacted {
			user = append(user, t)
		}
	}
	if len(user) == 0 {
		return engine.Topic{}, false
	}
	return user[c.rng.IntN(len(user))], true
}

func partKey(t engine.Topic, index int32) string { return fmt.Sprintf("%s/%d", t.ID, index) }

// batch makes a batch nobody made before; prefix goes before the keys.
func (c *crash) batch(p batch.Producer, prefix string) []byte {
	var rs []batch.Record
	for range 1 + c.rng.IntN(3) {
		c.serial++
		v := make([]byte, 20+c.rng.IntN(1500))
		for i := range v {
			v[i] = byte(c.rng.Uint32())
		}
		rs = append(rs, batch.Record{Timestamp: int64(c.serial), Key: fmt.Appendf(nil, "%s%d", prefix, c.serial), Value: v})
	}
	return batch.Append(nil, p, rs)
}

func (c *crash) produce() {
	t, ok := c.pick()
	if !ok {
		c.createTopic()
		return
	}
	index, p, ok := c.pickPartition(t)
	if !ok {
		return
	}
	b := c.batch(batch.NoProducer, "")
	key, acks := partKey(t, index), int16(-1)
	if c.rng.IntN(4) == 0 {
		acks = 1
	}
	fs, stopped := c.fs, c.stopped.Load()
	c.pending.Add(1)
	c.appendTo(p, b, acks, func(a engine.Appended) {
		defer c.pending.Done()
		visible := p.HighWatermark() > a.BaseOffset
		if fs.Dead() {
			return
		}
		switch {
		case a.Err != nil:
			c.fail("append", a.Err)
		case stopped:
			c.check.Failf("%s: an append was acknowledged after the engine had said that it failed", key)
		case acks == -1:
			if !visible {
				c.check.Failf("%s: offset %d was acknowledged before it was visible", key, a.BaseOffset)
			}
			c.check.Acked(key, a.BaseOffset, batch.Header(b))
		}
	})
}

// appendTo appends in each of the ways there are: handed over to the log, alone or with what follows, or written at once.
func (c *crash) appendTo(p *engine.Partition, b []byte, acks int16, done func(engine.Appended)) {
	switch c.serial % 4 {
	case 0:
		p.AppendLater(b, acks, done)
		c.e.Commit(true)
	case 1:
		p.AppendLater(b, acks, done)
		c.e.Commit(false)
	default:
		p.Append(b, acks, done)
	}
}

// keyedTopic tells compacted topics by their names.
func keyedTopic(name string) bool { return strings.HasPrefix(name, "k") }

// produceKeyed writes a few records of a few keys to a compacted topic, tombstones among them.
func (c *crash) produceKeyed() {
	t, ok := c.pickOf(true)
	if !ok {
		return
	}
	index, p, ok := c.pickPartition(t)
	if !ok {
		return
	}
	var rs []batch.Record
	for range 1 + c.rng.IntN(3) {
		c.serial++
		r := batch.Record{Timestamp: int64(c.serial), Key: fmt.Appendf(nil, "key-%d", c.rng.IntN(8))}
		if c.rng.IntN(5) > 0 {
			r.Value = append(fmt.Appendf(nil, "%d ", c.serial), make([]byte, c.rng.IntN(500))...)
		}
		rs = append(rs, r)
	}
	b := batch.Append(nil, batch.NoProducer, rs)
	key, fs := partKey(t, index), c.fs
	number := c.keyed.Sending(key, b)
	c.pending.Add(1)
	p.Append(b, -1, func(a engine.Appended) {
		defer c.pending.Done()
		switch {
		case fs.Dead():
		case a.Err != nil:
			c.fail("append", a.Err)
		default:
			c.keyed.Acked(key, a.BaseOffset, number, b)
		}
	})
}

func (c *crash) produceIdempotent() {
	var p *producer
	if len(c.producers) > 0 && c.rng.IntN(4) > 0 {
		p = c.producers[c.rng.IntN(len(c.producers))]
	} else if t, ok := c.pick(); ok && len(c.producers) < 6 {
		id, ok := c.allocate()
		if !ok {
			return
		}
		p = &producer{id: id, topic: t.Name, tid: t.ID, index: c.rng.Int32N(t.Partitions)}
		c.producers = append(c.producers, p)
	} else {
		return
	}
	c.send(p)
}

// send sends the producer's next batch, or repeats the last one: always after a crash left it open, sometimes for fun.
func (c *crash) send(p *producer) {
	t, ok := c.e.Topic(p.topic)
	part, err := c.e.Partition(p.topic, p.index)
	if !ok || err != nil || t.ID != p.tid {
		return
	}
	p.mu.Lock()
	retry := p.inFlight || p.batch != nil && c.rng.IntN(5) == 0
	repeat := retry && !p.inFlight
	if !retry {
		if p.batch != nil {
			p.seq += p.records
		}
		p.batch = c.batch(batch.Producer{ID: p.id, Epoch: 0, Sequence: p.seq}, "")
		p.records = batch.Header(p.batch).RecordCount()
		p.inFlight = true
	}
	b := append([]byte(nil), p.batch...)
	want := p.base
	p.mu.Unlock()
	key, fs := partKey(t, p.index), c.fs
	c.pending.Add(1)
	c.appendTo(part, b, -1, func(a engine.Appended) {
		defer c.pending.Done()
		if fs.Dead() {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		switch {
		case a.Err != nil:
			c.fail(fmt.Sprintf("idempotent append %s pid %d seq %d", key, p.id, batch.Header(b).BaseSequence()), a.Err)
		case repeat && a.BaseOffset != want:
			c.check.Failf("%s: a repeated batch was answered with offset %d, it has %d", key, a.BaseOffset, want)
		default:
			c.check.Acked(key, a.BaseOffset, batch.Header(b))
			if batch.Header(p.batch).BaseSequence() == batch.Header(b).BaseSequence() {
				p.inFlight, p.base = false, a.BaseOffset
			}
		}
	})
}

func (c *crash) allocate() (int64, bool) {
	id, err := c.e.AllocateProducerID(context.Background())
	if c.fs.Dead() || err != nil {
		if err != nil {
			c.fail("allocate producer id", err)
		}
		return 0, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pids[id] {
		c.check.Failf("producer id %d was given twice", id)
	}
	c.pids[id] = true
	return id, true
}

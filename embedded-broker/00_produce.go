package broker

// Produce, key 0, versions 0–13. Deviations: versions 0–2 are announced, because librdkafka stops compressing without
// (KAFKA-18659), and answered with UNSUPPORTED_VERSION.

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func produceAPI() api {
	return api{key: keyProduce, min: 0, max: 13, handle: handleProduce, raw: true, maxFrame: produceMaxFrame}
}

const produceFirstServed = 3 // older versions carry message formats 0 and 1

// produceCall is one Produce request and its answer in the making; pooled with its slices. It replies when the engine
// has told the outcome of the last partition.
type produceCall struct {
	wire
	b      *Broker
	r      *request
	reply  func(kmsg.Response)
	acks   int16
	topics []produceTopic
	// transactionalID is "" when the client has none.
	transactionalID string
	parts           []*producePart
	waiting         atomic.Int32
	enqueued        time.Time
	timeout         time.Duration
	waited          time.Duration // for room in the local log
	throttle        int32
	slowed          bool // names a topic whose producers are slowed down while the log is full
	failed          atomic.Bool
}

type produceTopic struct {
	name    string
	id      engine.TopicID
	metrics *topicMetrics
	from    int // its partitions are parts[from:to]
	to      int
}

// producePart is one partition of a produceCall. done is bound once, so that the hot path allocates no closure.
type producePart struct {
	call    *produceCall
	metrics *topicMetrics
	index   int32
	code    int16
	message string
	keyless []int32 // records refused for want of a key
	records []byte
	count   int32
	base    int64
	appTime int64
	start   int64
	done    func(engine.Appended)
}

const partBytes = 200 // memory of one producePart and its place in lists

var producePool = sync.Pool{New: func() any { return &produceCall{} }}

func handleProduce(b *Broker, r *request, reply func(kmsg.Response)) {
	c := producePool.Get().(*produceCall)
	c.wire = wire{key: keyProduce, version: r.version, flexible: 9}
	c.b, c.r, c.reply = b, r, reply
	c.throttle = b.throttleMillis() // asked here: the engine is not called from its own goroutines
	c.failed.Store(false)
	c.waited, c.slowed = 0, false
	err := c.parse(r.raw)
	if err != nil {
		r.conn.close(connLocal, err.Error())
		reply(nil)
		return
	}
	c.waitForRoom()
	c.waiting.Store(1)
	for i := range c.topics {
		c.start(&c.topics[i])
	}
	c.enqueued = time.Now()
	b.engine.Commit(r.conn.alone())
	c.finishOne()
}

// parse reads the request. Record bytes stay in the frame.
func (c *produceCall) parse(b []byte) error {
	d := decoder{walker{b: b, version: c.version, flexible: c.version >= c.flexible}}
	c.topics, c.parts, c.transactionalID = c.topics[:0], c.parts[:0], ""
	if c.version >= 3 {
		c.transactionalID = string(d.bytes(2)) // no allocation when it is empty
	}
	c.acks = d.int16()
	c.timeout = time.Duration(d.int32()) * time.Millisecond
	n := d.array(3)
	if n > maxParts {
		return fmt.Errorf("produce version %d: more than %d topics", c.version, maxParts)
	}
	for range n {
		t := produceTopic{from: len(c.parts)}
		if c.version >= 13 {
			t.id = d.uuid()
		} else {
			t.name, t.metrics = c.b.telemetry.intern(d.text())
		}
		parts := d.array(6)
		if len(c.parts)+parts > maxParts {
			return fmt.Errorf("produce version %d: more than %d partitions", c.version, maxParts)
		}
		if err := c.r.lease.take(c.b.ctx, int64(parts)*partBytes); err != nil {
			return err
		}
		for range parts {
			p := c.part()
			p.index = d.int32()
			p.records = d.bytes(4)
			d.endStruct()
			if d.bad {
				break
			}
		}
		d.endStruct()
		if d.bad {
			break
		}
		t.to = len(c.parts)
		c.topics = append(c.topics, t)
	}
	d.endStruct()
	if d.bad || len(d.b) > 0 {
		return fmt.Errorf("produce version %d: the body does not fit its frame", c.version)
	}
	return nil
}

// part adds a cleared partition, reusing one of an earlier request when there is one.
func (c *produceCall) part() *producePart {
	if len(c.parts) < cap(c.parts) {
		c.parts = c.parts[:len(c.parts)+1]
		if p := c.parts[len(c.parts)-1]; p != nil {
			*p = producePart{call: c, done: p.done, base: -1, appTime: -1, start: -1}
			return p
		}
		c.parts = c.parts[:len(c.parts)-1]
	}
	p := &producePart{call: c, base: -1, appTime: -1, start: -1}
	p.done = p.appended
	c.parts = append(c.parts, p)
	return p
}

// start checks a topic's partitions and hands them to the engine.
func (c *produceCall) start(t *produceTopic) {
	code := int16(0)
	var topic engine.Topic
	switch ok := false; {
	case c.version < produceFirstServed:
		code = codeUnsupportedVersion
	case c.acks < -1 || c.acks > 1:
		code = codeInvalidRequiredAcks
	case c.version >= 13:
		if topic, ok = c.b.engine.TopicByID(t.id); !ok {
			code = codeUnknownTopicID
		} else {
			t.name, t.metrics = topic.Name, c.b.telemetry.topic(topic.Name)
		}
	default:
		if topic, ok = c.b.engine.Topic(t.name); !ok {
			code = codeUnknownTopic
		} else if t.metrics == nil {
			t.metrics = c.b.telemetry.topic(topic.Name)
		}
	}
	if code == 0 && topic.Internal {
		code = codeInvalidTopic
	}
	if c.throttle > 0 && code == 0 && !failsFast(topic) {
		c.slowed = true
	}
	if measuring && t.metrics != nil && code == 0 {
		t.metrics.produceRequests.Add(1)
		t.metrics.producer(c.r.conn, c.r.received)
	}
	for _, p := range c.parts[t.from:t.to] {
		p.metrics = t.metrics
		if code != 0 {
			p.fail(code, "")
			continue
		}
		p.append(topic)
	}
}

// fail records an outcome before the engine saw the records.
func (p *producePart) fail(code int16, message string) {
	p.code, p.message = code, message
	p.call.failed.Store(true)
	if p.metrics != nil {
		p.metrics.produceError(code)
	}
}

// appended takes the engine's outcome; it runs on an engine goroutine.
func (p *producePart) appended(a engine.Appended) {
	if a.Err != nil {
		p.fail(codeOf(a.Err), a.Err.Error())
		if errors.Is(a.Err, engine.ErrThrottled) {
			p.call.b.telemetry.noRoom(a.Err)
			if p.call.throttle == 0 {
				p.call.b.cached.asked.Store(0) // look again before the next request
			}
		}
	} else {
		p.base, p.appTime, p.start = a.BaseOffset, a.LogAppendTime, a.LogStart
		if m := p.metrics; measuring && m != nil {
			m.messagesIn.Add(int64(p.count))
			m.bytesIn.Add(int64(len(p.records)))
		}
	}
	p.call.finishOne()
}

// finishOne answers when it was the last.
func (c *produceCall) finishOne() {
	if c.waiting.Add(-1) > 0 {
		return
	}
	r, reply := c.r, c.reply
	t := c.b.telemetry
	t.phase(keyProduce, phaseAppend, c.enqueued.Sub(r.begun)-c.waited)
	t.phase(keyProduce, phaseSync, time.Since(c.enqueued))
	if !c.slowed {
		c.throttle = 0 // who would rather drop records than wait is not made to wait
	}
	if c.throttle > 0 {
		d := time.Duration(c.throttle) * time.Millisecond
		r.conn.mute(d)
		t.throttled(r.clientID, "store", d)
	}
	if c.acks != 0 {
		reply(c)
		return
	}
	if c.failed.Load() {
		// As Kafka does: without acknowledgements, closing is the only way to tell.
		go r.conn.close(connLocal, "a produce with acks=0 failed: "+c.firstError())
	}
	c.countErrors()
	reply(nil)
	c.discard()
}

func (c *produceCall) firstError() string {
	for _, p := range c.parts {
		if p.code != 0 {
			return codeName(p.code) + " " + p.message
		}
	}
	return ""
}

func (c *produceCall) countErrors() {
	for _, p := range c.parts {
		c.b.telemetry.errorCode(keyProduce, p.code)
	}
}

// discard implements discarder: the call goes back to the pool.
func (c *produceCall) discard() {
	for _, p := range c.parts {
		p.records, p.metrics, p.keyless, p.message = nil, nil, nil, ""
	}
	c.r, c.reply = nil, nil
	producePool.Put(c)
}

// AppendTo implements kmsg.Response.
func (c *produceCall) AppendTo(b []byte) []byte {
	v, flex := c.version, c.IsFlexible()
	c.countErrors()
	b = appendArrayLen(b, flex, len(c.topics))
	for i := range c.topics {
		t := &c.topics[i]
		if v >= 13 {
			b = append(b, t.id[:]...)
		} else {
			b = appendString(b, flex, t.name)
		}
		b = appendArrayLen(b, flex, t.to-t.from)
		for _, p := range c.parts[t.from:t.to] {
			b = p.appendTo(b, v, flex)
		}
		b = appendTags(b, flex)
	}
	if v >= 1 {
		b = appendInt32(b, c.throttle)
	}
	return appendTags(b, flex)
}

func (p *producePart) appendTo(b []byte, v int16, flex bool) []byte {
	b = appendInt32(b, p.index)
	b = appendInt16(b, p.code)
	b = appendInt64(b, p.base)
	if v >= 2 {
		b = appendInt64(b, p.appTime)
	}
	if v >= 5 {
		b = appendInt64(b, p.start)
	}
	if v >= 8 {
		b = appendArrayLen(b, flex, len(p.keyless))
		for _, i := range p.keyless {
			b = appendInt32(b, i)
			b = appendNullableString(b, flex, "no key")
			b = appendTags(b, flex)
		}
		b = appendNullableString(b, flex, p.message)
	}
	return appendTags(b, flex)
}

const defaultMaxMessage = 1048588 // Kafka's default of max.message.bytes

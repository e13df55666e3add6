package broker

// Fetch, key 1, versions 4–18. Deviations: a replica id is ignored.

import (
	"fmt"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func fetchAPI() api {
	return api{key: keyFetch, min: 4, max: 18, handle: handleFetch, raw: true}
}

// fetchRequest is a decoded Fetch.
type fetchRequest struct {
	maxWait, minBytes, maxBytes int32
	committed                   bool // read_committed
	session                     int32
	epoch                       int32
	parts                       []*askedPart
	forgotten                   []fetchKey
}

const (
	maxParts   = 100_000 // partitions in one Produce or Fetch
	askedBytes = 160     // memory of one askedPart and its place in lists
)

// fetchKey names a partition as the client did: by id from version 13 on, else by name.
type fetchKey struct {
	name  string
	id    engine.TopicID
	index int32
}

// askedPart is one partition asked for; a session keeps it from request to request.
type askedPart struct {
	fetchKey
	topic     string // its name, known once it was resolved
	metrics   *topicMetrics
	offset    int64
	epoch     int32 // the client's leader epoch, -1 when unknown
	lastEpoch int32 // of the last record it has, -1 when it does not check
	maxBytes  int32
	pending   bool  // cold: the engine is fetching it
	sentHW    int64 // what the session's client was told last; -1 = nothing yet
	sentStart int64
}

// fetchPart is one partition answered.
type fetchPart struct {
	*askedPart
	code       int16
	hw, start  int64
	stable     int64 // last stable offset
	bytes      int
	read       engine.Read
	diverging  bool
	divergeAt  int32
	divergeEnd int64
}

// parseFetch reads a request; topic names are interned.
func (b *Broker) parseFetch(body []byte, version int16, reserve func(int64) error) (*fetchRequest, error) {
	d := decoder{walker{b: body, version: version, flexible: version >= 12}}
	if err := reserve(min(int64(len(body)/16), maxParts) * askedBytes); err != nil {
		return nil, err
	}
	r := &fetchRequest{session: 0, epoch: -1}
	if version <= 14 {
		d.int32() // replica id
	}
	r.maxWait, r.minBytes, r.maxBytes = d.int32(), d.int32(), d.int32()
	r.committed = d.int8() == 1
	if version >= 7 {
		r.session, r.epoch = d.int32(), d.int32()
	}
	for range d.array(3) {
		if d.bad {
			break
		}
		b.parseFetchTopic(&d, r)
	}
	if version >= 7 {
		for range d.array(3) {
			if d.bad {
				break
			}
			b.parseForgotten(&d, r)
		}
	}
	if version >= 11 {
		d.bytes(2) // rack: there is one
	}
	d.endStruct()
	if d.bad || len(d.b) > 0 {
		return nil, fmt.Errorf("fetch version %d: the body does not fit its frame", version)
	}
	return r, nil
}

func (b *Broker) parseKey(d *decoder) (k fetchKey) {
	if d.version >= 13 {
		k.id = d.uuid()
	} else {
		k.name, _ = b.telemetry.intern(d.text())
	}
	return k
}

func (b *Broker) parseFetchTopic(d *decoder, r *fetchRequest) {
	key := b.parseKey(d)
	n := d.array(16)
	if d.bad || len(r.parts)+n > maxParts {
		d.bad = true
		return
	}
	some := make([]askedPart, n)
	for i := range some {
		p := &some[i]
		*p = askedPart{fetchKey: key, epoch: -1, lastEpoch: -1, sentHW: -1, sentStart: -1}
		p.index = d.int32()
		if d.version >= 9 {
			p.epoch = d.int32()
		}
		p.offset = d.int64()
		if d.version >= 12 {
			p.lastEpoch = d.int32()
		}
		if d.version >= 5 {
			d.int64() // the follower's log start
		}
		p.maxBytes = d.int32()
		d.endStruct()
		if d.bad {
			return
		}
		r.parts = append(r.parts, p)
	}
	d.endStruct()
}

func (b *Broker) parseForgotten(d *decoder, r *fetchRequest) {
	key := b.parseKey(d)
	for range d.array(4) {
		key.index = d.int32()
		if d.bad {
			return
		}
		r.forgotten = append(r.forgotten, key)
	}
	d.endStruct()
}

// fetchResponse is the answer to a Fetch. Its records are slices of engine memory that go out as they lie.
type fetchResponse struct {
	wire
	code      int16
	session   int32
	throttle  int32
	committed bool
	parts     []fetchPart // those answered, partitions of a topic together
	pinned    int64
	b         *Broker
}

func newFetchResponse(b *Broker, version int16) *fetchResponse {
	return &fetchResponse{wire: wire{key: keyFetch, version: version, flexible: 12}, b: b}
}

// payload implements vectored.
func (f *fetchResponse) payload() int64 { return f.pinned }

// discard implements vectored: the engine's memory goes back.
func (f *fetchResponse) discard() {
	for i := range f.parts {
		f.parts[i].read.Release()
	}
	f.b.budget.pinned.used.Add(-f.pinned)
	f.parts, f.pinned = nil, 0
}

// AppendTo implements kmsg.Response; the connection prefers pieces.
func (f *fetchResponse) AppendTo(b []byte) []byte {
	at := len(b)
	ps, files, _ := f.pieces(nil)
	if files {
		panic("broker: records in files are for a connection to send")
	}
	b = b[:at]
	for _, p := range ps {
		b = append(b, p.b...)
	}
	return b
}

// pieces implements vectored: the fixed parts are encoded into dst, the records between them stay where they are.
func (f *fetchResponse) pieces(dst []byte) (ps []piece, files bool, grown []byte) {
	dst, cuts := f.encode(dst)
	n := 1
	for _, c := range cuts {
		n += 1 + len(c.read.Bytes) + len(c.read.Files)
	}
	ps = make([]piece, 0, n)
	from := 0
	for _, c := range cuts {
		ps = append(ps, piece{b: dst[from:c.at]})
		for _, b := range c.read.Bytes {
			ps = append(ps, piece{b: b})
		}
		for _, file := range c.read.Files {
			ps = append(ps, piece{file: file})
			files = true
		}
		from = c.at
	}
	return append(ps, piece{b: dst[from:]}), files, dst
}

// fetchCut is where records belong between the fixed parts.
type fetchCut struct {
	at   int
	read *engine.Read
}

func (f *fetchResponse) encode(b []byte) ([]byte, []fetchCut) {
	v, flex := f.version, f.IsFlexible()
	var cuts []fetchCut
	b = appendInt32(b, f.throttle)
	if v >= 7 {
		b = appendInt16(b, f.code)
		b = appendInt32(b, f.session)
	}
	b = appendArrayLen(b, flex, f.topicCount())
	for i := 0; i < len(f.parts); {
		end := f.topicEnd(i)
		if v >= 13 {
			b = append(b, f.parts[i].id[:]...)
		} else {
			b = appendString(b, flex, f.parts[i].name)
		}
		b = appendArrayLen(b, flex, end-i)
		for ; i < end; i++ {
			p := &f.parts[i]
			b = p.encodeHead(b, v, flex, f.committed)
			if p.bytes > 0 {
				cuts = append(cuts, fetchCut{len(b), &p.read})
			}
			b = p.encodeTags(b, flex)
		}
		b = appendTags(b, flex)
	}
	return appendTags(b, flex), cuts
}

// topicEnd is the index after the last partition of the topic at i.
func (f *fetchResponse) topicEnd(i int) int {
	j := i + 1
	for j < len(f.parts) && f.parts[j].name == f.parts[i].name && f.parts[j].id == f.parts[i].id {
		j++
	}
	return j
}

func (f *fetchResponse) topicCount() int {
	n := 0
	for i := 0; i < len(f.parts); i = f.topicEnd(i) {
		n++
	}
	return n
}

func (p *fetchPart) encodeHead(b []byte, v int16, flex, committed bool) []byte {
	b = appendInt32(b, p.index)
	b = appendInt16(b, p.code)
	b = appendInt64(b, p.hw)
	b = appendInt64(b, p.stable)
	if v >= 5 {
		b = appendInt64(b, p.start)
	}
	switch {
	case committed:
		b = appendArrayLen(b, flex, len(p.read.Aborted))
		for _, a := range p.read.Aborted {
			b = appendInt64(b, a.Producer)
			b = appendInt64(b, a.First)
			b = appendTags(b, flex)
		}
	case flex:
		b = append(b, 0)
	default:
		b = appendInt32(b, -1)
	}
	if v >= 11 {
		b = appendInt32(b, -1) // preferred read replica
	}
	return appendArrayLen(b, flex, p.bytes)
}

func (p *fetchPart) encodeTags(b []byte, flex bool) []byte {
	if !flex || !p.diverging {
		return appendTags(b, flex)
	}
	b = append(b, 1, 0, 13) // one tag, number 0, 13 bytes
	b = appendInt32(b, p.divergeAt)
	b = appendInt64(b, p.divergeEnd)
	return append(b, 0)
}

// countErrors feeds request_errors_total.
func (f *fetchResponse) countErrors() {
	if f.code != 0 {
		f.b.telemetry.errorCode(keyFetch, f.code)
	}
	for i := range f.parts {
		f.b.telemetry.errorCode(keyFetch, f.parts[i].code)
	}
}

var (
	_ kmsg.Response = (*fetchResponse)(nil)
	_ vectored      = (*fetchResponse)(nil)
	_ kmsg.Response = (*produceCall)(nil)
	_ discarder     = (*produceCall)(nil)
)

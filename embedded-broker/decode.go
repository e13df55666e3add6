package broker

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/engine"
)

// decode reads the request header (version 1, or 2 when flexible) and the body of APIs without their own codec.
func (c *conn) decode(p *pending) error {
	b := p.frame.b
	p.corr = int32(binary.BigEndian.Uint32(b[4:]))
	p.conn, p.received, p.lease = c, c.b.now(), &p.frame.lease
	p.key, p.version = int16(binary.BigEndian.Uint16(b)), int16(binary.BigEndian.Uint16(b[2:]))
	p.api = c.b.apis[p.key]
	if p.key == keyAPIVersions && (p.version < p.api.min || p.version > p.api.max) {
		// KIP-511: the client learns our versions from a version 0 answer; nothing after the correlation id is read,
		// because its layout is unknown.
		p.version, p.downgraded = 0, true
		p.body = kmsg.NewPtrApiVersionsRequest()
		return nil
	}
	rest, err := p.readHeader(b[8:])
	if err != nil {
		return refuse("%s version %d: %v", apiName(p.key), p.version, err)
	}
	if p.api.raw {
		p.raw = rest
		return nil
	}
	return p.readBody(rest)
}

func (p *pending) readHeader(b []byte) (rest []byte, err error) {
	if len(b) < 2 {
		return nil, fmt.Errorf("the header is cut off")
	}
	n := int(int16(binary.BigEndian.Uint16(b)))
	b = b[2:]
	if n > len(b) {
		return nil, fmt.Errorf("a client id of %d bytes does not fit", n)
	}
	if n > 0 {
		p.clientID = p.conn.internClient(b[:n])
		b = b[n:]
	}
	if isFlexible(p.key, p.version) {
		w := walker{b: b}
		w.tags()
		if w.bad {
			return nil, fmt.Errorf("the header's tags do not fit")
		}
		b = w.b
	}
	return b, nil
}

// internClient keeps one copy of the client id per connection instead of one per request.
func (c *conn) internClient(b []byte) string {
	if p := c.clientID.Load(); p != nil && *p == string(b) {
		return *p
	}
	s := string(b[:min(len(b), maxClientID)])
	c.clientID.Store(&s)
	c.readAs = engine.WithReader(c.reading(c.b.ctx), s)
	return s
}

const maxClientID = 1024

// readBody walks the body before kmsg may allocate for it, and reserves what decoding will take.
func (p *pending) readBody(b []byte) error {
	cost, err := guard(p.key, p.version, b)
	if err != nil {
		return refuse("%s version %d: %v", apiName(p.key), p.version, err)
	}
	if err := p.frame.lease.take(p.conn.b.ctx, cost); err != nil {
		return errStopped
	}
	p.body = kmsg.RequestForKey(p.key)
	p.body.SetVersion(p.version)
	if err := p.body.ReadFrom(b); err != nil {
		return refuse("%s version %d: %v", apiName(p.key), p.version, err)
	}
	return nil
}

// isFlexible reports whether a request uses compact lengths and tags (KIP-482).
func isFlexible(key, version int16) bool {
	s := schemaOf(key)
	return s != nil && version >= s.flexible
}

// apiName is the API's name, as in Kafka's documentation.
func apiName(key int16) string {
	if r := kmsg.Key(key).Name(); r != "" {
		return r
	}
	return fmt.Sprintf("api key %d", key)
}

// The keys the connection loop itself knows.
const (
	keyProduce                = 0
	keyFetch                  = 1
	keyOffsetCommit           = 8
	keyHeartbeat              = 12
	keyAPIVersions            = 18
	keyConsumerGroupHeartbeat = 68
)

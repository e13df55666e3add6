package broker

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/test/alloctest"
)

// played is a connection that says what it was given and then closes.
type played struct {
	net.Conn
	r io.Reader
}

func (p *played) Read(b []byte) (int, error)      { return p.r.Read(b) }
func (p *played) SetReadDeadline(time.Time) error { return nil }

// FuzzFrame reads a request as a connection does, from the size prefix to the decoded body.
func FuzzFrame(f *testing.F) {
	for _, req := range []kmsg.Request{kmsg.NewPtrApiVersionsRequest(), kmsg.NewPtrMetadataRequest(), kmsg.NewPtrProduceRequest(), kmsg.NewPtrJoinGroupRequest()} {
		for _, version := range []int16{0, 3, 9} {
			req.SetVersion(min(version, req.MaxVersion()))
			f.Add(kmsg.NewRequestFormatter(kmsg.FormatterClientID("a client")).AppendRequest(nil, req, 5))
		}
	}
	f.Add(binary.BigEndian.AppendUint32(nil, 1<<31-1))
	f.Add([]byte{0, 0, 0, 8, 0, 18, 0, 99, 0, 0, 0, 1})
	b := bare()
	b.limits, b.apis, b.now = defaultLimits(), tableOf(allAPIs()), time.Now
	f.Fuzz(func(t *testing.T, sent []byte) {
		// A frame that only claims to be large takes firstChunk; a body that is decoded takes decodeRatio times its size.
		alloctest.Bound(t, len(sent)+firstChunk, 2*decodeRatio, func() {
			c := &conn{b: b, nc: &played{r: bytes.NewReader(sent)}, readAs: b.ctx}
			c.changed.L = &c.mu
			c.in.init(c.nc)
			defer c.in.free()
			p, err := c.readFrame()
			if err != nil {
				return
			}
			if err := c.decode(p); err == nil && p.body == nil && !p.api.raw {
				t.Errorf("request %d was decoded to nothing", p.key)
			}
			p.frame.release(false)
		})
	})
}

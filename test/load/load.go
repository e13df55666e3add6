// Package load is a load generator that costs its machine little, so that a benchmark measures the broker: batches
// are encoded once, requests are pipelined over raw connections, and a reader walks batch headers without decoding a
// record. BlackHole, a server that answers at once and keeps nothing, tells where the generator's own limit lies.
package load

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
)

// ioTimeout bounds each read and write of a connection: a broker that stalls for longer has failed.
const ioTimeout = 60 * time.Second

// Spec is the shape of a load. All sizes are of record values, before compression.
type Spec struct {
	Address     string
	Topic       string
	Partitions  int
	RecordBytes int
	BatchBytes  int  // of one batch of one partition; at least one record
	Spread      int  // partitions in one request; all when 0
	LZ4         bool // batches are compressed
	Connections int
	Window      int     // unanswered requests of a connection
	Rate        float64 // bytes a second offered, all connections together; 0 = as fast as answered
	Acks        int16
}

func (s Spec) spread() int {
	if s.Spread <= 0 || s.Spread > s.Partitions {
		return s.Partitions
	}
	return s.Spread
}

func (s Spec) recordsPerBatch() int { return max(s.BatchBytes/s.RecordBytes, 1) }

// requestBytes is what a request carries in record values.
func (s Spec) requestBytes() int64 {
	return int64(s.recordsPerBatch()) * int64(s.RecordBytes) * int64(s.spread())
}

// Result is what a run did.
type Result struct {
	Records int64
	Bytes   int64 // of record values
	Elapsed time.Duration
	Latency Quantiles // from when a request was due to its answer
}

// Rate is bytes a second.
func (r Result) Rate() float64 { return float64(r.Bytes) / r.Elapsed.Seconds() }

// text fills a record with words: it compresses as logs and JSON do, to about a third.
func text(b []byte, seed uint32) {
	const words = "order customer shipped pending warehouse invoice amount currency total status region "
	for i := range b {
		if i%24 < 8 { // digits that do not repeat
			seed = seed*1664525 + 1013904223
			b[i] = '0' + byte(seed>>24)%10
			continue
		}
		b[i] = words[(i+int(seed>>28))%len(words)]
	}
}

// encode is one batch of the spec.
func (s Spec) encode(now time.Time, seed uint32) ([]byte, error) {
	records := make([]batch.Record, s.recordsPerBatch())
	for i := range records {
		value := make([]byte, s.RecordBytes)
		text(value, seed+uint32(i)*7919)
		records[i] = batch.Record{Timestamp: now.UnixMilli(), Value: value}
	}
	b := batch.Append(nil, batch.NoProducer, records)
	if !s.LZ4 {
		return b, nil
	}
	return compress(b)
}

// compress turns an uncompressed batch into an lz4 one.
func compress(plain []byte) ([]byte, error) {
	const (
		length     = 8
		overhead   = 12
		attributes = 21
	)
	out := buffer(append([]byte{}, plain[:batch.HeaderSize]...))
	w := lz4.NewWriter(&out)
	if _, err := w.Write(plain[batch.HeaderSize:]); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	h := batch.Header(out)
	binary.BigEndian.PutUint32(h[length:], uint32(len(h)-overhead))
	binary.BigEndian.PutUint16(h[attributes:], uint16(batch.LZ4))
	h.SetCRC()
	return h, nil
}

type buffer []byte

func (b *buffer) Write(p []byte) (int, error) { *b = append(*b, p...); return len(p), nil }

// conn is a raw connection that speaks frames.
type conn struct {
	net.Conn
	r   *bufio.Reader
	buf []byte
}

func dial(ctx context.Context, address string) (*conn, error) {
	c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, r: bufio.NewReaderSize(c, 64<<10)}, nil
}

const maxResponse = 128 << 20

// response reads the next answer; it is valid until the next call.
func (c *conn) response(flexible bool) (correlation int32, body []byte, err error) {
	if err := c.SetReadDeadline(time.Now().Add(ioTimeout)); err != nil {
		return 0, nil, err
	}
	var head [8]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return 0, nil, err
	}
	size := int(binary.BigEndian.Uint32(head[:])) - 4
	if size < 0 || size > maxResponse {
		return 0, nil, fmt.Errorf("a response of %d bytes", size)
	}
	if cap(c.buf) < size {
		c.buf = make([]byte, size)
	}
	body = c.buf[:size]
	if _, err := io.ReadFull(c.r, body); err != nil {
		return 0, nil, err
	}
	if flexible {
		if size < 1 || body[0] != 0 {
			return 0, nil, errors.New("a response header with tags")
		}
		body = body[1:]
	}
	return int32(binary.BigEndian.Uint32(head[4:])), body, nil
}

func (c *conn) send(frame []byte) error {
	if err := c.SetWriteDeadline(time.Now().Add(ioTimeout)); err != nil {
		return err
	}
	_, err := c.Write(frame)
	return err
}

// correlationAt is where the correlation id lies in a request's frame.
const correlationAt = 8

var formatter = kmsg.NewRequestFormatter(kmsg.FormatterClientID("streamkeeper-load"))

package load

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// BlackHole answers every Produce of a Spec's load at once and keeps nothing.
type BlackHole struct {
	listener net.Listener
	answer   []byte
	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	closed   bool
	wg       sync.WaitGroup
}

// NewBlackHole listens on loopback.
func NewBlackHole(s Spec) (*BlackHole, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &BlackHole{listener: l, conns: map[net.Conn]struct{}{}}
	resp := kmsg.NewPtrProduceResponse()
	resp.Version = produceVersion
	t := kmsg.NewProduceResponseTopic()
	t.Topic = s.Topic
	for p := range s.spread() {
		part := kmsg.NewProduceResponseTopicPartition()
		part.Partition = int32(p)
		t.Partitions = append(t.Partitions, part)
	}
	resp.Topics = append(resp.Topics, t)
	h.answer = resp.AppendTo(make([]byte, 9)) // size, correlation id, no tags
	binary.BigEndian.PutUint32(h.answer, uint32(len(h.answer)-4))
	h.wg.Go(h.accept)
	return h, nil
}

// Address is where it listens.
func (h *BlackHole) Address() string { return h.listener.Addr().String() }

// Close ends it and its connections.
func (h *BlackHole) Close() error {
	err := h.listener.Close()
	h.mu.Lock()
	h.closed = true
	for c := range h.conns {
		err = errors.Join(err, c.Close())
	}
	h.mu.Unlock()
	h.wg.Wait()
	return err
}

func (h *BlackHole) accept() {
	for {
		c, err := h.listener.Accept()
		if err != nil {
			return
		}
		h.mu.Lock()
		if h.closed {
			h.mu.Unlock()
			_ = c.Close()
			return
		}
		h.conns[c] = struct{}{}
		h.mu.Unlock()
		h.wg.Go(func() { h.serve(c) })
	}
}

func (h *BlackHole) serve(c net.Conn) {
	r := bufio.NewReaderSize(c, 64<<10)
	answer := append([]byte{}, h.answer...)
	var head [correlationAt + 4]byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return // the client is gone
		}
		rest := int64(binary.BigEndian.Uint32(head[:])) - int64(len(head)) + 4
		if _, err := io.CopyN(io.Discard, r, rest); err != nil {
			return
		}
		copy(answer[4:8], head[correlationAt:])
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

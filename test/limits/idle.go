package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/test/server"
)

const (
	idleConnections = 5000
	idleConnMemory  = 200 * mib
	perAddress      = 500 // connections from one loopback address: the broker limits them by address
)

// idleClients opens connections that ask once, as clients do when they connect, and then say nothing. It runs before any
// check that leaves memory behind, and tells what they cost together.
func idleClients(ctx context.Context, s *server.Server) (cost int64, err error) {
	before, err := s.RSS()
	if err != nil {
		return 0, err
	}
	conns := make([]net.Conn, idleConnections)
	defer func() {
		for _, c := range conns {
			if c != nil {
				err = errors.Join(err, c.Close())
			}
		}
	}()
	hello := kmsg.NewRequestFormatter(kmsg.FormatterClientID("idle")).AppendRequest(nil, kmsg.NewPtrApiVersionsRequest(), 1)
	failures := make([]error, len(conns))
	slots := make(chan struct{}, 64)
	var wg sync.WaitGroup
	for i := range conns {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			from := &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i/perAddress))}
			conns[i], failures[i] = greet(ctx, from, s.Kafka, hello)
		})
	}
	wg.Wait()
	if err := errors.Join(failures...); err != nil {
		return 0, err
	}
	after, err := s.RSS()
	if err != nil {
		return 0, err
	}
	return after - before, alive(ctx, s)
}

// greet connects, sends one request and reads its answer.
func greet(ctx context.Context, from net.Addr, address string, hello []byte) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: 30 * time.Second, LocalAddr: from}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return conn, err
	}
	if _, err := conn.Write(hello); err != nil {
		return conn, err
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return conn, fmt.Errorf("a connection of %v is not answered: %w", from, err)
	}
	_, err = io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(size[:])))
	return conn, err
}

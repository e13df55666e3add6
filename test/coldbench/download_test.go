package main

import (
	"bufio"
	"encoding/binary"
	"math"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
)

// TestSendAndConsume: every byte of an object's batches is read and walked, although batches span answers.
func TestSendAndConsume(t *testing.T) {
	data := make([]byte, objectHead)
	for range 50 {
		data = batch.Append(data, batch.NoProducer, []batch.Record{{Timestamp: time.Now().UnixMilli(), Value: make([]byte, 700)}})
	}
	records := int64(len(data) - objectHead)
	data = append(data, make([]byte, 99)...) // the footer
	data = binary.LittleEndian.AppendUint64(data, uint64(objectHead+records))
	data = append(data, make([]byte, 20)...)
	name := filepath.Join(t.TempDir(), "object")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		err := send(server, bufio.NewReader(server), f)
		_ = server.Close()
		sent <- err
	}()
	var read atomic.Int64
	if err := consume(client, 1000, &read); err != nil {
		t.Error(err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if read.Load() != records {
		t.Errorf("%d of %d bytes", read.Load(), records)
	}
}

// TestParts: pieces cover each object once.
func TestParts(t *testing.T) {
	objects := []object{{"a", 10}, {"b", 3}}
	for piece, want := range map[int64]int{0: 2, 4: 4, 100: 2} {
		got, size := pull{piece: piece}.parts(objects), int64(0)
		for _, p := range got {
			size += p.to - p.from
		}
		if len(got) != want || size != 13 {
			t.Errorf("pieces of %d: %v", piece, got)
		}
	}
}

// TestUnknownIsNull: what was not measured is neither zero nor infinite.
func TestUnknownIsNull(t *testing.T) {
	if over(median(nil), 1) != nil || over(1, median(nil)) != nil || over(1, 0) != nil {
		t.Error("a ratio of nothing")
	}
	if m := median([]float64{3, 1, 2}); m != 2 {
		t.Errorf("median %v", m)
	}
	if !math.IsNaN(sums(nil)) {
		t.Error("a sum of nothing")
	}
}

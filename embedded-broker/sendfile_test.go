package broker

import (
	"bytes"
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
)

// onDisk runs a broker whose topic t has n batches on the disk only, large and small ones mixed, and returns them.
func onDisk(t *testing.T, n int) (h *harness, topic engine.Topic, produced []byte) {
	h = startOn(t, func(o *engine.Options) {
		o.FS, o.Dir, o.CacheBytes = vfs.Default, filepath.Join(t.TempDir(), "data"), 1
	})
	topic = h.create("t", 1, nil)
	w := h.dial()
	for i := range n {
		size := 100 << 10
		if i%5 == 4 {
			size = 100
		}
		b := oneBatch(bytes.Repeat([]byte{byte(i)}, size))
		if r := w.ask(produceOne("t", 0, bytes.Clone(b)), 9).(*kmsg.ProduceResponse); r.Topics[0].Partitions[0].ErrorCode != 0 {
			t.Fatal(codeName(r.Topics[0].Partitions[0].ErrorCode))
		}
		batch.Header(b).SetBaseOffset(int64(i))
		produced = append(produced, b...)
	}
	return h, topic, produced
}

// TestFetch_FromFiles: batches that only the disk has come back as they were produced.
func TestFetch_FromFiles(t *testing.T) {
	h, topic, want := onDisk(t, 60)
	w := h.dial()
	var got []byte
	for offset := int64(0); offset < 60; {
		r := w.ask(asking(topic, 0, -1, 0, map[int32]int64{0: offset}), 12).(*kmsg.FetchResponse)
		part := r.Topics[0].Partitions[0]
		if part.ErrorCode != 0 || len(part.RecordBatches) == 0 {
			t.Fatalf("at %d: %s, %d bytes", offset, codeName(part.ErrorCode), len(part.RecordBatches))
		}
		for rest := part.RecordBatches; len(rest) > 0; {
			b, after, ok := batch.Next(rest)
			if !ok {
				t.Fatalf("at %d: a batch is cut", offset)
			}
			offset, rest = b.NextOffset(), after
		}
		got = append(got, part.RecordBatches...)
	}
	if !equalBatches(got, want) {
		t.Error("what came back differs from what was produced")
	}
}

// TestOutgoing_CopiesWhatTheKernelDoesNotSend: the rest of the answer goes through our memory, later ones do from the start.
func TestOutgoing_CopiesWhatTheKernelDoesNotSend(t *testing.T) {
	if !haveSendfile {
		t.Skip("nothing is sent from files here")
	}
	h, _, want := onDisk(t, 30)
	p, err := h.engine.Partition("t", 0)
	if err != nil {
		t.Fatal(err)
	}
	read, err := p.Read(engine.WithFiles(t.Context()), 0, 250<<10)
	if err != nil || len(read.Files) != 2 {
		t.Fatalf("%d stretches in files, %v", len(read.Files), err)
	}
	defer read.Release()
	ours, client := socketPair(t)
	var out outgoing
	out.init(ours)
	out.send = func(uintptr) bool { out.lentErr = syscall.EINVAL; return true }
	size := read.Size()
	go func() {
		defer ours.Close()
		rest := []piece{{file: read.Files[0]}, {file: read.Files[1]}}
		for err := error(nil); len(rest) > 0 && err == nil; {
			rest, err = out.some(ours, rest, 64<<10)
		}
	}()
	got, err := io.ReadAll(client)
	if err != nil || !equalBatches(got, want[:size]) {
		t.Errorf("%d of %d bytes came through, or others; %v", len(got), size, err)
	}
	again, err := p.Read(engine.WithFiles(t.Context()), 0, 250<<10)
	if err != nil || len(again.Files) > 0 || len(again.Bytes) == 0 {
		t.Errorf("%d stretches in files after that, %v", len(again.Files), err)
	}
	again.Release()
}

func socketPair(t *testing.T) (one, other net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if one, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if other, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { one.Close(); other.Close() })
	return one, other
}

// equalBatches compares batches but for what a broker writes into their headers.
func equalBatches(got, want []byte) bool {
	for len(got) > 0 && len(want) > 0 {
		g, gotRest, ok := batch.Next(got)
		w, wantRest, also := batch.Next(want)
		if !ok || !also || g.BaseOffset() != w.BaseOffset() || g.CRC() != w.CRC() || !bytes.Equal(g[batch.HeaderSize:], w[batch.HeaderSize:]) {
			return false
		}
		got, want = gotRest, wantRest
	}
	return len(got) == 0 && len(want) == 0
}

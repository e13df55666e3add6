package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/batch"
)

// downloads is the usual design of a cold tier, at its best: objects are downloaded whole to the local disk, the next
// one while a reader is at this one, and the kernel sends them from there without a copy in the process. It checks no
// sum and knows no protocol but "the next so many bytes"; a file lives as long as the replay, as a cache keeps it.
type downloads struct {
	store    *store
	dir      string
	listener net.Listener
	wg       sync.WaitGroup
}

// objectHead is what lies before an object's records, in bytes.
const objectHead = 32

func serveDownloads(s *store, dir string) (*downloads, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &downloads{store: s, dir: dir, listener: l}, nil
}

func (d *downloads) close() error {
	err := d.listener.Close()
	d.wg.Wait()
	return err
}

// replay reads the objects once over as many connections, fetchBytes at a time, as a consumer does: it walks the headers
// of the batches. It returns how many bytes of batches it read; read is kept up to date meanwhile.
func (d *downloads) replay(ctx context.Context, objects []object, connections, fetchBytes int, read *atomic.Int64) error {
	errs := make([]error, 2*connections)
	var wg sync.WaitGroup
	for i := range connections {
		var own []object
		for j := i; j < len(objects); j += connections {
			own = append(own, objects[j])
		}
		client, err := net.Dial("tcp", d.listener.Addr().String())
		if err != nil {
			return err
		}
		conn, err := d.listener.Accept()
		if err != nil {
			return errors.Join(err, client.Close())
		}
		defer context.AfterFunc(ctx, func() { _ = client.Close(); _ = conn.Close() })()
		wg.Go(func() {
			defer conn.Close()
			errs[2*i] = d.serve(ctx, conn, own)
		})
		wg.Go(func() {
			defer client.Close()
			errs[2*i+1] = consume(client, fetchBytes, read)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// serve answers requests for the next bytes with those of one object after the other.
func (d *downloads) serve(ctx context.Context, conn net.Conn, objects []object) error {
	files := make(chan fetched) // one is there, one is being downloaded
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d.wg.Go(func() {
		defer close(files)
		for _, o := range objects {
			f, err := d.download(ctx, o)
			select {
			case files <- fetched{f, err}:
			case <-ctx.Done():
				return
			}
		}
	})
	in := bufio.NewReader(conn)
	for f := range files {
		if f.err != nil {
			return f.err
		}
		if err := send(conn, in, f.file); err != nil {
			return err
		}
	}
	return nil
}

type fetched struct {
	file *os.File
	err  error
}

func (d *downloads) download(ctx context.Context, o object) (*os.File, error) {
	body, err := d.store.open(ctx, part{o, 0, o.size})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	f, err := os.Create(filepath.Join(d.dir, strings.ReplaceAll(o.name, "/", "-")))
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{f}, body, make([]byte, mib)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// send answers with a file's records: each request is a number of bytes, each answer a length and so many or fewer.
func send(conn net.Conn, in *bufio.Reader, f *os.File) error {
	defer f.Close()
	data, err := dataLength(f)
	if err != nil {
		return err
	}
	if _, err := f.Seek(objectHead, io.SeekStart); err != nil {
		return err
	}
	for left := data; left > 0; {
		var ask [4]byte
		if _, err := io.ReadFull(in, ask[:]); err != nil {
			return err
		}
		n := min(left, int64(binary.BigEndian.Uint32(ask[:])))
		if _, err := conn.Write(binary.BigEndian.AppendUint32(nil, uint32(n))); err != nil {
			return err
		}
		if _, err := io.CopyN(conn, f, n); err != nil {
			return err
		}
		left -= n
	}
	return nil
}

// dataLength is how many bytes of records an object holds: its end says where they end.
func dataLength(f *os.File) (int64, error) {
	const trailer = 28
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	var b [8]byte
	if _, err := f.ReadAt(b[:], info.Size()-trailer); err != nil {
		return 0, err
	}
	data := int64(binary.LittleEndian.Uint64(b[:])) - objectHead
	if data < 0 || data > info.Size() {
		return 0, fmt.Errorf("%s: its records end at %d", f.Name(), data)
	}
	return data, nil
}

// consume asks for bytes until there are no more, and walks the batches in them.
func consume(conn net.Conn, fetchBytes int, read *atomic.Int64) error {
	buf := make([]byte, 0, 2*fetchBytes)
	in := bufio.NewReaderSize(conn, 64*kib)
	for {
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		if _, err := conn.Write(binary.BigEndian.AppendUint32(nil, uint32(fetchBytes))); err != nil {
			return ended(err)
		}
		var head [4]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return ended(err)
		}
		at := len(buf)
		n := int(binary.BigEndian.Uint32(head[:]))
		if n > fetchBytes || at+n > cap(buf) {
			return fmt.Errorf("an answer of %d bytes after %d", n, at)
		}
		buf = buf[:at+n]
		if _, err := io.ReadFull(in, buf[at:]); err != nil {
			return err
		}
		rest := buf
		for {
			_, after, ok := batch.Next(rest)
			if !ok {
				break // a batch that goes on in the next answer
			}
			rest = after
		}
		read.Add(int64(n))
		buf = buf[:copy(buf, rest)]
	}
}

// ended is nil for the end of the objects.
func ended(err error) error {
	var broken *net.OpError
	if errors.Is(err, io.EOF) || errors.As(err, &broken) && !broken.Timeout() {
		return nil
	}
	return err
}

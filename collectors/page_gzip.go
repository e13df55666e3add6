package collectors

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// WriteGzip writes a text and pages as one gzip stream. Each family of a page is compressed once, however often it is asked
// for: of a fleet the lines are megabytes, and they change once a round.
func WriteGzip(w io.Writer, text []byte, pages ...*Page) error {
	z := gzipStream{w: w}
	z.write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}) // no name, no time
	z.add(text, deflate(text))
	_ = merge(pages, func(head []byte, all []*family) error {
		z.stored(head)
		for _, f := range all {
			z.add(f.lines, f.compressed())
		}
		return z.err
	})
	z.close()
	for _, p := range pages {
		if p != nil {
			p.zipped.Store(true)
		}
	}
	return z.err
}

// Compress compresses a page beforehand once one before it was asked for compressed: then the first scrape after a round is
// as quick as the others. It is for who writes the page.
func (p *Page) Compress(before *Page) {
	if before == nil || !before.zipped.Load() {
		return
	}
	p.zipped.Store(true) // who scrapes once scrapes again
	for _, f := range p.families {
		f.compressed()
	}
}

func (f *family) compressed() []byte {
	f.zip.Do(func() { f.deflated = deflate(f.lines) })
	return f.deflated
}

var deflaters = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed) // fails only for a level that does not exist
	return w
}}

// deflate compresses to blocks of which none is the last and that end with a byte: such pieces can be put one after another.
func deflate(b []byte) []byte {
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	var out bytes.Buffer
	w.Reset(&out)
	_, _ = w.Write(b) // a buffer takes all
	_ = w.Flush()
	return bytes.Clone(out.Bytes())
}

// gzipStream writes pieces of one gzip stream.
type gzipStream struct {
	w    io.Writer
	err  error
	sum  uint32
	size uint32 // of what was compressed, modulo 2^32 as the format has it
}

func (z *gzipStream) write(b []byte) {
	if z.err == nil {
		_, z.err = z.w.Write(b)
	}
}

// add takes a piece that is compressed already.
func (z *gzipStream) add(plain, deflated []byte) {
	z.sum = crc32.Update(z.sum, crc32.IEEETable, plain)
	z.size += uint32(len(plain))
	z.write(deflated)
}

// stored takes a piece as it is: up to 64 KiB, in a block without compression.
func (z *gzipStream) stored(b []byte) {
	n := uint16(len(b))
	block := []byte{0}
	block = binary.LittleEndian.AppendUint16(block, n)
	block = binary.LittleEndian.AppendUint16(block, ^n)
	z.add(b, append(block, b...))
}

func (z *gzipStream) close() {
	end := []byte{1, 0, 0, 0xff, 0xff} // the last block, empty
	end = binary.LittleEndian.AppendUint32(end, z.sum)
	z.write(binary.LittleEndian.AppendUint32(end, z.size))
}

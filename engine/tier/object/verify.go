package object

import (
	"bytes"
	"fmt"
	"io"
)

// ReadFooter finds, checks and decodes the footer of an object of size bytes.
// The footer must be the one of the object id and the block size in the header.
func ReadFooter(r io.ReaderAt, size int64) (Footer, error) {
	if size < HeaderSize+TrailerSize {
		return Footer{}, corrupt("it has only %d bytes", size)
	}
	var head [HeaderSize]byte
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return Footer{}, fmt.Errorf("reading the object header: %w", err)
	}
	id, block, err := CheckHeader(head[:])
	if err != nil {
		return Footer{}, err
	}
	var end [TrailerSize]byte
	if _, err := r.ReadAt(end[:], size-TrailerSize); err != nil {
		return Footer{}, fmt.Errorf("reading the object trailer: %w", err)
	}
	t, err := DecodeTrailer(end[:], size)
	if err != nil {
		return Footer{}, err
	}
	encoded := make([]byte, t.Length)
	if _, err := r.ReadAt(encoded, t.Position); err != nil {
		return Footer{}, fmt.Errorf("reading the object footer: %w", err)
	}
	if got := Checksum(encoded); got != t.CRC {
		return Footer{}, corrupt("footer CRC is %08x, want %08x", got, t.CRC)
	}
	f, err := DecodeFooter(encoded)
	if err != nil {
		return Footer{}, err
	}
	if f.ID != id || f.Block != block || f.Size(len(encoded)) != size {
		return Footer{}, corrupt("header and footer disagree")
	}
	return f, nil
}

// Verify checks a whole object: header, footer, every block's CRC and every
// batch. It holds one block and the footer in memory.
func Verify(r io.ReaderAt, size int64) (Footer, error) {
	f, err := ReadFooter(r, size)
	if err != nil {
		return Footer{}, err
	}
	p, err := NewPlan(Info{ID: f.ID, Cluster: f.Cluster, Node: f.Node, Segment: f.Segment, Created: f.Created, Block: f.Block}, stored{r, &f})
	if err != nil {
		return Footer{}, corrupt("%v", err)
	}
	if !bytes.Equal(p.EncodedFooter(), AppendFooter(nil, &f)) {
		return Footer{}, corrupt("the footer does not describe the data")
	}
	return f, nil
}

// stored presents a stored object as content.
type stored struct {
	r io.ReaderAt
	f *Footer
}

func (s stored) Runs() []Run { return s.f.Runs }

func (s stored) ReadRun(i int) (io.ReadCloser, error) {
	pos := int64(HeaderSize)
	for _, r := range s.f.Runs[:i] {
		pos += r.Bytes
	}
	return io.NopCloser(io.NewSectionReader(s.r, pos, s.f.Runs[i].Bytes)), nil
}

// CheckBlock compares a block's bytes with its CRC.
func CheckBlock(b []byte, want uint32) error {
	if got := Checksum(b); got != want {
		return corrupt("block CRC is %08x, want %08x", got, want)
	}
	return nil
}

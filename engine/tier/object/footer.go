package object

import (
	"encoding/binary"
	"math"
)

// Footer describes everything in an object. The COMMIT record carries the same
// bytes, so an index row and a footer can never disagree.
type Footer struct {
	ID      ID
	Cluster string // cluster id
	Node    int32
	Segment uint64 // the log segment it was made from, unique for ever
	Created int64  // ms since 1970
	Block   int32  // block size
	Data    int64  // bytes of the data region
	Blocks  []Block
	Runs    []Run // sorted by (Stream, Base), back to back in the data region
}

// Size is the size of the whole object given the length of its encoded footer.
func (f *Footer) Size(encoded int) int64 {
	return HeaderSize + f.Data + int64(encoded) + TrailerSize
}

// AppendFooter encodes f. Counts and small numbers are varints; streams and
// topics, of which neighbours share prefixes, are stored as differences.
func AppendFooter(b []byte, f *Footer) []byte {
	b = append(b, Version)
	b = append(b, f.ID[:]...)
	b = binary.AppendUvarint(b, uint64(len(f.Cluster)))
	b = append(b, f.Cluster...)
	b = binary.AppendVarint(b, int64(f.Node))
	b = binary.AppendUvarint(b, f.Segment)
	b = binary.AppendVarint(b, f.Created)
	b = binary.AppendUvarint(b, uint64(f.Block))
	b = binary.AppendUvarint(b, uint64(f.Data))
	b = binary.AppendUvarint(b, uint64(len(f.Blocks)))
	for _, k := range f.Blocks {
		b = binary.LittleEndian.AppendUint32(b, k.CRC)
		b = binary.AppendUvarint(b, uint64(k.First))
		b = binary.AppendVarint(b, k.FirstOffset)
		b = binary.AppendVarint(b, k.MaxTimestamp)
	}
	topics, places := topicTable(f.Runs)
	b = binary.AppendUvarint(b, uint64(len(topics)))
	for _, t := range topics {
		b = append(b, t[:]...)
	}
	b = binary.AppendUvarint(b, uint64(len(f.Runs)))
	stream := uint32(0)
	for _, r := range f.Runs {
		b = binary.AppendUvarint(b, uint64(r.Stream-stream))
		stream = r.Stream
		b = binary.AppendUvarint(b, uint64(places[r.Topic]))
		b = binary.AppendVarint(b, int64(r.Partition))
		b = binary.AppendVarint(b, int64(r.Epoch))
		b = binary.AppendVarint(b, r.Base)
		b = binary.AppendUvarint(b, uint64(r.Next-r.Base))
		b = binary.AppendVarint(b, r.MaxTimestamp)
		b = binary.AppendUvarint(b, uint64(r.Records))
		b = binary.AppendUvarint(b, uint64(r.Bytes))
		b = binary.AppendUvarint(b, uint64(r.MaxBatch))
	}
	return b
}

func topicTable(runs []Run) ([][16]byte, map[[16]byte]int) {
	places := map[[16]byte]int{}
	var topics [][16]byte
	for _, r := range runs {
		if _, ok := places[r.Topic]; !ok {
			places[r.Topic] = len(topics)
			topics = append(topics, r.Topic)
		}
	}
	return topics, places
}

// Smallest encodings, to refuse counts that the remaining bytes cannot hold
// before memory is allocated for them.
const (
	minBlockBytes = 7
	minTopicBytes = 16
	minRunBytes   = 10
)

// DecodeFooter decodes and cross-checks a footer. Memory is proportional to the
// input. Whatever it accepts is consistent: runs are ordered, do not overlap and
// fill the data region, and every block lies in it.
func DecodeFooter(b []byte) (Footer, error) {
	d := decoder{b: b}
	var f Footer
	if v := d.byte(); d.err == nil && v != Version {
		return f, corrupt("footer version %d", v)
	}
	copy(f.ID[:], d.take(16))
	f.Cluster = string(d.take(d.count(1)))
	f.Node = int32(d.varint(math.MinInt32, math.MaxInt32))
	f.Segment = d.uvarint(math.MaxUint64)
	f.Created = d.varint(math.MinInt64, math.MaxInt64)
	f.Block = int32(d.uvarint(MaxBlock))
	f.Data = int64(d.uvarint(math.MaxInt64 / 4))
	if d.err == nil && f.Block < MinBlock {
		return f, corrupt("block size %d", f.Block)
	}
	f.Blocks = decodeBlocks(&d, &f)
	topics := make([][16]byte, d.count(minTopicBytes))
	for i := range topics {
		copy(topics[i][:], d.take(16))
	}
	f.Runs = decodeRuns(&d, &f, topics)
	if d.err == nil && len(d.b) != 0 {
		return f, corrupt("%d bytes follow the footer", len(d.b))
	}
	return f, d.err
}

func decodeBlocks(d *decoder, f *Footer) []Block {
	n := d.count(minBlockBytes)
	if d.err == nil && int64(n) != blockCount(f.Data, f.Block) {
		d.err = corrupt("%d blocks for %d bytes", n, f.Data)
	}
	if d.err != nil {
		return nil
	}
	blocks := make([]Block, n)
	for i := range blocks {
		k := &blocks[i]
		if crc := d.take(4); crc != nil {
			k.CRC = binary.LittleEndian.Uint32(crc)
		}
		k.First = uint32(d.uvarint(uint64(BlockLength(f.Data, f.Block, i))))
		k.FirstOffset = d.varint(math.MinInt64, math.MaxInt64)
		k.MaxTimestamp = d.varint(math.MinInt64, math.MaxInt64)
	}
	return blocks
}

func decodeRuns(d *decoder, f *Footer, topics [][16]byte) []Run {
	n := d.count(minRunBytes)
	if d.err != nil {
		return nil
	}
	runs := make([]Run, n)
	total, stream := int64(0), uint64(0)
	for i := range runs {
		r := &runs[i]
		stream += d.uvarint(math.MaxUint32)
		topic := d.uvarint(math.MaxInt32)
		r.Partition = int32(d.varint(0, math.MaxInt32))
		r.Epoch = int32(d.varint(math.MinInt32, math.MaxInt32))
		r.Base = d.varint(0, math.MaxInt64)
		r.Next = r.Base + int64(d.uvarint(uint64(math.MaxInt64-max(r.Base, 0))))
		r.MaxTimestamp = d.varint(math.MinInt64, math.MaxInt64)
		r.Records = int64(d.uvarint(math.MaxInt64))
		r.Bytes = int64(d.uvarint(uint64(f.Data - total)))
		r.MaxBatch = int32(d.uvarint(math.MaxInt32))
		if d.err == nil {
			d.err = checkRun(runs[:i], r, stream, topic, len(topics))
		}
		if d.err != nil {
			return nil
		}
		r.Stream, r.Topic = uint32(stream), topics[topic]
		total += r.Bytes
	}
	if total != f.Data {
		d.err = corrupt("runs hold %d of %d bytes", total, f.Data)
	}
	return runs
}

func checkRun(before []Run, r *Run, stream, topic uint64, topics int) error {
	switch {
	case stream > math.MaxUint32:
		return corrupt("stream id %d", stream)
	case topic >= uint64(topics):
		return corrupt("topic %d of %d", topic, topics)
	case r.Next <= r.Base || r.Bytes == 0 || int64(r.MaxBatch) > r.Bytes:
		return corrupt("run of stream %d has offsets %d to %d in %d bytes", stream, r.Base, r.Next, r.Bytes)
	}
	if len(before) > 0 {
		p := before[len(before)-1]
		if uint64(p.Stream) == stream && r.Base < p.Next {
			return corrupt("runs of stream %d overlap at offset %d", stream, r.Base)
		}
	}
	return nil
}

func blockCount(data int64, block int32) int64 {
	return (data + int64(block) - 1) / int64(block)
}

// BlockLength is the length of block i: block bytes, less for the last one.
func BlockLength(data int64, block int32, i int) int64 {
	return min(int64(block), data-int64(i)*int64(block))
}

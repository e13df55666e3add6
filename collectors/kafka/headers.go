package kafka

import (
	"encoding/binary"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The head of a record batch: what is in it is never looked at.
const (
	batchHead    = 61
	batchPrefix  = 12 // in front of what its length counts
	attrAppended = 1 << 3
	attrInTxn    = 1 << 4
	attrControl  = 1 << 5
)

// found is what lies at an offset, by the heads of the batches from there on.
type found struct {
	next       int64 // the first offset that may hold a record to read: all before it is markers and aborted records
	record     bool  // there is one
	at         int64 // when it was stamped, milliseconds; unset where the head of its batch does not tell
	transacted bool  // some batch belongs to a transaction
}

// lookAt reads the heads of the batches in an answer, which was asked for from offset on as a reader of committed records.
// What it cannot read it leaves out.
func lookAt(p *kmsg.FetchResponseTopicPartition, offset int64) found {
	f, aborted := found{next: offset, at: unset}, map[int64][]int64{}
	for _, a := range p.AbortedTransactions {
		aborted[a.ProducerID] = append(aborted[a.ProducerID], a.FirstOffset)
	}
	for b := p.RecordBatches; len(b) >= batchHead; {
		length, magic := int64(int32(binary.BigEndian.Uint32(b[8:])))+batchPrefix, b[16]
		if magic != 2 || length < batchHead {
			return f
		}
		base, attrs, producer := int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint16(b[21:]), int64(binary.BigEndian.Uint64(b[43:]))
		end := base + int64(int32(binary.BigEndian.Uint32(b[23:]))) + 1
		begun := func(first int64) bool { return first <= base } // an aborted transaction, by then
		f.transacted = f.transacted || attrs&(attrInTxn|attrControl) != 0
		switch {
		case base < 0 || end <= base:
			return f
		case end <= f.next:
		case attrs&attrControl != 0:
			aborted[producer] = slices.DeleteFunc(aborted[producer], begun)
			f.next = end
		case attrs&attrInTxn != 0 && slices.ContainsFunc(aborted[producer], begun), binary.BigEndian.Uint32(b[57:]) == 0:
			f.next = end // aborted, or emptied by compaction
		default:
			f.next, f.record = max(f.next, base), true
			f.at = stampOf(b, f.next == base)
			return f
		}
		if length > int64(len(b)) {
			return f
		}
		b = b[length:]
	}
	return f
}

// stampOf is when a record was stamped that is the first of its batch, or any other; unset where the head does not tell.
func stampOf(b []byte, first bool) int64 {
	from, to := int64(binary.BigEndian.Uint64(b[27:])), int64(binary.BigEndian.Uint64(b[35:]))
	switch {
	case binary.BigEndian.Uint16(b[21:])&attrAppended != 0 || from == to:
		return max(to, unset)
	case first:
		return max(from, unset)
	}
	return unset
}

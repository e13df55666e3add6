package broker

import (
	"strconv"
	"strings"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
)

// append checks the records of one partition and enqueues them.
func (p *producePart) append(topic engine.Topic) {
	h, rest, ok := batch.Next(p.records)
	switch {
	case !ok:
		p.fail(codeCorruptMessage, "the records are no whole record batch")
		return
	case len(rest) > 0:
		p.fail(codeInvalidRecord, "a partition of a Produce request holds exactly one record batch")
		return
	case h.Magic() != batch.Magic:
		p.fail(codeInvalidRecord, "only record batches of version 2 are accepted")
		return
	case h.Codec() == batch.Zstd && p.call.version < 7:
		p.fail(codeUnsupportedCodec, "zstd needs Produce version 7")
		return
	}
	if err := batch.Check(p.records, batch.CheckOptions{MaxBatchBytes: p.call.b.maxMessageBytes(topic)}); err != nil {
		p.fail(codeOf(err), err.Error())
		return
	}
	if p.call.b.compacted(topic) && !p.checkKeys(h) {
		return
	}
	part, err := p.call.b.engine.Partition(topic.Name, p.index)
	if err != nil {
		p.fail(codeOf(err), "")
		return
	}
	if h.IsTransactional() {
		p.appendTransactional(part, topic, h)
		return
	}
	p.count = h.RecordCount()
	p.call.waiting.Add(1)
	part.AppendLater(p.records, p.call.acks, p.done)
}

const (
	maxKeyless = 100      // records named in an answer
	maxUnpack  = 16 << 20 // bytes a batch for a compacted topic may decompress to
)

// checkKeys refuses a batch for a compacted topic that holds records without a key, and says which. It is the one place
// where records are decoded on their way in.
func (p *producePart) checkKeys(h batch.Header) bool {
	if h.Codec() != batch.None {
		if err := p.call.r.lease.take(p.call.b.ctx, maxUnpack); err != nil {
			p.fail(codeOf(engine.ErrClosed), "")
			return false
		}
		defer p.call.r.lease.give(maxUnpack)
	}
	index := int32(0)
	err := batch.Records(h, maxUnpack, func(r batch.Record) bool {
		if r.Key == nil {
			p.keyless = append(p.keyless, index)
		}
		index++
		return len(p.keyless) < maxKeyless
	})
	switch {
	case err != nil:
		p.fail(codeOf(err), err.Error())
	case len(p.keyless) > 0:
		p.fail(codeInvalidRecord, "records of a compacted topic need a key")
	default:
		return true
	}
	return false
}

// compacted reports whether a topic keeps the last record of each key.
func (b *Broker) compacted(t engine.Topic) bool {
	policy, ok := t.Configs["cleanup.policy"]
	if !ok {
		return b.settings().compact
	}
	return strings.Contains(policy, "compact")
}

// maxMessageBytes is the largest batch a topic takes: its own setting, the cluster's, or the default.
func (b *Broker) maxMessageBytes(t engine.Topic) int {
	s, ok := t.Configs["max.message.bytes"]
	if !ok {
		return b.settings().maxMessage
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return defaultMaxMessage // the engine validates values: this cannot be
	}
	return n
}

package broker

import (
	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// holdUnstable takes back what a transaction may be about to replace: a client that asks for stable offsets tries again
// when the transaction is over (KIP-447).
func (b *Broker) holdUnstable(resp *kmsg.OffsetFetchResponseGroup) {
	pending := b.engine.PendingOffsets(resp.Group)
	if len(pending) == 0 {
		return
	}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		name := t.Topic
		if name == "" { // version 10 knows ids only
			topic, _ := b.engine.TopicByID(t.TopicID)
			name = topic.Name
		}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if _, held := pending[engine.OffsetKey{Topic: name, Partition: p.Partition}]; held && p.ErrorCode == 0 {
				p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode = -1, -1, new(string), codeUnstableOffset
			}
		}
	}
}

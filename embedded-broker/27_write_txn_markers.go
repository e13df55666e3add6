package broker

// WriteTxnMarkers, key 27, versions 0–1: how an administrator ends a transaction that hangs. Deviations: none.

import (
	"sync"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func writeTxnMarkersAPI() api { return api{key: 27, min: 0, max: 1, handle: handleWriteTxnMarkers} }

func handleWriteTxnMarkers(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.WriteTxnMarkersRequest)
	resp := kmsg.NewPtrWriteTxnMarkersResponse()
	w := &markerCall{left: 1, reply: func() { reply(resp) }}
	for _, m := range req.Markers {
		out := kmsg.NewWriteTxnMarkersResponseMarker()
		out.ProducerID = m.ProducerID
		for _, t := range m.Topics {
			topic := kmsg.NewWriteTxnMarkersResponseMarkerTopic()
			topic.Topic = t.Topic
			topic.Partitions = make([]kmsg.WriteTxnMarkersResponseMarkerTopicPartition, len(t.Partitions))
			for i, index := range t.Partitions {
				topic.Partitions[i].Partition = index
				w.write(b, t.Topic, index, engine.TransactionMarker{
					ProducerID: m.ProducerID, Epoch: m.ProducerEpoch, Coordinator: m.CoordinatorEpoch, Commit: m.Committed,
				}, &topic.Partitions[i].ErrorCode)
			}
			out.Topics = append(out.Topics, topic)
		}
		resp.Markers = append(resp.Markers, out)
	}
	w.settle()
}

// markerCall answers when the last marker is durable.
type markerCall struct {
	mu    sync.Mutex
	left  int
	reply func()
}

func (w *markerCall) write(b *Broker, topic string, index int32, m engine.TransactionMarker, code *int16) {
	p, err := b.engine.Partition(topic, index)
	if err != nil {
		*code = codeOf(err)
		return
	}
	w.mu.Lock()
	w.left++
	w.mu.Unlock()
	p.AppendMarker(m, func(a engine.Appended) {
		*code = codeOf(a.Err)
		w.settle()
	})
}

func (w *markerCall) settle() {
	w.mu.Lock()
	w.left--
	last := w.left == 0
	w.mu.Unlock()
	if last {
		w.reply()
	}
}

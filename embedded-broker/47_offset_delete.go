package broker

// OffsetDelete, key 47, version 0. Deviations: none.

import (
	"context"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/group"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func offsetDeleteAPI() api { return api{key: 47, min: 0, max: 0, handle: handleOffsetDelete} }

func handleOffsetDelete(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.OffsetDeleteRequest)
	s := b.groups
	refused := map[string]group.Code{}
	code := group.GroupIDNotFound
	if req.Group == "" {
		code = group.InvalidGroupID
	}
	s.actOn(req.Group, false, func(c *coordinated, _ time.Time) group.Effects {
		if code = c.machine.OffsetsDeletable(); code == group.None {
			for _, t := range req.Topics {
				refused[t.Topic] = c.machine.OffsetDeletable(t.Topic)
			}
		}
		return group.Effects{}
	})
	if code != group.None {
		resp := kmsg.NewPtrOffsetDeleteResponse()
		resp.ErrorCode = int16(code)
		reply(resp)
		return
	}
	resp, keys := b.resolveOffsetDelete(req, refused)
	if len(keys) == 0 {
		reply(resp)
		return
	}
	b.running.Go(func() {
		ctx, cancel := context.WithTimeout(b.ctx, groupStoreTimeout)
		defer cancel()
		if err := b.engine.DeleteOffsets(ctx, req.Group, keys); err != nil {
			b.log.Warn("deleting offsets failed", "group", req.Group, "error", err)
			resp = kmsg.NewPtrOffsetDeleteResponse()
			resp.ErrorCode = int16(storeCode(err))
		}
		reply(resp)
	})
}

func (b *Broker) resolveOffsetDelete(req *kmsg.OffsetDeleteRequest, refused map[string]group.Code) (*kmsg.OffsetDeleteResponse, []engine.OffsetKey) {
	resp := kmsg.NewPtrOffsetDeleteResponse()
	committed := b.engine.CommittedOffsets(req.Group)
	var keys []engine.OffsetKey
	for _, t := range req.Topics {
		out := kmsg.NewOffsetDeleteResponseTopic()
		out.Topic = t.Topic
		for _, p := range t.Partitions {
			answer := kmsg.NewOffsetDeleteResponseTopicPartition()
			answer.Partition = p.Partition
			key := engine.OffsetKey{Topic: t.Topic, Partition: p.Partition}
			_, has := committed[key]
			topic, exists := b.engine.Topic(t.Topic)
			switch {
			case refused[t.Topic] != group.None:
				answer.ErrorCode = int16(refused[t.Topic])
			case has:
				keys = append(keys, key) // also of a topic that is gone
			case !exists || p.Partition < 0 || p.Partition >= topic.Partitions:
				answer.ErrorCode = kerr.UnknownTopicOrPartition.Code
			}
			out.Partitions = append(out.Partitions, answer)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, keys
}

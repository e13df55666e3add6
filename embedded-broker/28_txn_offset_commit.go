package broker

// TxnOffsetCommit, key 28, versions 0–5. Deviations: none.

import (
	"errors"

	"github.com/streamkeeper-io/streamkeeper/engine/group"
	"github.com/streamkeeper-io/streamkeeper/engine/txn"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	txnMembersSince   = 3 // the client says which member it is (KIP-447)
	txnAbortableSince = 4 // the client knows TRANSACTION_ABORTABLE
	txnJoinsSince     = 5 // committing adds the group to the transaction (transaction.version 2, KIP-890)
)

func txnOffsetCommitAPI() api {
	return api{key: 28, min: 0, max: txnJoinsSince, handle: handleTxnOffsetCommit}
}

func handleTxnOffsetCommit(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.TxnOffsetCommitRequest)
	plain := plainCommit(req)
	by, code := b.mayCommitInTxn(r, plain)
	if code != group.None {
		reply(txnCommitResponse(commitResponse(plain, int16(code))))
		return
	}
	resp, offsets := b.resolveCommit(plain)
	if len(offsets) == 0 {
		reply(txnCommitResponse(resp))
		return
	}
	who := txn.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch}
	if r.version >= txnJoinsSince {
		if code := b.engine.JoinTransactionGroup(req.TransactionalID, who, req.Group); code != txn.None {
			reply(txnCommitResponse(commitResponse(plain, txnWriteCode(code, true))))
			return
		}
	}
	b.engine.CommitTransactionOffsets(req.TransactionalID, who, req.Group, offsets, func(err error) {
		if code := b.txnCommitCode(err, r.version); code != 0 {
			by.committed(b.groups.now(), group.Code(code))
			reply(txnCommitResponse(commitResponse(plain, code)))
			return
		}
		by.committed(b.groups.now(), group.None)
		reply(txnCommitResponse(resp))
	})
}

// txnCommitCode is what a client is told when its offsets were not written.
func (b *Broker) txnCommitCode(err error, version int16) int16 {
	var code txn.Code
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return txnWriteCode(code, version >= txnAbortableSince)
	}
	if c := codeOf(err); c == codeInvalidProducerEpoch {
		return c
	}
	return int16(storeCode(err))
}

// mayCommitInTxn asks the group. A client that names no member is fenced by its epoch alone.
func (b *Broker) mayCommitInTxn(r *request, req *kmsg.OffsetCommitRequest) (committer, group.Code) {
	if req.MemberID == "" && req.InstanceID == nil && req.Generation < 0 && req.Group != "" {
		return b.groups.stranger(req.Group), group.None
	}
	by, code := b.groups.mayCommit(r, req)
	if code == group.StaleMemberEpoch {
		code = group.IllegalGeneration // the only name this API has for it
	}
	return by, code
}

// stranger is a committer that is no member.
func (s *groups) stranger(name string) committer {
	c := s.obtain(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	return committer{stats: c.track.commits}
}

// plainCommit is the same commit without its transaction.
func plainCommit(req *kmsg.TxnOffsetCommitRequest) *kmsg.OffsetCommitRequest {
	plain := kmsg.NewPtrOffsetCommitRequest()
	plain.Version = 9 // the last one that names topics
	plain.Group, plain.Generation = req.Group, -1
	if req.Version >= txnMembersSince {
		plain.Generation, plain.MemberID, plain.InstanceID = req.Generation, req.MemberID, req.InstanceID
	}
	for _, t := range req.Topics {
		topic := kmsg.NewOffsetCommitRequestTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			out := kmsg.NewOffsetCommitRequestTopicPartition()
			out.Partition, out.Offset, out.LeaderEpoch, out.Metadata = p.Partition, p.Offset, p.LeaderEpoch, p.Metadata
			if req.Version < 2 {
				out.LeaderEpoch = -1
			}
			topic.Partitions = append(topic.Partitions, out)
		}
		plain.Topics = append(plain.Topics, topic)
	}
	return plain
}

func txnCommitResponse(plain *kmsg.OffsetCommitResponse) *kmsg.TxnOffsetCommitResponse {
	resp := kmsg.NewPtrTxnOffsetCommitResponse()
	for _, t := range plain.Topics {
		topic := kmsg.NewTxnOffsetCommitResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			out := kmsg.NewTxnOffsetCommitResponseTopicPartition()
			out.Partition, out.ErrorCode = p.Partition, p.ErrorCode
			topic.Partitions = append(topic.Partitions, out)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}

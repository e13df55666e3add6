package kafka

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const quorumEvery = 15 * time.Second

// metadataTopic is the log that the controllers keep.
const metadataTopic = "__cluster_metadata"

// quorumState is the controllers' quorum as its leader tells of it.
type quorumState struct {
	leader, epoch     int32
	voters, observers []replicaState // by node id
}

// replicaState is one node that follows the metadata log. What is not known is unset.
type replicaState struct {
	id     int32
	lag    int64         // records that it has still to fetch
	behind time.Duration // since when it has been behind, by the leader's clock; -1 when not known
}

// readQuorum asks for the quorum. Clusters without one (ZooKeeper, other engines) do not know the request.
func (c *Collector) readQuorum(ctx context.Context, s *snapshot) {
	if c.o.Kind == "embedded" || !c.cache.quorum.due(s.at, quorumEvery) || c.budget.Wait(ctx) != nil {
		return
	}
	c.cache.quorum.at = s.at
	p := kmsg.NewDescribeQuorumRequestTopicPartition()
	t := kmsg.NewDescribeQuorumRequestTopic()
	t.Topic, t.Partitions = metadataTopic, append(t.Partitions, p)
	req := kmsg.NewPtrDescribeQuorumRequest()
	req.Topics = append(req.Topics, t)
	answer, err := c.client.Request(ctx, req)
	if err != nil { // it may not know the request
		c.cache.quorum.rest(s.at, quorumEvery)
		return
	}
	resp := answer.(*kmsg.DescribeQuorumResponse)
	denied := resp.ErrorCode == kerr.ClusterAuthorizationFailed.Code
	c.denials.set(seesQuorum, denied)
	if denied {
		c.cache.quorum.rest(s.at, quorumEvery)
	}
	if resp.ErrorCode == 0 {
		s.quorum = quorumOf(resp)
	}
}

// quorumOf is what an answer tells; nil when it tells of no leader.
func quorumOf(resp *kmsg.DescribeQuorumResponse) *quorumState {
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if t.Topic != metadataTopic || p.Partition != 0 || p.ErrorCode != 0 || p.LeaderID < 0 {
				continue
			}
			end, now := int64(unset), int64(-1)
			for _, r := range slices.Concat(p.CurrentVoters, p.Observers) {
				end, now = max(end, r.LogEndOffset), max(now, r.LastFetchTimestamp, r.LastCaughtUpTimestamp)
			}
			return &quorumState{
				leader: p.LeaderID, epoch: p.LeaderEpoch,
				voters: replicasOf(p.CurrentVoters, p.LeaderID, end, now), observers: replicasOf(p.Observers, p.LeaderID, end, now),
			}
		}
	}
	return nil
}

func replicasOf(all []kmsg.DescribeQuorumResponseTopicPartitionReplicaState, leader int32, end, now int64) []replicaState {
	byID := map[int32]replicaState{}
	for _, r := range all {
		state := replicaState{id: r.ReplicaID, lag: unset, behind: -1}
		if r.LogEndOffset >= 0 {
			state.lag = end - r.LogEndOffset
		}
		switch {
		case r.ReplicaID == leader:
			state.behind = 0
		case r.LastCaughtUpTimestamp >= 0:
			state.behind = time.Duration(now-r.LastCaughtUpTimestamp) * time.Millisecond
		}
		byID[r.ReplicaID] = state
	}
	out := make([]replicaState, 0, len(byID))
	for _, id := range sortedKeys(byID) {
		out = append(out, byID[id])
	}
	return out
}

package broker

// DescribeQuorum, key 55, versions 0–2. Deviations: metadata is not kept by a quorum; the answer is a quorum of this
// broker alone, with no log offsets.

import "github.com/twmb/franz-go/pkg/kmsg"

func describeQuorumAPI() api { return api{key: 55, min: 0, max: 2, handle: handleDescribeQuorum} }

const metadataTopic = "__cluster_metadata"

func handleDescribeQuorum(b *Broker, r *request, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrDescribeQuorumResponse()
	for _, t := range r.body.(*kmsg.DescribeQuorumRequest).Topics {
		topic := kmsg.NewDescribeQuorumResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			out := kmsg.NewDescribeQuorumResponseTopicPartition()
			out.Partition, out.LeaderID, out.LeaderEpoch = p.Partition, b.o.NodeID, 0
			if t.Topic == metadataTopic && p.Partition == 0 {
				voter := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
				voter.ReplicaID, voter.LogEndOffset = b.o.NodeID, 0
				out.CurrentVoters = append(out.CurrentVoters, voter)
			} else {
				out.ErrorCode, out.LeaderID = codeUnknownTopic, -1
			}
			topic.Partitions = append(topic.Partitions, out)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	if r.version >= 2 {
		node := kmsg.NewDescribeQuorumResponseNode()
		node.NodeID = b.o.NodeID
		resp.Nodes = append(resp.Nodes, node)
	}
	reply(resp)
}

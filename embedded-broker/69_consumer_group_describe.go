package broker

// ConsumerGroupDescribe, key 69, versions 0–1 (KIP-848). Deviations: authorized operations are never told, because nothing is
// authorized.

import (
	"slices"
	"strings"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/group"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const memberOfConsumerProtocol = 1 // Kafka's member type

func consumerGroupDescribeAPI() api {
	return api{key: 69, min: 0, max: 1, handle: handleConsumerGroupDescribe}
}

func handleConsumerGroupDescribe(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.ConsumerGroupDescribeRequest)
	resp := kmsg.NewPtrConsumerGroupDescribeResponse()
	for _, name := range req.Groups {
		out := kmsg.NewConsumerGroupDescribeResponseGroup()
		out.Group = name
		out.ErrorCode, out.ErrorMessage = int16(group.GroupIDNotFound), textOrNil("Group "+name+" not found.")
		if name == "" {
			out.ErrorCode, out.ErrorMessage = int16(group.InvalidGroupID), textOrNil("The group id is empty.")
		}
		b.groups.actOn(name, false, func(c *coordinated, _ time.Time) group.Effects {
			m := c.consumer()
			if m == nil {
				out.ErrorMessage = textOrNil("Group " + name + " is not a consumer group.")
				return group.Effects{}
			}
			out.ErrorCode, out.ErrorMessage = 0, nil
			describeConsumer(&out, m)
			return group.Effects{}
		})
		resp.Groups = append(resp.Groups, out)
	}
	reply(resp)
}

func describeConsumer(out *kmsg.ConsumerGroupDescribeResponseGroup, m *group.Consumer) {
	out.State, out.Epoch, out.AssignmentEpoch, out.AssignorName = string(m.State()), m.Generation(), m.AssignmentEpoch(), m.Assignor()
	for _, v := range m.Describe() {
		member := kmsg.NewConsumerGroupDescribeResponseGroupMember()
		member.MemberID, member.InstanceID, member.RackID = v.ID, textOrNil(v.InstanceID), textOrNil(v.Rack)
		member.MemberEpoch, member.MemberType = v.Epoch, memberOfConsumerProtocol
		member.ClientID, member.ClientHost = v.ClientID, "/"+v.Host // as Java prints an address
		member.SubscribedTopics, member.SubscribedTopicRegex = v.Names, textOrNil(v.Regex)
		member.Assignment.TopicPartitions = describePartitions(v.Assigned, m)
		member.TargetAssignment.TopicPartitions = describePartitions(v.Target, m)
		out.Members = append(out.Members, member)
	}
	slices.SortFunc(out.Members, func(a, b kmsg.ConsumerGroupDescribeResponseGroupMember) int {
		return strings.Compare(a.MemberID, b.MemberID)
	})
}

// describePartitions leaves out topics that are gone: they have no name any more.
func describePartitions(p group.Partitions, m *group.Consumer) []kmsg.AssignmentTopicPartition {
	list := []kmsg.AssignmentTopicPartition{}
	for id, numbers := range p.ByTopic() {
		if name := m.TopicName(id); name != "" {
			t := kmsg.NewAssignmentTopicPartition()
			t.TopicID, t.Topic, t.Partitions = id, name, numbers
			list = append(list, t)
		}
	}
	return list
}

package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// shape is how large a fleet is. Group g reads all partitions of topic g modulo topics.
type shape struct {
	brokers, topics, partitions, groups, members int
}

func (s shape) rows() int { return s.groups * s.partitions }

// fleet is a cluster that no machine of ours could hold: kfake serves the connections, and the answers to exactly the
// requests that collectors/kafka asks are computed from names and the time. Every tenth partition receives records, and
// every hundredth group stands still.
type fleet struct {
	shape
	cluster *kfake.Cluster
	began   time.Time

	mu   sync.Mutex
	seen []asked
}

// asked is one request that arrived.
type asked struct {
	at  time.Time
	key int16
}

func startFleet(s shape) (*fleet, error) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(s.brokers))
	if err != nil {
		return nil, err
	}
	f := &fleet{shape: s, cluster: cluster, began: time.Now()}
	cluster.Control(func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		f.mu.Lock()
		f.seen = append(f.seen, asked{time.Now(), req.Key()})
		f.mu.Unlock()
		resp := f.answer(req)
		return resp, nil, resp != nil
	})
	return f, nil
}

// since are the requests that arrived from then on.
func (f *fleet) since(from time.Time) []asked {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, a := range f.seen {
		if !a.at.Before(from) {
			return append([]asked(nil), f.seen[i:]...)
		}
	}
	return nil
}

// answer is nil for what kfake answers itself.
func (f *fleet) answer(req kmsg.Request) kmsg.Response {
	resp := req.ResponseKind()
	switch req := req.(type) {
	case *kmsg.MetadataRequest:
		if req.Topics != nil {
			return nil
		}
		f.metadata(resp.(*kmsg.MetadataResponse))
	case *kmsg.ListOffsetsRequest:
		f.listOffsets(req, resp.(*kmsg.ListOffsetsResponse))
	case *kmsg.FindCoordinatorRequest:
		f.coordinators(req, resp.(*kmsg.FindCoordinatorResponse))
	case *kmsg.ListGroupsRequest:
		f.listGroups(resp.(*kmsg.ListGroupsResponse))
	case *kmsg.DescribeGroupsRequest:
		for _, name := range req.Groups {
			r := resp.(*kmsg.DescribeGroupsResponse)
			r.Groups = append(r.Groups, f.described(name))
		}
	case *kmsg.OffsetFetchRequest:
		for _, g := range req.Groups {
			r := resp.(*kmsg.OffsetFetchResponse)
			r.Groups = append(r.Groups, f.committed(g.Group))
		}
	case *kmsg.DescribeConfigsRequest:
		for _, asked := range req.Resources {
			r := resp.(*kmsg.DescribeConfigsResponse)
			r.Resources = append(r.Resources, configs(asked))
		}
	default:
		return nil
	}
	return resp
}

func topicName(i int) string { return fmt.Sprintf("topic-%05d", i) }
func groupName(i int) string { return fmt.Sprintf("group-%05d", i) }

func topicID(i int) [16]byte { return [16]byte{1, byte(i), byte(i >> 8), byte(i >> 16)} }

// number is the one at the end of a name.
func number(name string) int {
	n, _ := strconv.Atoi(name[strings.LastIndexByte(name, '-')+1:])
	return n
}

// head is the end of a partition's log: ten records a second on every tenth one.
func (f *fleet) head(topic, part int) int64 {
	head := int64(1000 + topic%97)
	if f.active(topic, part) {
		head += int64(10 * time.Since(f.began).Seconds())
	}
	return head
}

// first is the first record stamped at or after a time, and its stamp; -1 when there is none. What was there from the
// beginning is an hour old.
func (f *fleet) first(topic, part int, at int64) (offset, stamp int64) {
	began, old := f.began.UnixMilli(), int64(1000+topic%97)
	if before := began - time.Hour.Milliseconds(); at <= before {
		return 100, before
	}
	offset = old + max(0, (at-began+99)/100)
	if offset >= f.head(topic, part) {
		return -1, -1
	}
	return offset, began + 100*(offset-old)
}

func (f *fleet) active(topic, part int) bool { return (topic+part)%10 == 0 }

func (f *fleet) leader(topic, part int) int32 { return int32((topic + part) % f.brokers) }

func (f *fleet) metadata(r *kmsg.MetadataResponse) {
	id := "fleet"
	r.ClusterID = &id
	for i, address := range f.cluster.ListenAddrs() {
		b := kmsg.NewMetadataResponseBroker()
		host, port, _ := strings.Cut(address, ":")
		n, _ := strconv.Atoi(port)
		b.NodeID, b.Host, b.Port = int32(i), host, int32(n)
		r.Brokers = append(r.Brokers, b)
	}
	for i := range f.topics {
		t := kmsg.NewMetadataResponseTopic()
		name := topicName(i)
		t.Topic, t.TopicID = &name, topicID(i)
		for p := range f.partitions {
			part := kmsg.NewMetadataResponseTopicPartition()
			part.Partition, part.Leader = int32(p), f.leader(i, p)
			for b := range f.brokers {
				part.Replicas = append(part.Replicas, int32(b))
			}
			part.ISR = part.Replicas
			t.Partitions = append(t.Partitions, part)
		}
		r.Topics = append(r.Topics, t)
	}
}

func (f *fleet) listOffsets(req *kmsg.ListOffsetsRequest, r *kmsg.ListOffsetsResponse) {
	for _, t := range req.Topics {
		out := kmsg.NewListOffsetsResponseTopic()
		out.Topic = t.Topic
		topic := number(t.Topic)
		for _, p := range t.Partitions {
			part := kmsg.NewListOffsetsResponseTopicPartition()
			part.Partition, part.Offset = p.Partition, f.head(topic, int(p.Partition))
			switch p.Timestamp {
			case -2: // the first that is kept
				part.Offset = 100
			case -3: // the newest
				part.Offset--
				part.Timestamp = time.Now().UnixMilli()
			case -1:
			default:
				part.Offset, part.Timestamp = f.first(topic, int(p.Partition), p.Timestamp)
			}
			out.Partitions = append(out.Partitions, part)
		}
		r.Topics = append(r.Topics, out)
	}
}

func (f *fleet) coordinator(group string) int32 { return int32(number(group) % f.brokers) }

func (f *fleet) coordinators(req *kmsg.FindCoordinatorRequest, r *kmsg.FindCoordinatorResponse) {
	for _, key := range req.CoordinatorKeys {
		c := kmsg.NewFindCoordinatorResponseCoordinator()
		c.Key, c.NodeID = key, f.coordinator(key)
		host, port, _ := strings.Cut(f.cluster.ListenAddrs()[c.NodeID], ":")
		n, _ := strconv.Atoi(port)
		c.Host, c.Port = host, int32(n)
		r.Coordinators = append(r.Coordinators, c)
	}
}

func (f *fleet) listGroups(r *kmsg.ListGroupsResponse) {
	for i := int(f.cluster.CurrentNode()); i < f.groups; i += f.brokers {
		g := kmsg.NewListGroupsResponseGroup()
		g.Group, g.ProtocolType, g.GroupState, g.GroupType = groupName(i), "consumer", "Stable", "classic"
		r.Groups = append(r.Groups, g)
	}
}

func (f *fleet) described(name string) kmsg.DescribeGroupsResponseGroup {
	g := kmsg.NewDescribeGroupsResponseGroup()
	g.Group, g.State, g.ProtocolType, g.Protocol = name, "Stable", "consumer", "range"
	topic := topicName(number(name) % f.topics)
	for m := range f.members {
		var assignment kmsg.ConsumerMemberAssignment
		t := kmsg.NewConsumerMemberAssignmentTopic()
		t.Topic = topic
		for p := m; p < f.partitions; p += f.members {
			t.Partitions = append(t.Partitions, int32(p))
		}
		assignment.Topics = append(assignment.Topics, t)
		member := kmsg.NewDescribeGroupsResponseGroupMember()
		member.MemberID, member.ClientID = fmt.Sprintf("%s-%d-7a1be3c8-90c4-4f6c-8f27-3c2a1bb0d6a1", name, m), fmt.Sprintf("%s-%d", name, m)
		member.ClientHost = fmt.Sprintf("/10.0.%d.%d", number(name)%250, m)
		member.MemberAssignment = assignment.AppendTo(nil)
		g.Members = append(g.Members, member)
	}
	return g
}

func (f *fleet) committed(name string) kmsg.OffsetFetchResponseGroup {
	g := kmsg.NewOffsetFetchResponseGroup()
	g.Group = name
	group := number(name)
	topic := group % f.topics
	t := kmsg.NewOffsetFetchResponseGroupTopic()
	t.Topic, t.TopicID = topicName(topic), topicID(topic)
	for p := range f.partitions {
		part := kmsg.NewOffsetFetchResponseGroupTopicPartition()
		part.Partition, part.Offset = int32(p), f.head(topic, p)
		switch {
		case group%100 == 0:
			part.Offset = int64(1000 + topic%97) // stands still
		case f.active(topic, p):
			part.Offset -= 3
		}
		t.Partitions = append(t.Partitions, part)
	}
	g.Topics = append(g.Topics, t)
	return g
}

func configs(asked kmsg.DescribeConfigsRequestResource) kmsg.DescribeConfigsResponseResource {
	r := kmsg.NewDescribeConfigsResponseResource()
	r.ResourceType, r.ResourceName = asked.ResourceType, asked.ResourceName
	for name, value := range map[string]string{"cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1", "min.insync.replicas": "2"} {
		c := kmsg.NewDescribeConfigsResponseResourceConfig()
		c.Name, c.Value = name, &value
		r.Configs = append(r.Configs, c)
	}
	return r
}

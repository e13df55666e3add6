package broker

// Metadata, key 3, versions 0–13. Deviations: replicas and in-sync replicas are always this broker alone, whatever
// replication factor a topic was created with; a topic created by this request is answered at once, without
// LEADER_NOT_AVAILABLE.

import (
	"errors"
	"math"
	"sync/atomic"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func metadataAPI() api { return api{key: 3, min: 0, max: 13, handle: handleMetadata} }

// What a client may do when nobody is denied anything: Kafka's operation numbers as bits.
const (
	topicOperations   = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
	clusterOperations = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
	notAsked          = math.MinInt32
)

func handleMetadata(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.MetadataRequest)
	resp := kmsg.NewPtrMetadataResponse()
	cluster := b.engine.ClusterID()
	resp.ClusterID = &cluster
	resp.ControllerID = b.o.NodeID
	resp.Brokers = []kmsg.MetadataResponseBroker{{NodeID: b.o.NodeID, Host: b.host, Port: b.port}}
	resp.AuthorizedOperations, resp.Topics = notAsked, []kmsg.MetadataResponseTopic{}
	if req.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = clusterOperations
	}
	operations := int32(notAsked)
	if req.IncludeTopicAuthorizedOperations {
		operations = topicOperations
	}
	if req.Topics == nil || r.version == 0 && len(req.Topics) == 0 {
		for _, t := range b.engine.Topics() {
			resp.Topics = append(resp.Topics, b.describeTopic(t, operations))
		}
		reply(resp)
		return
	}
	create := r.version < 4 || req.AllowAutoTopicCreation
	seen := make(map[string]bool, min(len(req.Topics), 64))
	for _, t := range req.Topics {
		if t.Topic != nil && *t.Topic != "" {
			if seen[*t.Topic] {
				continue
			}
			seen[*t.Topic] = true
		}
		resp.Topics = append(resp.Topics, b.metadataOf(t, create, operations))
	}
	reply(resp)
}

// metadataOf answers one topic asked for, by id or by name.
func (b *Broker) metadataOf(ask kmsg.MetadataRequestTopic, create bool, operations int32) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.TopicID, out.AuthorizedOperations = ask.Topic, ask.TopicID, notAsked
	if ask.Topic == nil || *ask.Topic == "" && ask.TopicID != [16]byte{} {
		t, ok := b.engine.TopicByID(ask.TopicID)
		if !ok {
			out.ErrorCode = codeUnknownTopicID
			return out
		}
		return b.describeTopic(t, operations)
	}
	t, ok := b.engine.Topic(*ask.Topic)
	if !ok {
		var err error
		if t, err = b.missingTopic(*ask.Topic, create); err != nil {
			out.ErrorCode = codeOf(err)
			return out
		}
	}
	return b.describeTopic(t, operations)
}

// missingTopic creates a topic a client asked for, where that is allowed. The name is checked either way.
func (b *Broker) missingTopic(name string, create bool) (engine.Topic, error) {
	if err := b.engine.CheckTopic(name, 1, nil); err != nil && !errors.Is(err, engine.ErrTopicExists) {
		return engine.Topic{}, err
	}
	if !create || !b.o.AutoCreateTopics || b.settings().noAutoCreate {
		return engine.Topic{}, engine.ErrUnknownTopic
	}
	t, err := b.engine.CreateTopic(b.ctx, name, b.defaultPartitions(), nil)
	if errors.Is(err, engine.ErrTopicExists) {
		if t, ok := b.engine.Topic(name); ok {
			return t, nil
		}
		return t, engine.ErrUnknownTopic
	}
	return t, err
}

func (b *Broker) describeTopic(t engine.Topic, operations int32) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.TopicID, out.IsInternal, out.AuthorizedOperations = &t.Name, t.ID, t.Internal, operations
	out.Partitions = make([]kmsg.MetadataResponseTopicPartition, t.Partitions)
	me, epoch := []int32{b.o.NodeID}, b.leaderEpoch(t)
	for i := range out.Partitions {
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Partition, p.Leader, p.LeaderEpoch = int32(i), b.o.NodeID, epoch
		p.Replicas, p.ISR, p.OfflineReplicas = me, me, []int32{}
		out.Partitions[i] = p
	}
	return out
}

// leaderEpoch is this broker's, the same for all partitions while the engine runs; it is asked of the engine once.
func (b *Broker) leaderEpoch(t engine.Topic) int32 {
	if e := b.epoch.Load(); e != nil {
		return *e
	}
	p, err := b.engine.Partition(t.Name, 0)
	if err != nil {
		return -1
	}
	e := p.LeaderEpoch()
	b.epoch.Store(&e)
	return e
}

type epochCache = atomic.Pointer[int32]

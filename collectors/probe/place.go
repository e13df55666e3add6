package probe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/collectors"
)

const (
	askedAtOnce = 3  // brokers that are asked for the layout at once: the first answer counts
	candidates  = 64 // names of groups among which each broker's is found
	nobody      = -1 // the broker of partitions without a leader

	lookForGroups = 12 // rounds between two looks for groups of brokers that have none
)

// layout is where to write, as brokers last told.
type layout struct {
	brokers []int32
	topics  map[string]topicPlace
	groups  map[int32]string // by coordinator: a group of ours that the broker looks after
}

type topicPlace struct {
	id    [16]byte
	parts map[int32]int32 // who answers for a partition: its leader, or the only broker that could be
}

// of lists a broker's partitions of a topic, in order.
func (t topicPlace) of(broker int32) []int32 {
	var out []int32
	for p, b := range t.parts {
		if b == broker {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// look asks for the layout: some brokers at once, for one that hangs must not cost the others their round.
func (p *Probe) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, layoutWithin)
	defer cancel()
	answers := make(chan *kmsg.MetadataResponse, askedAtOnce+1)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	ask := func(request func(context.Context, kmsg.Request) (kmsg.Response, error)) {
		answer, err := request(ctx, p.metadataRequest())
		if err != nil {
			mu.Lock()
			failed = err
			mu.Unlock()
			return
		}
		answers <- answer.(*kmsg.MetadataResponse)
		cancel()
	}
	for i := range min(askedAtOnce, len(p.layout.brokers)) {
		id := p.layout.brokers[(p.rounds+i)%len(p.layout.brokers)]
		wg.Go(func() { ask(p.client.Broker(int(id)).Request) })
	}
	if len(p.layout.brokers) < askedAtOnce {
		wg.Go(func() { ask(p.client.Request) }) // any, the seeds too
	}
	wg.Wait()
	select {
	case m := <-answers:
		p.absorb(m)
		return nil
	default:
		return fmt.Errorf("asking where to send: %w", failed)
	}
}

func (p *Probe) metadataRequest() *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = false
	topics := map[string]bool{}
	for _, c := range p.cases {
		topics[c.Topic] = true
	}
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	return req
}

func (p *Probe) absorb(m *kmsg.MetadataResponse) {
	p.layout.brokers = p.layout.brokers[:0]
	for _, b := range m.Brokers {
		p.layout.brokers = append(p.layout.brokers, b.NodeID)
	}
	slices.Sort(p.layout.brokers)
	p.layout.topics = map[string]topicPlace{}
	for _, t := range m.Topics {
		if t.Topic == nil || t.ErrorCode != 0 && t.ErrorCode != kerr.LeaderNotAvailable.Code {
			continue
		}
		place := topicPlace{id: t.TopicID, parts: map[int32]int32{}}
		for _, part := range t.Partitions {
			owner := part.Leader
			if owner < 0 && len(part.Replicas) == 1 {
				owner = part.Replicas[0]
			}
			place.parts[part.Partition] = max(nobody, owner)
		}
		p.layout.topics[*t.Topic] = place
	}
}

// settleIn makes what the probe needs and lacks: its topic, a partition on each broker, a group at each coordinator.
func (p *Probe) settleIn(ctx context.Context) error {
	own, ok := p.layout.topics[collectors.OwnPrefix]
	if !ok {
		if err := p.create(ctx); err != nil {
			return err
		}
		if err := p.look(ctx); err != nil {
			return err
		}
		own = p.layout.topics[collectors.OwnPrefix]
	}
	var errs []error
	if missing := p.without(own); len(own.parts) > 0 && len(missing) > 0 && p.pinned {
		errs = append(errs, p.extend(ctx, len(own.parts), missing))
	}
	if p.refind || p.rounds%lookForGroups == 0 && slices.ContainsFunc(p.layout.brokers, func(b int32) bool { return p.layout.groups[b] == "" }) {
		errs = append(errs, p.findCoordinators(ctx))
	}
	for _, c := range p.cases {
		if _, ok := p.layout.topics[c.Topic]; !ok {
			errs = append(errs, fmt.Errorf("case %s: there is no topic %s that may be written to", c.Name, c.Topic))
		}
	}
	return errors.Join(errs...)
}

// without lists the brokers that have no partition of our topic.
func (p *Probe) without(own topicPlace) []int32 {
	has := map[int32]bool{}
	for _, b := range own.parts {
		has[b] = true
	}
	return slices.DeleteFunc(slices.Clone(p.layout.brokers), func(b int32) bool { return has[b] })
}

// create makes our topic: a partition for each broker with its only copy there. Where a cluster's policy forbids that,
// the topic gets as many partitions as there are brokers, and those brokers are probed that lead one.
func (p *Probe) create(ctx context.Context) error {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = collectors.OwnPrefix, -1, -1
	for i, b := range p.layout.brokers {
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Partition, a.Replicas = int32(i), []int32{b}
		t.ReplicaAssignment = append(t.ReplicaAssignment, a)
	}
	for name, value := range map[string]string{"retention.ms": "3600000", "cleanup.policy": "delete", "compression.type": "producer", "min.insync.replicas": "1"} {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = name, kmsg.StringPtr(value)
		t.Configs = append(t.Configs, c)
	}
	err := p.createAs(ctx, t)
	if err != nil && ctx.Err() == nil && !errors.Is(err, kerr.TopicAuthorizationFailed) && !errors.Is(err, kerr.ClusterAuthorizationFailed) {
		t.ReplicaAssignment, t.NumPartitions, t.Configs = nil, int32(len(p.layout.brokers)), nil
		if again := p.createAs(ctx, t); again == nil {
			p.pinned = false
			return nil
		}
	}
	return err
}

func (p *Probe) createAs(ctx context.Context, t kmsg.CreateTopicsRequestTopic) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics, req.TimeoutMillis = []kmsg.CreateTopicsRequestTopic{t}, int32(ackWithin.Milliseconds())
	answer, err := p.client.Request(ctx, req)
	if err != nil {
		return fmt.Errorf("making the topic %s: %w", t.Topic, err)
	}
	for _, t := range answer.(*kmsg.CreateTopicsResponse).Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("making the topic %s: %w", t.Topic, err)
		}
	}
	return nil
}

// extend gives new brokers their partition.
func (p *Probe) extend(ctx context.Context, have int, brokers []int32) error {
	t := kmsg.NewCreatePartitionsRequestTopic()
	t.Topic, t.Count = collectors.OwnPrefix, int32(have+len(brokers))
	for _, b := range brokers {
		a := kmsg.NewCreatePartitionsRequestTopicAssignment()
		a.Replicas = []int32{b}
		t.Assignment = append(t.Assignment, a)
	}
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Topics, req.TimeoutMillis = []kmsg.CreatePartitionsRequestTopic{t}, int32(ackWithin.Milliseconds())
	answer, err := p.client.Request(ctx, req)
	if err != nil {
		return fmt.Errorf("giving brokers %v a partition: %w", brokers, err)
	}
	for _, t := range answer.(*kmsg.CreatePartitionsResponse).Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			p.pinned = false // it is not ours to place: leave it as it is
			return fmt.Errorf("giving brokers %v a partition: %w", brokers, err)
		}
	}
	return nil
}

// findCoordinators finds for each broker one of our groups' names that it looks after.
func (p *Probe) findCoordinators(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, layoutWithin)
	defer cancel()
	req := kmsg.NewPtrFindCoordinatorRequest()
	for i := range candidates {
		req.CoordinatorKeys = append(req.CoordinatorKeys, collectors.OwnPrefix+"-"+strconv.Itoa(i))
	}
	answer, err := p.client.Request(ctx, req)
	if err != nil {
		return fmt.Errorf("finding coordinators: %w", err)
	}
	groups := map[int32]string{}
	var failed error
	for _, c := range answer.(*kmsg.FindCoordinatorResponse).Coordinators {
		if err := kerr.ErrorForCode(c.ErrorCode); err != nil {
			failed = err
		} else if groups[c.NodeID] == "" {
			groups[c.NodeID] = c.Key
		}
	}
	if len(groups) == 0 && failed != nil {
		return fmt.Errorf("finding coordinators: %w", failed)
	}
	p.layout.groups, p.refind = groups, false
	return nil
}

package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

const (
	largeCluster  = 5_000 // partitions from which on slow things are read every slowRounds
	slowRounds    = 6
	maxPerRequest = 5_000 // partitions
)

// readCache is what large clusters are not asked in every round.
type readCache struct {
	rounds     int
	clusterID  string
	controller int32
	brokers    map[int32]brokerState
	topics     map[string]*topicState // as Metadata told; offsets are of the newest round
	newest     map[string]time.Time
	oneByOne   bool // a broker that answers for one group at a time was met
	moved      bool // a leader was not where Metadata said: ask again
	configs    turns[string]
	dynamic    turns[int32] // brokers, for what was set on them while they run
	disks      turns[int32]
	quorum     turns[int32] // one
	quotas     turns[int32] // one
	slots      turns[int32] // one, of how much brokers copy at once
	log        logReader    // of the group log
	tierLog    logReader
}

// read asks the cluster for everything of one round. What fails or finds no time is missing in the snapshot.
//
// The order matters: members before committed offsets, so that a commit of a member that left is not taken
// for one without members; committed offsets before heads, so that lag is never negative. What waits for nothing goes side by
// side, because a cluster may be far away, or slow.
func (c *Collector) read(ctx context.Context, now time.Time) *snapshot {
	s := &snapshot{at: now, groups: map[string]*groupState{}, topics: map[string]*topicState{}}
	c.readMetadata(ctx, s)
	var reaching sync.WaitGroup
	reaching.Go(func() { c.readReachability(ctx, s) })
	if s.brokers != nil {
		c.readGroups(ctx, s)
	}
	reaching.Wait()
	if s.brokers != nil {
		// The others are a few requests each: they leave the budget to offsets.
		beside(ctx, s, c.readOffsets, c.readConfigs, c.readDisks, c.readQuorum, c.readQuotas, c.readSlots, c.readGroupLog, c.readTierLog)
		c.readHeld(ctx, s)
	}
	c.denials.forget(now)
	c.cache.rounds++
	return s
}

// beside does all of it side by side. Each fills another part of the snapshot.
func beside(ctx context.Context, s *snapshot, reads ...func(context.Context, *snapshot)) {
	var wg sync.WaitGroup
	for _, read := range reads {
		wg.Go(func() { read(ctx, s) })
	}
	wg.Wait()
}

// slow reports whether this is a round for what large clusters are asked only now and then.
func (c *Collector) slow() bool {
	n := 0
	for _, t := range c.cache.topics {
		n += len(t.parts)
	}
	return n < largeCluster || c.cache.rounds%slowRounds == 0
}

func (c *Collector) readMetadata(ctx context.Context, s *snapshot) {
	if c.cache.brokers == nil || c.cache.moved || c.slow() {
		if err := c.askMetadata(ctx); err != nil {
			s.fail(err)
			return
		}
	}
	s.clusterID, s.controller, s.brokers = c.cache.clusterID, c.cache.controller, c.cache.brokers
	s.topics, s.topicsRead = c.cache.topics, true
	for _, name := range c.denials.shown(s.topics) {
		s.hide(streamkeeper.KindTopic, name)
	}
	for _, t := range s.topics {
		t.forgetOffsets()
	}
}

func (c *Collector) askMetadata(ctx context.Context) error {
	// Half of the round at most: the rest is for finding out which brokers still answer.
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	resp, err := c.metadata(ctx, nil)
	if err != nil {
		return fmt.Errorf("asking for metadata: %w", err)
	}
	c.cache.moved, c.cache.controller = false, resp.ControllerID
	if resp.ClusterID != nil {
		c.cache.clusterID = *resp.ClusterID
	}
	brokers := make(map[int32]brokerState, len(resp.Brokers))
	for _, b := range resp.Brokers {
		state := brokerState{address: net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))}
		if b.Rack != nil {
			state.rack = *b.Rack
		}
		brokers[b.NodeID] = state
	}
	topics := make(map[string]*topicState, len(resp.Topics))
	for _, t := range resp.Topics {
		if t.Topic == nil || t.ErrorCode != 0 && t.ErrorCode != kerr.LeaderNotAvailable.Code {
			continue // being deleted, or not ours to see
		}
		if collectors.Own(*t.Topic) {
			continue // its copies stay where they are, whatever is done to a broker: it would hide that leaders were moved
		}
		topics[*t.Topic] = newTopicState(t)
	}
	if err := c.askVanished(ctx, topics); err != nil {
		return err
	}
	c.cache.brokers, c.cache.topics = brokers, topics
	return nil
}

// metadata asks for topics and what we may do with them, or for all without that where topics is nil. Which broker answers the
// client finds out, and learns where all are: it is asked for no topics, because it would keep a copy of each.
func (c *Collector) metadata(ctx context.Context, topics []kmsg.MetadataRequestTopic) (*kmsg.MetadataResponse, error) {
	if err := c.budget.Wait(ctx); err != nil {
		return nil, err
	}
	brokers := kmsg.NewPtrMetadataRequest()
	brokers.Topics = []kmsg.MetadataRequestTopic{}
	found := c.client.RequestSharded(ctx, brokers)[0]
	if found.Err != nil {
		return nil, found.Err
	}
	if err := c.budget.Wait(ctx); err != nil {
		return nil, err
	}
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation, req.Topics, req.IncludeTopicAuthorizedOperations = false, topics, topics != nil
	answer, err := c.client.Broker(int(found.Meta.NodeID)).RetriableRequest(ctx, req)
	if err != nil {
		return nil, err
	}
	return answer.(*kmsg.MetadataResponse), nil
}

func newTopicState(t kmsg.MetadataResponseTopic) *topicState {
	state := &topicState{id: t.TopicID, internal: t.IsInternal, parts: make([]partState, len(t.Partitions))}
	for i := range state.parts {
		state.parts[i] = newPartState()
	}
	for _, p := range t.Partitions {
		if p.Partition < 0 || int(p.Partition) >= len(t.Partitions) {
			continue
		}
		part := &state.parts[p.Partition]
		part.leader, part.replicas, part.isr = p.Leader, p.Replicas, p.ISR
	}
	return state
}

// readReachability asks every broker that is or was known for a sign of life, all at once.
func (c *Collector) readReachability(ctx context.Context, s *snapshot) {
	s.reachable, s.refused = map[int32]bool{}, map[int32]bool{}
	ids := slices.Collect(maps.Keys(s.brokers))
	for id, b := range c.track.brokers {
		if _, ok := s.brokers[id]; ok {
			continue
		}
		if b.state.address == "" { // it was away when we came: nobody tells where it would be
			s.reachable[id] = false
			continue
		}
		ids = append(ids, id)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var mu sync.Mutex
	// A broker that does not answer is what is measured here, no failure of the measurement.
	c.each(ctx, ids, func(id int32) error {
		req := kmsg.NewPtrMetadataRequest()
		req.Topics = []kmsg.MetadataRequestTopic{} // none: brokers only
		_, err := c.client.Broker(int(id)).RetriableRequest(ctx, req)
		mu.Lock()
		defer mu.Unlock()
		s.reachable[id], s.refused[id] = err == nil, errors.Is(err, syscall.ECONNREFUSED)
		return nil
	}, s)
}

// each calls ask for every broker at once, within the budget, keeps the errors, and reports whether there were none.
func (c *Collector) each(ctx context.Context, ids []int32, ask func(id int32) error, s *snapshot) (whole bool) {
	var wg sync.WaitGroup
	errs := make([]error, len(ids))
	slices.Sort(ids)
	for i, id := range ids {
		if err := c.budget.Wait(ctx); err != nil {
			errs[i] = fmt.Errorf("asking broker %d: %w", id, err)
			continue
		}
		wg.Go(func() {
			if err := ask(id); err != nil {
				errs[i] = fmt.Errorf("asking broker %d: %w", id, err)
			}
		})
	}
	wg.Wait()
	whole = true
	for _, err := range errs {
		whole = whole && err == nil
		s.fail(err)
	}
	return whole
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

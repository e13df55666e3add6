package kafka

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper/collectors"
)

const (
	groupsPerRequest = 500
	consumerProtocol = "consumer"
)

// readGroups lists the consumer groups, describes them and reads their committed offsets.
func (c *Collector) readGroups(ctx context.Context, s *snapshot) {
	c.listGroups(ctx, s)
	topics := s.topicNames()
	c.describeGroups(ctx, s, topics)
	c.readCommitted(ctx, s, topics)
}

// describeGroups asks each coordinator for the groups that it listed, all coordinators at once.
func (c *Collector) describeGroups(ctx context.Context, s *snapshot, topics map[[16]byte]string) {
	var asking sync.WaitGroup
	defer asking.Wait()
	describe := func(lists [][]string, doing string, request func(names []string) kmsg.Request, take func(kmsg.Response)) {
		for _, names := range lists {
			asking.Go(func() {
				for chunk := range slices.Chunk(names, groupsPerRequest) {
					c.coordinated(ctx, s, request(chunk), doing, take)
				}
			})
		}
	}
	// Answers take groups off the list: both lists are made before.
	classic := s.byCoordinator(func(g *groupState) bool { return !g.described && !g.kip848 })
	consumer := s.byCoordinator(func(g *groupState) bool { return !g.described && g.kip848 })
	describe(classic, "describing groups", func(names []string) kmsg.Request {
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Groups = names
		return req
	}, func(resp kmsg.Response) {
		for _, g := range resp.(*kmsg.DescribeGroupsResponse).Groups {
			c.describedClassic(s, g)
		}
	})
	describe(consumer, "describing consumer groups", func(names []string) kmsg.Request {
		req := kmsg.NewPtrConsumerGroupDescribeRequest()
		req.Groups = names
		return req
	}, func(resp kmsg.Response) {
		for _, g := range resp.(*kmsg.ConsumerGroupDescribeResponse).Groups {
			c.describedConsumer(s, g, topics)
		}
	})
}

// byCoordinator lists the groups that pass, each in one of as many lists as there are brokers: a request for groups of
// several coordinators would be split into as many requests.
func (s *snapshot) byCoordinator(pass func(*groupState) bool) [][]string {
	lists := map[int32][]string{}
	for _, name := range sortedKeys(s.groups) {
		if g := s.groups[name]; pass(g) {
			lists[g.coordinator] = append(lists[g.coordinator], name)
		}
	}
	out := make([][]string, 0, len(lists))
	for _, id := range sortedKeys(lists) {
		out = append(out, lists[id])
	}
	return out
}

// atCoordinators lists the groups by who listed them.
func (s *snapshot) atCoordinators() map[int32][]string {
	lists := map[int32][]string{}
	for _, names := range s.byCoordinator(func(*groupState) bool { return true }) {
		lists[s.groups[names[0]].coordinator] = names
	}
	return lists
}

// topicNames are the topics by their ids.
func (s *snapshot) topicNames() map[[16]byte]string {
	names := make(map[[16]byte]string, len(s.topics))
	for name, t := range s.topics {
		names[t.id] = name
	}
	return names
}

// listGroups asks every broker for the groups it coordinates. The list is whole only when all answered.
func (c *Collector) listGroups(ctx context.Context, s *snapshot) {
	s.groupsRead = c.each(ctx, sortedKeys(s.brokers), func(id int32) error {
		answer, err := c.client.Broker(int(id)).RetriableRequest(ctx, kmsg.NewPtrListGroupsRequest())
		if err != nil {
			return fmt.Errorf("listing groups: %w", err)
		}
		resp := answer.(*kmsg.ListGroupsResponse)
		if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
			return fmt.Errorf("listing groups: %w", err)
		}
		s.taking.Lock()
		defer s.taking.Unlock()
		for _, g := range resp.Groups {
			kind := strings.ToLower(g.GroupType)
			if kind != "" && kind != "classic" && kind != "consumer" { // share and streams groups commit otherwise
				continue
			}
			if g.ProtocolType != "" && g.ProtocolType != consumerProtocol { // Connect workers and the like
				continue
			}
			if collectors.Own(g.Group) || c.denials.lately(g.Group, s.at) {
				continue
			}
			state := &groupState{coordinator: id, kip848: kind == "consumer"}
			if g.GroupState == "Empty" { // it has no members, and a description would tell no more
				state.state, state.described = g.GroupState, true
			}
			s.groups[g.Group] = state
		}
		return nil
	}, s)
	if s.groupsRead {
		c.relist(s)
	}
}

// coordinated sends a request about groups of one coordinator. It goes through the client's own routing, which asks again
// where a group has moved meanwhile, and splits it for brokers that take one group at a time. Answers are taken one by one.
func (c *Collector) coordinated(ctx context.Context, s *snapshot, req kmsg.Request, doing string, take func(kmsg.Response)) {
	if err := c.budget.Wait(ctx); err != nil {
		s.fail(fmt.Errorf("%s: %w", doing, err))
		return
	}
	shards := c.client.RequestSharded(ctx, req)
	s.taking.Lock()
	defer s.taking.Unlock()
	for _, shard := range shards {
		switch {
		case shard.Err == nil:
			take(shard.Resp)
		case !c.denyGroups(s, shard.Req, shard.Err):
			s.fail(fmt.Errorf("%s: %w", doing, shard.Err))
		}
	}
}

func (c *Collector) describedClassic(s *snapshot, g kmsg.DescribeGroupsResponseGroup) {
	state := s.groups[g.Group]
	if state == nil || !c.groupAnswered(s, g.Group, g.ErrorCode, g.State) {
		return
	}
	if g.ProtocolType != "" && g.ProtocolType != consumerProtocol { // the name is another kind of group's by now
		delete(s.groups, g.Group)
		return
	}
	state.state, state.assignor, state.described = g.State, g.Protocol, true
	for _, m := range g.Members {
		member := memberState{id: m.MemberID, client: m.ClientID, host: plainHost(m.ClientHost), assigned: assignedBy(m.MemberAssignment)}
		if m.InstanceID != nil {
			member.instance = *m.InstanceID
		}
		state.members = append(state.members, member)
	}
}

func (c *Collector) describedConsumer(s *snapshot, g kmsg.ConsumerGroupDescribeResponseGroup, topics map[[16]byte]string) {
	state := s.groups[g.Group]
	if state == nil || !c.groupAnswered(s, g.Group, g.ErrorCode, g.State) {
		return
	}
	state.state, state.assignor, state.described = g.State, g.AssignorName, true
	state.epoch, state.assigned = g.Epoch, g.AssignmentEpoch
	for _, m := range g.Members {
		if m.MemberEpoch < g.Epoch {
			state.behind++
		}
		state.moving += toMove(m.Assignment, m.TargetAssignment)
		member := memberState{id: m.MemberID, client: m.ClientID, host: plainHost(m.ClientHost)}
		if m.InstanceID != nil {
			member.instance = *m.InstanceID
		}
		for _, t := range m.Assignment.TopicPartitions {
			name := cmp.Or(t.Topic, topics[t.TopicID])
			member.assigned = slices.Grow(member.assigned, len(t.Partitions))
			for _, index := range t.Partitions {
				member.assigned = append(member.assigned, partition{name, index})
			}
		}
		slices.SortFunc(member.assigned, comparePartitions)
		state.members = append(state.members, member)
	}
}

// toMove counts the partitions of a target that are not owned yet.
func toMove(owned, target kmsg.Assignment) (n int) {
	same := func(a, b kmsg.AssignmentTopicPartition) bool {
		return a.TopicID == b.TopicID && slices.Equal(a.Partitions, b.Partitions)
	}
	if slices.EqualFunc(owned.TopicPartitions, target.TopicPartitions, same) { // nearly always: no memory for that
		return 0
	}
	has := map[[16]byte][]int32{}
	for _, t := range owned.TopicPartitions {
		has[t.TopicID] = t.Partitions
	}
	for _, t := range target.TopicPartitions {
		mine := make(map[int32]bool, len(t.Partitions))
		for _, index := range has[t.TopicID] {
			mine[index] = true
		}
		for _, index := range t.Partitions {
			if !mine[index] {
				n++
			}
		}
	}
	return n
}

// plainHost strips what Kafka puts before an address and what others put behind it: members are told
// apart by their machine, not by their connection.
func plainHost(host string) string {
	host = strings.TrimPrefix(host, "/")
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return host
}

// groupAnswered reports whether a description can be used. A group that has ended since it was listed, or
// that we may not see, is taken off the list; any other error leaves it undescribed.
func (c *Collector) groupAnswered(s *snapshot, name string, code int16, state string) bool {
	err := kerr.ErrorForCode(code)
	switch {
	case code == kerr.GroupIDNotFound.Code, err == nil && state == "Dead":
		delete(s.groups, name)
		return false
	case code == kerr.GroupAuthorizationFailed.Code, code == kerr.TopicAuthorizationFailed.Code: // of a topic that it reads
		c.denyGroup(s, name)
		return false
	case err != nil:
		s.fail(fmt.Errorf("describing group %s: %w", name, err))
		return false
	}
	return true
}

// committedAtOnce is how many requests for committed offsets are under way: a coordinator works on one while the answer to
// another is read.
const committedAtOnce = 3

func (c *Collector) readCommitted(ctx context.Context, s *snapshot, topics map[[16]byte]string) {
	var (
		rest []string // groups that have moved, or all of brokers that take one at a time
		wg   sync.WaitGroup
	)
	free := make(chan struct{}, committedAtOnce)
	for coordinator, names := range s.atCoordinators() {
		for len(names) > 0 {
			var chunk []string
			chunk, names = c.track.affordable(names)
			free <- struct{}{}
			wg.Go(func() {
				left := c.readCommittedAt(ctx, s, coordinator, chunk, topics)
				s.taking.Lock()
				rest = append(rest, left...)
				s.taking.Unlock()
				<-free
			})
		}
	}
	wg.Wait()
	for chunk := range slices.Chunk(rest, groupsPerRequest) {
		c.coordinated(ctx, s, committedRequest(chunk), "reading committed offsets", func(resp kmsg.Response) {
			c.takeAllCommitted(s, resp.(*kmsg.OffsetFetchResponse), topics)
		})
	}
}

// readCommittedAt asks the coordinator that listed the groups, and returns those that it could not answer for: groups that
// have moved, or all of a broker that takes one at a time. The client's own routing would ask the cluster about the topics in
// each answer.
func (c *Collector) readCommittedAt(ctx context.Context, s *snapshot, coordinator int32, names []string, topics map[[16]byte]string) (rest []string) {
	const batched = 8 // the first version that takes several groups
	s.taking.Lock()
	oneByOne := c.cache.oneByOne
	s.taking.Unlock()
	if oneByOne {
		return names
	}
	err := c.budget.Wait(ctx)
	var answer kmsg.Response
	if err == nil {
		answer, err = c.client.Broker(int(coordinator)).RetriableRequest(ctx, committedRequest(names))
	}
	s.taking.Lock()
	defer s.taking.Unlock()
	if err != nil {
		s.fail(fmt.Errorf("reading committed offsets from broker %d: %w", coordinator, err))
		return nil
	}
	resp := answer.(*kmsg.OffsetFetchResponse)
	if resp.Version < batched {
		c.cache.oneByOne = true
		return names
	}
	resp.Groups = slices.DeleteFunc(resp.Groups, func(g kmsg.OffsetFetchResponseGroup) bool {
		moved := g.ErrorCode == kerr.NotCoordinator.Code
		if moved {
			rest = append(rest, g.Group)
		}
		return moved
	})
	c.takeAllCommitted(s, resp, topics)
	return rest
}

func committedRequest(names []string) *kmsg.OffsetFetchRequest {
	req := kmsg.NewPtrOffsetFetchRequest()
	for _, name := range names {
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = name
		req.Groups = append(req.Groups, g)
	}
	return req
}

func (c *Collector) takeAllCommitted(s *snapshot, resp *kmsg.OffsetFetchResponse, topics map[[16]byte]string) {
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		s.fail(fmt.Errorf("reading committed offsets: %w", err))
		return
	}
	for _, g := range resp.Groups {
		c.takeCommitted(s, g, topics)
	}
}

// rowsPerRequest bounds the committed offsets in one answer: a coordinator must not work for seconds on one of ours.
const rowsPerRequest = 10_000

// affordable splits off as many groups as one request may ask for, by what they had in the last round.
func (t *tracker) affordable(names []string) (chunk, rest []string) {
	const usual = 50 // partitions of a group that was not read yet
	rows := 0
	for i, name := range names {
		n := usual
		if g := t.groups[name]; g != nil && g.committed {
			n = g.parts.n
		}
		if rows += n; i > 0 && (rows > rowsPerRequest || i == groupsPerRequest) {
			return names[:i], names[i:]
		}
	}
	return names, nil
}

// has reports whether the cluster has a partition, as far as Metadata told.
func (s *snapshot) has(topic string, index int32) bool {
	t := s.topics[topic]
	return t != nil && index >= 0 && int(index) < len(t.parts)
}

func (c *Collector) takeCommitted(s *snapshot, g kmsg.OffsetFetchResponseGroup, topics map[[16]byte]string) {
	state := s.groups[g.Group]
	if state == nil {
		return
	}
	if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
		if g.ErrorCode == kerr.GroupAuthorizationFailed.Code {
			c.denyGroup(s, g.Group)
			return
		}
		s.fail(fmt.Errorf("reading committed offsets of %s: %w", g.Group, err))
		return
	}
	whole := true
	for _, t := range g.Topics {
		name := cmp.Or(t.Topic, topics[t.TopicID]) // newer brokers tell ids
		for _, p := range t.Partitions {
			switch {
			case p.ErrorCode != 0:
				whole = false
			case p.Offset >= 0 && s.has(name, p.Partition):
				state.committed.put(partition{name, p.Partition}, positionAt(p.Offset))
			}
		}
	}
	if !whole {
		s.fail(fmt.Errorf("reading committed offsets of %s: some partitions failed", g.Group))
	}
	c.denials.allowed(g.Group)
	state.committedRead = whole
}

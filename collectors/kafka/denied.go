package kafka

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper"
)

// sees is something that a cluster may keep from us without being any less watched.
type sees int

const (
	seesTopicConfigs sees = iota
	seesDynamicConfigs
	seesLogDirs
	seesQuorum
	seesProducers
	seesQuotas
	seesMarkers
	seesGroupLog
	seesTierLog
)

// permissions is what each needs; docs/permissions.md has the same rows. Groups are told by name.
var permissions = map[sees]streamkeeper.NotJudged{
	seesTopicConfigs:   {What: "changes of topics' configurations, and what retention deletes", Needs: "the ACL DescribeConfigs on topics"},
	seesDynamicConfigs: {What: "configurations that are changed on running brokers", Needs: "the ACL DescribeConfigs on the cluster"},
	seesLogDirs:        {What: "how full the brokers' disks are, log directories that failed, sizes of partitions", Needs: "the ACL Describe on the cluster (DescribeLogDirs)"},
	seesQuorum:         {What: "the controllers' quorum: its leader, and who is behind", Needs: "the ACL Describe on the cluster (DescribeQuorum)"},
	seesProducers:      {What: "which transactions hold consumers up", Needs: "the ACL Read on topics (DescribeProducers; no record is fetched)"},
	seesQuotas:         {What: "how much the quotas of clients allow", Needs: "the ACL DescribeConfigs on the cluster (DescribeClientQuotas)"},
	seesGroupLog:       {What: "who left groups before we came, and the timeouts of their members", Needs: "the ACL Read on the topic " + groupLog},
	seesTierLog:        {What: "whether copies to remote storage fail or are slow, unless brokers' JMX is read", Needs: "the ACL Read on the topic " + tierLog},
	seesMarkers:        {What: "whether what a group has not read of a topic with transactions is records or their markers", Needs: "the ACL Read on topics (the heads of batches are fetched)"},
}

const (
	askDeniedEvery = time.Minute // that a group that was refused is asked for again: each time costs a request of its own
	deniedNames    = 3           // that are told of many
)

// denials is what the cluster does not let us see. It is safe for concurrent use: reports ask between rounds.
type denials struct {
	mu     sync.Mutex
	denied map[sees]bool
	groups map[string]time.Time // that may not be described, with when they were refused
	topics map[string]bool      // that were seen once and are hidden now
}

func (d *denials) set(what sees, denied bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.denied == nil {
		d.denied = map[sees]bool{}
	}
	d.denied[what] = denied
}

// Untold lists what the cluster does not let us see, and the permission that each needs.
func (c *Collector) Untold() []streamkeeper.NotJudged {
	c.denials.mu.Lock()
	defer c.denials.mu.Unlock()
	var out []streamkeeper.NotJudged
	for _, what := range sortedKeys(c.denials.denied) {
		if c.denials.denied[what] {
			out = append(out, permissions[what])
		}
	}
	if names := sortedKeys(c.denials.groups); len(names) > 0 {
		out = append(out, c.hidden(streamkeeper.KindGroup, names, "its members and its lag", "their members and their lag"))
	}
	if names := sortedKeys(c.denials.topics); len(names) > 0 {
		out = append(out, c.hidden(streamkeeper.KindTopic, names, "it is hidden by now", "they are hidden by now"))
	}
	return out
}

// hidden tells of entities that may not be described: what is not known of one, and of several.
func (c *Collector) hidden(kind streamkeeper.EntityKind, names []string, one, several string) streamkeeper.NotJudged {
	row := streamkeeper.NotJudged{What: string(kind) + " " + names[0] + ": " + one, Needs: "the ACL Describe on the " + string(kind)}
	if len(names) == 1 {
		row.Entity = &streamkeeper.Entity{Kind: kind, Name: names[0], Cluster: c.o.Cluster}
		return row
	}
	shown := strings.Join(names[:min(len(names), deniedNames)], ", ")
	if len(names) > deniedNames {
		shown += ", …"
	}
	row.What = fmt.Sprintf("%d %ss: %s (%s)", len(names), kind, several, shown)
	return row
}

// hide notes that a topic is there, or may be, and is kept from us.
func (d *denials) hide(topic string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.topics == nil {
		d.topics = map[string]bool{}
	}
	if len(d.topics) < maxHidden {
		d.topics[topic] = true
	}
}

// shown notes which topics may be seen, and returns those that are still hidden.
func (d *denials) shown(topics map[string]*topicState) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.topics {
		if topics[name] != nil {
			delete(d.topics, name)
		}
	}
	return sortedKeys(d.topics)
}

// lately reports whether a group was refused so lately that it is not asked for again.
func (d *denials) lately(group string, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, ok := d.groups[group]
	return ok && now.Sub(at) < askDeniedEvery
}

// allowed notes that a group may be described.
func (d *denials) allowed(group string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.groups, group)
}

// forget drops the groups that were not refused for long: they are gone, or hidden altogether.
func (d *denials) forget(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, at := range d.groups {
		if now.Sub(at) >= forgetAfter {
			delete(d.groups, name)
		}
	}
}

// denyGroup takes a group off the list of a round. To be refused is no failure: the cluster answered, and what it lets us
// see is whole.
func (c *Collector) denyGroup(s *snapshot, name string) {
	delete(s.groups, name)
	s.hide(streamkeeper.KindGroup, name)
	c.denials.mu.Lock()
	defer c.denials.mu.Unlock()
	if c.denials.groups == nil {
		c.denials.groups = map[string]time.Time{}
	}
	c.denials.groups[name] = s.at
}

// denyGroups does so with the groups of a request, when its error is that we may not see them.
func (c *Collector) denyGroups(s *snapshot, req kmsg.Request, err error) bool {
	if !errors.Is(err, kerr.GroupAuthorizationFailed) {
		return false
	}
	names := groupsIn(req)
	for _, name := range names {
		c.denyGroup(s, name)
	}
	return len(names) > 0
}

// groupsIn are the groups that a request asks for.
func groupsIn(req kmsg.Request) []string {
	switch r := req.(type) {
	case *kmsg.DescribeGroupsRequest:
		return r.Groups
	case *kmsg.ConsumerGroupDescribeRequest:
		return r.Groups
	case *kmsg.OffsetFetchRequest:
		var names []string
		for _, g := range r.Groups {
			names = append(names, g.Group)
		}
		if len(names) == 0 && r.Group != "" {
			names = append(names, r.Group)
		}
		return names
	}
	return nil
}

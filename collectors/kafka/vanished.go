package kafka

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// What is in a list no longer was deleted, or is hidden from us by an ACL. Lists leave out both; asked for by name they differ.

const (
	vanishedPerRequest = 1000
	// maxHidden bounds the names that are remembered as hidden, which takes some 20 MB. One more would be told as deleted, so
	// it is beyond what a cluster has.
	maxHidden = 200_000
)

// askVanished asks for the topics that the last list had and this one has not. Those that are still there are put into it, those
// that we may not see any more are noted as hidden.
func (c *Collector) askVanished(ctx context.Context, topics map[string]*topicState) error {
	var names []string
	for name := range c.cache.topics {
		if topics[name] == nil && !collectors.Own(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for chunk := range slices.Chunk(names, vanishedPerRequest) {
		req := make([]kmsg.MetadataRequestTopic, len(chunk))
		for i := range chunk {
			req[i].Topic = &chunk[i]
		}
		answer, err := c.metadata(ctx, req)
		if err != nil {
			return fmt.Errorf("asking for topics that are listed no longer: %w", err)
		}
		for _, t := range answer.Topics {
			if t.Topic == nil {
				continue
			}
			switch t.ErrorCode {
			case kerr.UnknownTopicOrPartition.Code: // deleted
			case kerr.TopicAuthorizationFailed.Code:
				c.denials.hide(*t.Topic)
			case 0, kerr.LeaderNotAvailable.Code:
				topics[*t.Topic] = newTopicState(t)
			default: // nothing is known for certain: it stays
				topics[*t.Topic] = c.cache.topics[*t.Topic]
			}
		}
	}
	return nil
}

// relist puts the groups that were there in the last round and are listed no longer on the list once more: their description
// tells whether they are gone.
func (c *Collector) relist(s *snapshot) {
	for name, g := range c.track.groups {
		if s.groups[name] == nil && g.state != nil && !c.denials.lately(name, s.at) {
			s.groups[name] = &groupState{coordinator: g.state.coordinator, kip848: g.state.kip848}
		}
	}
}

// hide notes in a round's snapshot that something is kept from us: it was not deleted, as far as we can know.
func (s *snapshot) hide(kind streamkeeper.EntityKind, name string) {
	if s.hidden == nil {
		s.hidden = map[streamkeeper.Entity]bool{}
	}
	s.hidden[streamkeeper.Entity{Kind: kind, Name: name}] = true
}

// gone notes that something is not there any more and says whether to tell: not of what is only hidden.
func (t *tracker) gone(s *snapshot, kind streamkeeper.EntityKind, name string) bool {
	what := streamkeeper.Entity{Kind: kind, Name: name}
	if s.hidden[what] && len(t.hidden) < maxHidden {
		t.hidden[what] = true
	}
	return !s.hidden[what]
}

// new says whether to tell of something that was not there before: not of what was only hidden, or on a first look.
func (t *tracker) new(kind streamkeeper.EntityKind, name string) bool {
	what := streamkeeper.Entity{Kind: kind, Name: name}
	was := t.hidden[what]
	delete(t.hidden, what)
	return t.comparable() && !was
}

package broker

import (
	"context"

	"github.com/streamkeeper-io/streamkeeper/engine"
)

// topicDeleted forgets what groups committed for a topic that is gone: under a new topic of that name the offsets would
// point anywhere. It waits for the disk; the error is the first one, the other groups are still cleaned.
func (s *groups) topicDeleted(ctx context.Context, topic string) error {
	var first error
	for _, name := range s.engine.GroupsWithOffsets() {
		var keys []engine.OffsetKey
		for k := range s.engine.CommittedOffsets(name) {
			if k.Topic == topic {
				keys = append(keys, k)
			}
		}
		if len(keys) == 0 {
			continue
		}
		if err := s.engine.DeleteOffsets(ctx, name, keys); err != nil && first == nil {
			first = err
		}
	}
	return first
}

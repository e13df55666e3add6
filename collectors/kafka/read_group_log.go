package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// groupLogRead is how the group log is read.
var groupLogRead = ownLog{topic: groupLog, sees: seesGroupLog, fresh: 30 * time.Second, read: readGroupRecords}

// readGroupLog reads on in the group log.
func (c *Collector) readGroupLog(ctx context.Context, s *snapshot) {
	if c.o.GroupLog {
		s.loggedAll = c.readLog(ctx, s, &groupLogRead, &c.cache.log)
	}
}

// readGroupRecords reads what coordinators wrote. All of a group is in one partition.
func readGroupRecords(records []*kgo.Record) (keep func(*snapshot), strange error) {
	var all []logged
	for _, r := range records {
		switch l, ok, err := readLogged(r); {
		case err != nil:
			strange = fmt.Errorf("at %d: %w", r.Offset, err)
		case ok:
			all = append(all, l)
		}
	}
	return func(s *snapshot) { s.logged = append(s.logged, all...) }, strange
}

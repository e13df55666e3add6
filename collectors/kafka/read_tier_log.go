package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	tierLogCalm  = 2  // brokers that had nothing new, asked in a look; more where they would not all be within
	tierLogLooks = 12 // so many looks
)

// tierLogRead is how the tier log is read: where nothing is copied it costs two requests a look.
var tierLogRead = ownLog{topic: tierLog, sees: seesTierLog, fresh: 90 * time.Second, read: readTierRecords, calm: func(brokers int) int {
	return max(tierLogCalm, (brokers+tierLogLooks-1)/tierLogLooks)
}}

// readTierLog reads on in the tier log.
func (c *Collector) readTierLog(ctx context.Context, s *snapshot) {
	if c.o.TierLog {
		s.copiedAll = c.readLog(ctx, s, &tierLogRead, &c.cache.tierLog)
	}
}

// readTierRecords reads what brokers wrote. All of a partition is in one partition of the log.
func readTierRecords(records []*kgo.Record) (keep func(*snapshot), strange error) {
	var all []copied
	for _, r := range records {
		switch l, ok, err := readCopied(r); {
		case err != nil:
			strange = fmt.Errorf("at %d: %w", r.Offset, err)
		case ok:
			all = append(all, l)
		}
	}
	return func(s *snapshot) { s.copied = append(s.copied, all...) }, strange
}

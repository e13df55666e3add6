package kafka

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	disksEvery  = time.Minute
	disksAtOnce = 5 // brokers; of more, the next ones each time
)

// brokerDisks is what a broker holds, and where.
type brokerDisks struct {
	dirs  []logDir
	sizes map[partition]int64 // bytes of its own copies, also of those that it does not lead
}

// logDir is one log directory. total and usable are of its volume, unset when the broker does not tell.
type logDir struct {
	path          string
	offline       bool
	total, usable int64
}

// readDisks asks some brokers, in turn, for their log directories. A broker that does not answer is told of elsewhere.
func (c *Collector) readDisks(ctx context.Context, s *snapshot) {
	if c.o.Kind == "embedded" || !c.cache.disks.due(s.at, disksEvery) {
		return
	}
	var (
		mu sync.Mutex
		wg sync.WaitGroup
	)
	s.disks = map[int32]brokerDisks{}
	denied, answered := false, false
	for _, id := range c.cache.disks.next(s.at, sortedKeys(s.brokers), disksAtOnce) {
		if !s.reachable[id] || c.budget.Wait(ctx) != nil {
			continue
		}
		wg.Go(func() {
			answer, err := c.client.Broker(int(id)).RetriableRequest(ctx, kmsg.NewPtrDescribeLogDirsRequest())
			if err != nil {
				return
			}
			resp := answer.(*kmsg.DescribeLogDirsResponse)
			mu.Lock()
			defer mu.Unlock()
			answered = true
			// Before version 3 there is no word for a refusal: no directory is told, though each broker has one.
			if resp.Version < 3 && len(resp.Dirs) == 0 || resp.ErrorCode == kerr.ClusterAuthorizationFailed.Code {
				denied = true
				return
			}
			if resp.ErrorCode == 0 {
				s.disks[id] = disksOf(resp)
			}
		})
	}
	wg.Wait()
	if answered {
		c.denials.set(seesLogDirs, denied)
	}
	if denied {
		c.cache.disks.rest(s.at, disksEvery)
	}
}

func disksOf(resp *kmsg.DescribeLogDirsResponse) brokerDisks {
	out := brokerDisks{sizes: map[partition]int64{}}
	for _, d := range resp.Dirs {
		if d.ErrorCode != 0 && d.ErrorCode != kerr.KafkaStorageError.Code {
			continue
		}
		out.dirs = append(out.dirs, logDir{path: d.Dir, offline: d.ErrorCode != 0, total: d.TotalBytes, usable: d.UsableBytes})
		for _, t := range d.Topics {
			for _, p := range t.Partitions {
				if !p.IsFuture { // a copy that is on its way to another directory
					out.sizes[partition{t.Topic, p.Partition}] = p.Size
				}
			}
		}
	}
	return out
}

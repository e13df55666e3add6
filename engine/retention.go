package engine

import (
	"context"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/meta"
)

// retain moves log starts by age and size. Both act on runs in the store: data is offloaded before it is deleted, so the
// local log needs no retention of its own.
func (e *Engine) retain(ctx context.Context, now time.Time) error {
	for _, t := range e.meta.Snapshot().Topics {
		conf := resolve(t, e.meta.Snapshot().Broker)
		if !conf.deletes || conf.retentionMs < 0 && conf.retentionBytes < 0 {
			continue
		}
		if err := e.retainTopic(ctx, t, conf, now); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
	}
	return nil
}

func (e *Engine) retainTopic(ctx context.Context, t *meta.Topic, conf *topicConf, now time.Time) error {
	for _, x := range t.Extents {
		for i := range uint32(x.Count) {
			stream := x.Stream + i
			cold, ok, err := e.tier.Extent(stream)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			p, err := e.topics.stream(stream)
			if err != nil {
				return err
			}
			if p == nil {
				break // deleted meanwhile
			}
			to, err := p.retainedFrom(conf, now, cold.Bytes)
			if err != nil {
				return err
			}
			if to > p.LogStart() {
				if err := p.moveLogStart(ctx, to); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// retainedFrom is the first offset that retention keeps. Runs go whole.
func (p *Partition) retainedFrom(conf *topicConf, now time.Time, coldBytes int64) (int64, error) {
	from := p.LogStart()
	total := coldBytes
	for _, m := range p.e.mems.list() {
		if r, ok := m.Run(p.stream); ok {
			total += r.Bytes
		}
	}
	oldest := now.UnixMilli() - conf.retentionMs
	for {
		row, ok, err := p.e.tier.Lookup(p.stream, from)
		if err != nil || !ok {
			return from, err
		}
		aged := conf.retentionMs >= 0 && row.MaxTimestamp < oldest
		large := conf.retentionBytes >= 0 && total-row.Bytes >= conf.retentionBytes
		if !aged && !large {
			return from, nil
		}
		total -= row.Bytes
		from = row.Next
	}
}

package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The special timestamps of ListOffsets for tiered storage, and the versions that know them (KIP-405, KIP-1005): brokers of
// before take them for times.
const (
	atLocal  int64 = -4
	atTiered int64 = -5

	knowsLocal  = 8
	knowsTiered = 9
)

// tieredState is what a leader has on its own disk and in the remote store; unset where that was not told.
type tieredState struct {
	local int64 // the first offset on its disk
	next  int64 // the first one that is not in the store yet
}

// readTiered reads how far the topics with tiered storage were copied.
func (c *Collector) readTiered(ctx context.Context, s *snapshot, wanted []partition) {
	if c.o.Kind == "embedded" { // which tells of its store itself
		return
	}
	var parts []partition
	for _, p := range wanted {
		if c.track.tiered[p.topic] {
			parts = append(parts, p)
		}
	}
	if len(parts) == 0 {
		return
	}
	s.tiered = make(map[partition]tieredState, len(parts))
	for _, p := range parts {
		s.tiered[p] = tieredState{unset, unset}
	}
	c.listOffsets(ctx, s, question{parts, same(atLocal), false}, func(_ *partState, where partition, l listed) {
		at := s.tiered[where]
		at.local = l.offset
		s.tiered[where] = at
	})
	c.listOffsets(ctx, s, question{parts, same(atTiered), false}, func(_ *partState, where partition, l listed) {
		at := s.tiered[where]
		at.next = l.offset + 1 // of a store that holds nothing -1 is answered
		s.tiered[where] = at
	})
}

// takesTime reports whether a broker that answers so took a special timestamp for a time.
func takesTime(resp *kmsg.ListOffsetsResponse, at int64) bool {
	switch at {
	case atNewest:
		return resp.Version < 7
	case atLocal:
		return resp.Version < knowsLocal
	case atTiered:
		return resp.Version < knowsTiered
	}
	return false
}

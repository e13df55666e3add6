package loki

import (
	"strconv"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// brokerLog is how far one broker's main log is known.
type brokerLog struct {
	from    time.Time // the first line since it was proved to be the main log
	through time.Time // the newest line
	at      time.Time // when something last came
}

// heard takes into account that a broker's main log came as far as newest.
func (s *Source) heard(broker string, newest, now time.Time) {
	if newest.After(now) {
		newest = now
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.brokers[broker]
	if b == nil {
		b = &brokerLog{from: newest}
		s.brokers[broker] = b
	}
	if newest.After(b.through) {
		b.through = newest
	}
	b.at = now
}

// watermark promises what the logs cover: nothing, unless every broker of the inventory sends its main log. Each group's
// coordinator is one of them, and only its log tells of the group; the slowest log bounds the promise. A broker that has
// nothing to say holds it back, since silence may also be a broken agent. The caller holds mu.
func (s *Source) watermark(inv streamkeeper.Inventory) streamkeeper.Watermark {
	w := streamkeeper.Watermark{Source: sourceName, Cluster: s.o.Cluster}
	if s.o.Ring || len(inv.Brokers) == 0 {
		return w
	}
	for i, info := range inv.Brokers {
		b := s.brokers[strconv.Itoa(int(info.ID))]
		if b == nil {
			return streamkeeper.Watermark{Source: sourceName, Cluster: s.o.Cluster}
		}
		if b.from.After(w.From) {
			w.From = b.from.UTC()
		}
		if i == 0 || b.through.Before(w.Through) {
			w.Through = b.through.UTC()
		}
		if i == 0 || b.at.Before(w.Heartbeat) {
			w.Heartbeat = b.at.UTC()
		}
	}
	return w
}

package drill

import (
	"context"
	"maps"
	"sync"
)

// source is a producer process. Stages may share one; each has a topic of its own. It is safe for concurrent use.
type source struct {
	mu      sync.Mutex
	worker  Worker
	streams map[string]Stream
}

func startSource(ctx context.Context, lab Lab, site *Site, client string) (*source, error) {
	w, err := lab.Work(ctx, Spec{Role: RoleProducer, Brokers: []string{site.Kafka}, ClientID: client})
	if err != nil {
		return nil, err
	}
	return &source{worker: w, streams: map[string]Stream{}}, nil
}

// set changes what goes to a topic.
func (s *source) set(topic string, change func(*Stream)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	stream := s.streams[topic]
	change(&stream)
	s.streams[topic] = stream
	return s.worker.Set(Behaviour{Streams: maps.Clone(s.streams)})
}

// heads are the offsets after what was acknowledged.
func (s *source) heads(topic string) map[int32]int64 { return s.worker.Stats().Positions[topic] }

package drill

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// How long a workload may take to become healthy.
const warmUpTimeout = 90 * time.Second

// Stage is a workload on a target, and the hands that break it. Its methods may be called from several goroutines.
type Stage struct {
	Lab    Lab
	Site   *Site
	Layout Layout
	Random *rand.Rand // of the goroutine that injects
	Topic  string
	Group  string
	Say    func(format string, args ...any)

	source *source
	mu     sync.Mutex
	member []*member
	others []Worker
	meter  *meter
	deaths int // processes that ended without being told to
	pain   pain
	wg     sync.WaitGroup // faults and episodes

	watching sync.WaitGroup
}

// member is one place in the group: a worker, and the one that replaces it after a restart.
type member struct {
	spec    Spec
	now     Behaviour
	w       Worker
	revoked int64 // by workers that were here before
}

// raise creates the topic, starts the workload and waits until it is healthy. A stage without a source starts one.
func (s *Stage) raise(ctx context.Context) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	return s.healthy(ctx)
}

func (s *Stage) start(ctx context.Context) error {
	s.meter = newMeter()
	if err := s.createTopic(ctx, s.Topic, s.Layout.Partitions); err != nil {
		return err
	}
	for i := range s.Layout.Members {
		spec := s.memberSpec(s.Group, i)
		spec.Away = s.Layout.Away && i == 0
		if err := s.addMember(ctx, spec); err != nil {
			return err
		}
	}
	if s.source == nil {
		var err error
		if s.source, err = startSource(ctx, s.Lab, s.Site, s.Topic+"-producer"); err != nil {
			return err
		}
	}
	s.watching.Go(func() { s.watch(ctx) })
	return s.setProducer(func(p *Stream) { *p = s.stream() })
}

// stream is the healthy traffic.
func (s *Stage) stream() Stream {
	return Stream{Partitions: s.Layout.Partitions, Rate: s.Layout.Rate, ValueSize: s.Layout.ValueSize}
}

// watch reads once a second how far the clients are, until ctx ends.
func (s *Stage) watch(ctx context.Context) {
	for wait(ctx, time.Second) {
		s.look(time.Now())
	}
}

func (s *Stage) look(now time.Time) {
	heads := s.source.heads(s.Topic)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meter.produced(now, heads)
	for _, m := range s.member {
		s.meter.consumed(m.w.Stats().Positions[s.Topic])
	}
}

func (s *Stage) memberSpec(group string, i int) Spec {
	spec := Spec{
		Role: RoleConsumer, Brokers: []string{s.Site.Kafka}, Topics: []string{s.Topic},
		ClientID: fmt.Sprintf("%s-%d", group, i), Group: group,
		SessionSeconds: s.Layout.Session, PollSeconds: s.Layout.Poll, MaxPollRecords: 500,
		Committed: s.Layout.Committed,
		Start:     Behaviour{RecordMillis: s.Layout.RecordMillis},
	}
	if s.Layout.Static {
		spec.InstanceID = fmt.Sprintf("%s-%d", group, i)
	}
	return spec
}

func (s *Stage) createTopic(ctx context.Context, name string, partitions int32) error {
	err := admin(ctx, s.Site, func(ctx context.Context, a *kadm.Client) error {
		_, err := a.CreateTopic(ctx, partitions, 1, nil, name)
		return err
	})
	if err != nil {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	return nil
}

func (s *Stage) addMember(ctx context.Context, spec Spec) error {
	w, err := s.Lab.Work(ctx, spec)
	if err != nil {
		return fmt.Errorf("start member %s: %w", spec.ClientID, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.member = append(s.member, &member{spec: spec, now: spec.Start, w: w})
	return nil
}

// healthy waits until every partition is owned and the group keeps up.
func (s *Stage) healthy(ctx context.Context) error {
	deadline := time.Now().Add(warmUpTimeout)
	good := 0
	for good < 4 {
		if !wait(ctx, time.Second) {
			return ctx.Err()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the workload did not become healthy in %s: %s", warmUpTimeout, s.describe())
		}
		if _, behind, done := s.progress(); s.owned() == int(s.Layout.Partitions) && behind < 3*time.Second && done > 0 {
			good++
		} else {
			good = 0
		}
	}
	return nil
}

func (s *Stage) describe() string {
	part, behind, _ := s.progress()
	text := fmt.Sprintf("%d of %d partitions owned, partition %d is %.0f s behind", s.owned(), s.Layout.Partitions, part, behind.Seconds())
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.member {
		if e := m.w.Stats().LastError; e != "" {
			text += "; " + m.spec.ClientID + ": " + e
		}
	}
	if e := s.source.worker.Stats().LastError; e != "" {
		text += "; producer: " + e
	}
	return text
}

func (s *Stage) owned() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, m := range s.member {
		n += m.w.Stats().Assigned
	}
	return n
}

// progress is the partition that is furthest behind, and how many records were processed.
func (s *Stage) progress() (partition int32, behind time.Duration, done int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	partition, behind = s.meter.worst(time.Now())
	return partition, behind, s.meter.done()
}

// members is how many places the group has.
func (s *Stage) members() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.member)
}

// set changes one member's behaviour.
func (s *Stage) set(i int, change func(*Behaviour)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.member[i]
	change(&m.now)
	return m.w.Set(m.now)
}

func (s *Stage) setAll(change func(*Behaviour)) error {
	for i := range s.members() {
		if err := s.set(i, change); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stage) setProducer(change func(*Stream)) error { return s.source.set(s.Topic, change) }

// replace starts a member's worker anew after it ended, keeping its place and behaviour.
func (s *Stage) replace(ctx context.Context, i int) error {
	s.mu.Lock()
	m := s.member[i]
	old := m.w.Stats()
	s.meter.consumed(old.Positions[s.Topic])
	m.revoked += old.Revoked
	spec := m.spec
	spec.Start = m.now
	s.mu.Unlock()
	w, err := s.Lab.Work(ctx, spec)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m.w = w
	return nil
}

// drop takes the last member away for good, cleanly.
func (s *Stage) drop() error {
	s.mu.Lock()
	last := s.member[len(s.member)-1]
	s.mu.Unlock()
	if err := last.w.Stop(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meter.consumed(last.w.Stats().Positions[s.Topic])
	s.member = s.member[:len(s.member)-1]
	return nil
}

func (s *Stage) worker(i int) Worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.member[i].w
}

// died counts a process that ended without being told to.
func (s *Stage) died() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaths++
}

// background runs what goes on by itself, until ctx ends.
func (s *Stage) background(ctx context.Context, fn func(context.Context) error) {
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		if err := fn(ctx); err != nil && ctx.Err() == nil {
			s.Say("%s: ended early: %v", s.Group, err)
		}
	}()
}

// pick is a random member.
func (s *Stage) pick() int { return s.Random.IntN(s.members()) }

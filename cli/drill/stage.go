package drill

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// How long a workload may take to become healthy.
const warmUpTimeout = 90 * time.Second

// Stage is a workload on a target, and the hands that break it.
type Stage struct {
	Lab    Lab
	Site   *Site
	Layout Layout
	Random *rand.Rand
	Topic  string
	Group  string
	Say    func(format string, args ...any)

	mu       sync.Mutex
	members  []*member
	producer Worker
	produce  Behaviour
	others   []Worker
	retired  int64 // records that ended members had processed
	wg       sync.WaitGroup
}

// member is one place in the group: a worker, and the one that replaces it after a restart.
type member struct {
	spec Spec
	now  Behaviour
	w    Worker
}

// raise creates the topic, starts the workload and waits until it is healthy.
func (s *Stage) raise(ctx context.Context) error {
	if err := s.createTopic(ctx, s.Topic, s.Layout.Partitions); err != nil {
		return err
	}
	for i := range s.Layout.Members {
		if err := s.addMember(ctx, s.memberSpec(s.Group, i)); err != nil {
			return err
		}
	}
	s.produce = Behaviour{Rate: s.Layout.Rate, ValueSize: s.Layout.ValueSize}
	w, err := s.Lab.Work(ctx, Spec{
		Role: RoleProducer, Brokers: []string{s.Site.Kafka}, Topics: []string{s.Topic},
		ClientID: s.Topic + "-producer", Partitions: s.Layout.Partitions, Start: s.produce,
	})
	if err != nil {
		return err
	}
	s.producer = w
	return s.healthy(ctx)
}

func (s *Stage) memberSpec(group string, i int) Spec {
	spec := Spec{
		Role: RoleConsumer, Brokers: []string{s.Site.Kafka}, Topics: []string{s.Topic},
		ClientID: fmt.Sprintf("%s-%d", group, i), Group: group,
		SessionSeconds: s.Layout.Session, PollSeconds: s.Layout.Poll, MaxPollRecords: 500,
		Start: Behaviour{RecordMillis: s.Layout.RecordMillis},
	}
	if s.Layout.Static {
		spec.InstanceID = fmt.Sprintf("%s-%d", group, i)
	}
	return spec
}

func (s *Stage) createTopic(ctx context.Context, name string, partitions int32) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Site.Kafka), kgo.ClientID("drill-admin"))
	if err != nil {
		return err
	}
	defer client.Close()
	bounded, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if _, err := kadm.NewClient(client).CreateTopic(bounded, partitions, 1, nil, name); err != nil {
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
	s.members = append(s.members, &member{spec: spec, now: spec.Start, w: w})
	s.mu.Unlock()
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
		if s.owned() == int(s.Layout.Partitions) && s.backlogSeconds() < 3 && s.processed() > 0 {
			good++
		} else {
			good = 0
		}
	}
	return nil
}

func (s *Stage) describe() string {
	text := fmt.Sprintf("%d of %d partitions owned, %.1f s behind", s.owned(), s.Layout.Partitions, s.backlogSeconds())
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.members {
		if e := m.w.Stats().LastError; e != "" {
			text += "; " + m.spec.ClientID + ": " + e
		}
	}
	if s.producer != nil && s.producer.Stats().LastError != "" {
		text += "; producer: " + s.producer.Stats().LastError
	}
	return text
}

func (s *Stage) owned() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, m := range s.members {
		n += m.w.Stats().Assigned
	}
	return n
}

func (s *Stage) processed() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.retired
	for _, m := range s.members {
		n += m.w.Stats().Records
	}
	return n
}

// backlogSeconds is how far processing is behind, as the clients themselves count it. Records processed
// twice make it smaller, never larger.
func (s *Stage) backlogSeconds() float64 {
	if s.producer == nil || s.Layout.Rate <= 0 {
		return 0
	}
	behind := s.producer.Stats().Records - s.processed()
	return max(0, float64(behind)/s.Layout.Rate)
}

// set changes one member's behaviour.
func (s *Stage) set(i int, change func(*Behaviour)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.members[i]
	change(&m.now)
	return m.w.Set(m.now)
}

func (s *Stage) setAll(change func(*Behaviour)) error {
	for i := range s.members {
		if err := s.set(i, change); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stage) setProducer(change func(*Behaviour)) error {
	change(&s.produce)
	return s.producer.Set(s.produce)
}

// replace starts a member's worker anew after it ended, keeping its place and behaviour.
func (s *Stage) replace(ctx context.Context, i int) error {
	s.mu.Lock()
	m := s.members[i]
	s.retired += m.w.Stats().Records
	spec := m.spec
	spec.Start = m.now
	s.mu.Unlock()
	w, err := s.Lab.Work(ctx, spec)
	if err != nil {
		return err
	}
	s.mu.Lock()
	m.w = w
	s.mu.Unlock()
	return nil
}

func (s *Stage) worker(i int) Worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.members[i].w
}

// background runs a fault that goes on by itself, until ctx ends.
func (s *Stage) background(ctx context.Context, fn func(context.Context) error) {
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		if err := fn(ctx); err != nil && ctx.Err() == nil {
			s.Say("the fault ended early: %v", err)
		}
	}()
}

// pick is a random member.
func (s *Stage) pick() int { return s.Random.IntN(len(s.members)) }

package drill

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// All is every drill, ordered by id.
func All() []Drill {
	all := slices.Concat(memberDrills(), lagDrills(), stallDrills(), transactionDrills(), storeDrills(), benignDrills())
	slices.SortFunc(all, func(a, b Drill) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	for i := range all {
		all[i].Targets = []string{"embedded"}
		if all[i].EntityKind == "" {
			all[i].EntityKind = streamkeeper.KindGroup
		}
	}
	return all
}

// Find returns the drill of an id.
func Find(id string) (Drill, bool) {
	for _, d := range All() {
		if d.ID == id {
			return d, true
		}
	}
	return Drill{}, false
}

// Timings. Baselines of causes that are told by a change need a history to compare with.
const (
	shortBaseline = 30 * time.Second
	longBaseline  = 165 * time.Second
)

// steady is a workload far from its limits: 3 to 5 members, two or three partitions each.
func steady(r *rand.Rand) Layout {
	members := 3 + r.IntN(3)
	return Layout{
		Members: members, Partitions: int32(members * (2 + r.IntN(2))),
		Rate: 60 + 60*r.Float64(), RecordMillis: 1 + r.Float64(), ValueSize: 200 + r.IntN(400),
		Session: 8 + float64(r.IntN(4)), Poll: 300,
	}
}

func memberDrills() []Drill {
	return []Drill{
		{
			ID: "max_poll_interval_exceeded", Cause: "max_poll_interval_exceeded",
			Title:    "one member takes longer over a batch than max.poll.interval.ms",
			Baseline: shortBaseline, Hold: 120 * time.Second, Floor: 25 * time.Second,
			Layout: func(r *rand.Rand) Layout {
				l := steady(r)
				l.Poll = 6
				return l
			},
			Inject: func(ctx context.Context, s *Stage) error {
				// Twice what the member has time for: batches grow until one takes longer than is allowed.
				share := float64(s.Layout.Members) / s.Layout.Rate * 1000
				return s.set(s.pick(), func(b *Behaviour) { b.RecordMillis = 2.2 * share })
			},
		},
		{
			ID: "crash_looping_member", Cause: "crash_looping_member",
			Title:    "one member is killed some seconds after every start",
			Baseline: shortBaseline, Hold: 130 * time.Second, Floor: 40 * time.Second,
			Layout: steady, Inject: crashLoop,
		},
		{
			ID: "consumer_gc_or_cpu_starved", Cause: "consumer_gc_or_cpu_starved",
			Title:    "one member's process is stopped longer than its session timeout",
			Baseline: shortBaseline, Hold: 100 * time.Second, Floor: 12 * time.Second,
			Layout: steady, Inject: freeze,
		},
		{
			ID: "session_timeout_network", Cause: "session_timeout_network", Network: true,
			Title:    "the packets of one member's host vanish for longer than its session timeout, again and again",
			Baseline: shortBaseline, Hold: 120 * time.Second, Floor: 12 * time.Second,
			Layout: func(r *rand.Rand) Layout {
				l := steady(r)
				l.Away = true
				return l
			},
			Inject: cutOff,
		},
		{
			ID: "subscription_churn", Cause: "subscription_churn",
			Title:    "one member changes its subscription every few seconds",
			Baseline: shortBaseline, Hold: 110 * time.Second, Floor: 30 * time.Second,
			Layout: steady, Inject: churn,
		},
		{
			ID: "static_member_fencing", Cause: "static_member_fencing",
			Title:    "two processes hold one group.instance.id",
			Baseline: shortBaseline, Hold: 110 * time.Second, Floor: 10 * time.Second,
			Layout: func(r *rand.Rand) Layout {
				l := steady(r)
				l.Static = true
				return l
			},
			Inject: fence,
		},
	}
}

func crashLoop(ctx context.Context, s *Stage) error {
	i := s.pick()
	if err := s.worker(i).Kill(); err != nil {
		return err
	}
	s.background(ctx, func(ctx context.Context) error {
		for delay := 2 * time.Second; ; delay = min(delay*2, 16*time.Second) {
			if !wait(ctx, delay) {
				return nil
			}
			if err := s.replace(ctx, i); err != nil {
				return err
			}
			if !wait(ctx, 5*time.Second) {
				return nil
			}
			if err := s.worker(i).Kill(); err != nil {
				return err
			}
		}
	})
	return nil
}

func freeze(ctx context.Context, s *Stage) error {
	i := s.pick()
	pause := time.Duration((s.Layout.Session + 5 + 4*s.Random.Float64()) * float64(time.Second))
	gap := time.Duration(12+s.Random.IntN(10)) * time.Second
	if err := s.worker(i).Freeze(); err != nil {
		return err
	}
	s.background(ctx, func(ctx context.Context) error {
		defer func() { _ = s.worker(i).Thaw() }()
		for {
			if !wait(ctx, pause) {
				return nil
			}
			if err := s.worker(i).Thaw(); err != nil {
				return err
			}
			if !wait(ctx, gap) {
				return nil
			}
			if err := s.worker(i).Freeze(); err != nil {
				return err
			}
		}
	})
	return nil
}

// cutOff lets the packets of the member on the second host vanish for longer than its session, and come through
// for a while.
func cutOff(ctx context.Context, s *Stage) error {
	cut := time.Duration((s.Layout.Session + 5 + 4*s.Random.Float64()) * float64(time.Second))
	gap := time.Duration(12+s.Random.IntN(10)) * time.Second
	if err := s.Lab.Network().Cut(ctx); err != nil {
		return err
	}
	s.background(ctx, func(ctx context.Context) error {
		defer func() { _ = s.Lab.Network().Heal(context.WithoutCancel(ctx)) }()
		for {
			if !wait(ctx, cut) {
				return nil
			}
			if err := s.Lab.Network().Heal(ctx); err != nil {
				return err
			}
			if !wait(ctx, gap) {
				return nil
			}
			if err := s.Lab.Network().Cut(ctx); err != nil {
				return err
			}
		}
	})
	return nil
}

func churn(ctx context.Context, s *Stage) error {
	extra := s.Topic + "-extra"
	if err := s.createTopic(ctx, extra, 2); err != nil {
		return err
	}
	i := s.pick()
	every := time.Duration(7+s.Random.IntN(4)) * time.Second
	s.background(ctx, func(ctx context.Context) error {
		for n := 0; ; n++ {
			topics := []string{s.Topic, extra}
			if n%2 == 1 {
				topics = []string{s.Topic}
			}
			if err := s.set(i, func(b *Behaviour) { b.Topics = topics }); err != nil {
				return err
			}
			if !wait(ctx, every) {
				return nil
			}
		}
	})
	return nil
}

// fence starts a second process with a living member's instance id; each of the two comes back whenever it
// was fenced, as a supervisor makes it.
func fence(ctx context.Context, s *Stage) error {
	i := s.pick()
	twin := s.memberSpec(s.Group, i)
	if err := s.addMember(ctx, twin); err != nil {
		return err
	}
	for _, place := range []int{i, s.members() - 1} {
		s.background(ctx, func(ctx context.Context) error {
			for {
				select {
				case <-ctx.Done():
					return nil
				case <-s.worker(place).Done():
					s.died()
				}
				if !wait(ctx, 4*time.Second) {
					return nil
				}
				if err := s.replace(ctx, place); err != nil {
					return err
				}
			}
		})
	}
	return nil
}

func lagDrills() []Drill {
	return []Drill{
		{
			ID: "processing_slowed", Cause: "processing_slowed",
			Title:    "every record takes longer to process, demand is unchanged",
			Baseline: longBaseline, Hold: 120 * time.Second, Floor: 40 * time.Second,
			Layout: busy,
			Inject: func(_ context.Context, s *Stage) error {
				slower := 1.8 + 0.8*s.Random.Float64()
				per := 1000 * float64(s.Layout.Members) / s.Layout.Rate
				return s.setAll(func(b *Behaviour) { b.RecordMillis = slower * per })
			},
		},
		{
			ID: "consumer_undersized", Cause: "consumer_undersized",
			Title:    "demand rises above what the members can do; there is room for more members",
			Baseline: longBaseline, Hold: 130 * time.Second, Floor: 45 * time.Second,
			Layout: busy,
			Inject: func(_ context.Context, s *Stage) error {
				return s.setProducer(func(p *Stream) { p.Rate *= 2.6 + 0.8*s.Random.Float64() })
			},
		},
		{
			ID: "partition_bound_parallelism", Cause: "partition_bound_parallelism",
			Title:    "demand rises above what one member per partition can do",
			Baseline: longBaseline, Hold: 130 * time.Second, Floor: 45 * time.Second,
			Layout: func(r *rand.Rand) Layout {
				l := busy(r)
				l.Partitions = int32(l.Members)
				return l
			},
			Inject: func(_ context.Context, s *Stage) error {
				return s.setProducer(func(p *Stream) { p.Rate *= 2.6 + 0.8*s.Random.Float64() })
			},
		},
		{
			ID: "hot_partition_key_skew", Cause: "hot_partition_key_skew",
			Title:    "one key takes most of the traffic, and its partition's reader cannot keep up",
			Baseline: longBaseline, Hold: 130 * time.Second, Floor: 45 * time.Second,
			Layout: func(r *rand.Rand) Layout {
				l := busy(r)
				l.Members = 3 + r.IntN(2)
				l.Partitions = int32(l.Members * 3)
				return l
			},
			Inject: func(_ context.Context, s *Stage) error {
				part := int32(s.Random.IntN(int(s.Layout.Partitions)))
				return s.setProducer(func(p *Stream) { p.HotShare, p.HotPart, p.Rate = 0.85, part, p.Rate*1.25 })
			},
		},
	}
}

// busy is a workload at about half of its capacity, so that the capacity itself matters.
func busy(r *rand.Rand) Layout {
	l := steady(r)
	l.RecordMillis = 0.5 * 1000 * float64(l.Members) / l.Rate
	return l
}

func stallDrills() []Drill {
	return []Drill{
		{
			ID: "poison_message", Cause: "poison_message",
			Title:    "one record fails for ever and holds its partition",
			Baseline: shortBaseline, Hold: 150 * time.Second, Floor: 60 * time.Second,
			Layout: steady, Inject: poison,
		},
		{
			ID: "consumer_stuck_or_paused", Cause: "consumer_stuck_or_paused",
			Title:    "one member heartbeats but fetches nothing",
			Baseline: shortBaseline, Hold: 130 * time.Second, Floor: 60 * time.Second,
			Layout: steady,
			Inject: func(_ context.Context, s *Stage) error {
				return s.set(s.pick(), func(b *Behaviour) { b.Paused = true })
			},
		},
		{
			ID: "commits_missing", Cause: "commits_missing",
			Title:    "records are read and processed, offsets are not committed",
			Baseline: shortBaseline, Hold: 130 * time.Second, Floor: 60 * time.Second,
			Layout: steady, Hurt: commitsHurt,
			Inject: func(_ context.Context, s *Stage) error {
				return s.setAll(func(b *Behaviour) { b.NoCommit = true })
			},
		},
		{
			ID: "no_active_consumers", Cause: "no_active_consumers",
			Title:    "every member of the group stops",
			Baseline: shortBaseline, Hold: 90 * time.Second, Floor: 30 * time.Second,
			Layout: steady,
			Inject: func(_ context.Context, s *Stage) error {
				for i := range s.members() {
					if err := s.worker(i).Stop(); err != nil {
						return err
					}
				}
				return nil
			},
		},
	}
}

// poison makes the next record of a partition impossible to process, and restarts its owner once, as people
// do first: the stall follows the partition.
func poison(ctx context.Context, s *Stage) error {
	i := s.pick()
	var p *Poison
	for part, next := range s.worker(i).Stats().Positions[s.Topic] {
		if p == nil || part < p.Partition {
			p = &Poison{Partition: part, Offset: next + 20}
		}
	}
	if p == nil {
		return errors.New("the member has processed nothing yet")
	}
	if err := s.setAll(func(b *Behaviour) { b.Poison = p }); err != nil {
		return err
	}
	s.background(ctx, func(ctx context.Context) error {
		if !wait(ctx, 50*time.Second) {
			return nil
		}
		if err := s.worker(i).Stop(); err != nil {
			return err
		}
		if !wait(ctx, 3*time.Second) {
			return nil
		}
		return s.replace(ctx, i)
	})
	return nil
}

func storeDrills() []Drill {
	drill := func(id, title string, floor time.Duration, b func(r *rand.Rand) Behaviour) Drill {
		return Drill{
			ID: id, Cause: id, EntityKind: streamkeeper.KindStore, Store: true, Title: title,
			Baseline: 45 * time.Second, Hold: 90 * time.Second, Floor: floor, Layout: heavy, Hurt: storeHurt,
			Inject: func(_ context.Context, s *Stage) error { return s.Lab.Store().Set(b(s.Random)) },
			Clear:  func(_ context.Context, s *Stage) error { return s.Lab.Store().Set(Behaviour{}) },
		}
	}
	slow := drill("object_store_slow", "the object store answers, slowly", 30*time.Second, func(r *rand.Rand) Behaviour {
		return Behaviour{Store: StoreSlow, StoreMillis: 1500 + 1500*r.Float64()}
	})
	slow.Baseline = longBaseline
	slow.Hold = 120 * time.Second
	return []Drill{
		drill("object_store_unavailable", "the object store refuses connections or answers nothing", 15*time.Second, func(r *rand.Rand) Behaviour {
			return Behaviour{Store: []string{StoreRefuse, StoreBlackHole}[r.IntN(2)]}
		}),
		drill("object_store_throttled", "the object store answers 503 SlowDown to most calls", 20*time.Second, func(r *rand.Rand) Behaviour {
			return Behaviour{Store: StoreThrottle, StoreShare: 0.55 + 0.2*r.Float64()}
		}),
		drill("object_store_denied", "the object store answers 403 AccessDenied", 15*time.Second, func(*rand.Rand) Behaviour {
			return Behaviour{Store: StoreDeny}
		}),
		slow,
	}
}

// heavy is a workload whose data goes to the object store all the time.
func heavy(r *rand.Rand) Layout {
	l := steady(r)
	l.Rate, l.ValueSize, l.RecordMillis = 250+100*r.Float64(), 2000, 0.2
	return l
}

package drill

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// episodeKind is a benign thing that happens to a group, or to the cluster.
type episodeKind struct {
	name    string
	cluster bool // not to one group
	members int  // the group needs so many
	dynamic bool // not for static members: one that goes for good is missed for its whole session
	rest    time.Duration
	play    func(ctx context.Context, q *quiet, s *Stage) error
}

func episodeKinds() []episodeKind {
	return []episodeKind{
		{name: "rolling_deploy", members: 2, rest: 30 * time.Second, play: onStage(deployInTurn)},
		{name: "recreate_deploy", rest: 30 * time.Second, play: onStage(deployAtOnce)},
		{name: "absorbed_burst", rest: 30 * time.Second, play: onStage(func(ctx context.Context, s *Stage) error {
			return s.rate(ctx, (3+2*s.Random.Float64())*s.Layout.Rate, time.Duration(8+s.Random.IntN(10))*time.Second)
		})},
		{name: "busy_hour", rest: 30 * time.Second, play: onStage(func(ctx context.Context, s *Stage) error {
			return s.rate(ctx, 1.6*s.Layout.Rate, 70*time.Second)
		})},
		{name: "idle_topic", rest: 30 * time.Second, play: onStage(func(ctx context.Context, s *Stage) error {
			return s.rate(ctx, 0, time.Duration(50+s.Random.IntN(40))*time.Second)
		})},
		{name: "larger_records", rest: 30 * time.Second, play: onStage(largerRecords)},
		{name: "member_lost_once", members: 2, rest: 60 * time.Second, play: onStage(loseOnce)},
		{name: "scale_out", rest: 30 * time.Second, play: onStage(scaleOut)},
		{name: "scale_in", members: 2, dynamic: true, rest: 30 * time.Second, play: onStage(func(_ context.Context, s *Stage) error {
			s.Layout.Members--
			return s.drop()
		})},
		{name: "short_pause", rest: 30 * time.Second, play: onStage(shortPause)},
		{name: "backpressure", rest: 30 * time.Second, play: onStage(backpressure)},
		{name: "backfill", rest: 10 * time.Second, play: backfill},
		{name: "new_group", rest: 10 * time.Second, play: newGroup},
		{name: "partitions_added", rest: 60 * time.Second, play: onStage(addPartition)},
		{name: "topic_created", cluster: true, play: createSomeTopic},
		{name: "broker_restart", cluster: true, rest: 60 * time.Second, play: func(ctx context.Context, q *quiet, _ *Stage) error {
			return q.lab.Restart(ctx)
		}},
	}
}

func onStage(play func(context.Context, *Stage) error) func(context.Context, *quiet, *Stage) error {
	return func(ctx context.Context, _ *quiet, s *Stage) error { return play(ctx, s) }
}

// rate changes the traffic for a while.
func (s *Stage) rate(ctx context.Context, rate float64, d time.Duration) error {
	if err := s.setProducer(func(p *Stream) { p.Rate = rate }); err != nil {
		return err
	}
	wait(ctx, d)
	return s.setProducer(func(p *Stream) { p.Rate = s.Layout.Rate })
}

// deployInTurn restarts one member after the other.
func deployInTurn(ctx context.Context, s *Stage) error {
	gap := time.Duration(5+s.Random.IntN(8)) * time.Second
	for i := range s.members() {
		if err := s.restart(ctx, i, time.Duration(1+s.Random.IntN(3))*time.Second); err != nil {
			return err
		}
		if !wait(ctx, gap) {
			return ctx.Err()
		}
	}
	return nil
}

// restart stops a member cleanly and starts it again.
func (s *Stage) restart(ctx context.Context, i int, away time.Duration) error {
	if err := s.worker(i).Stop(); err != nil {
		return err
	}
	if !wait(ctx, away) {
		return ctx.Err()
	}
	return s.replace(ctx, i)
}

// deployAtOnce stops every member and starts them all anew.
func deployAtOnce(ctx context.Context, s *Stage) error {
	for i := range s.members() {
		if err := s.worker(i).Stop(); err != nil {
			return err
		}
	}
	if !wait(ctx, time.Duration(3+s.Random.IntN(6))*time.Second) {
		return ctx.Err()
	}
	for i := range s.members() {
		if err := s.replace(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func largerRecords(ctx context.Context, s *Stage) error {
	if err := s.setProducer(func(p *Stream) { p.ValueSize = 8 * s.Layout.ValueSize }); err != nil {
		return err
	}
	wait(ctx, 60*time.Second)
	return s.setProducer(func(p *Stream) { p.ValueSize = s.Layout.ValueSize })
}

// loseOnce kills a member; its supervisor starts it again.
func loseOnce(ctx context.Context, s *Stage) error {
	i := s.pick()
	if err := s.worker(i).Kill(); err != nil {
		return err
	}
	if !wait(ctx, time.Duration(2+s.Random.IntN(4))*time.Second) {
		return ctx.Err()
	}
	return s.replace(ctx, i)
}

func scaleOut(ctx context.Context, s *Stage) error {
	if err := s.addMember(ctx, s.memberSpec(s.Group, s.members())); err != nil {
		return err
	}
	s.Layout.Members++
	return nil
}

// shortPause stops a process for less than its session: a collection, a snapshot of the machine.
func shortPause(ctx context.Context, s *Stage) error {
	i := s.pick()
	if err := s.worker(i).Freeze(); err != nil {
		return err
	}
	wait(ctx, time.Duration(float64(time.Second)*s.Layout.Session*(0.2+0.3*s.Random.Float64())))
	return s.worker(i).Thaw()
}

// backpressure lets a member stop fetching for a moment, as an application with a full queue does.
func backpressure(ctx context.Context, s *Stage) error {
	i := s.pick()
	if err := s.set(i, func(b *Behaviour) { b.Paused = true }); err != nil {
		return err
	}
	wait(ctx, time.Duration(3+s.Random.IntN(4))*time.Second)
	return s.set(i, func(b *Behaviour) { b.Paused = false })
}

// backfill is a job of its own group that reads everything from the start, ends, and takes its group away.
func backfill(ctx context.Context, q *quiet, s *Stage) error {
	spec := s.memberSpec(fmt.Sprintf("%s-backfill-%d", s.Group, time.Now().Unix()), 0)
	spec.InstanceID = ""
	spec.Start.RecordMillis = 1
	w, err := q.lab.Work(ctx, spec)
	if err != nil {
		return err
	}
	wait(ctx, 60*time.Second)
	if err := w.Stop(); err != nil {
		return err
	}
	return q.admin(ctx, func(ctx context.Context, a *kadm.Client) error {
		_, err := a.DeleteGroup(ctx, spec.Group)
		return err
	})
}

// newGroup is another application that begins to read a topic, and stays.
func newGroup(ctx context.Context, q *quiet, s *Stage) error {
	spec := s.memberSpec(fmt.Sprintf("%s-audit-%d", s.Group, time.Now().Unix()), 0)
	spec.InstanceID, spec.FromEnd = "", true
	_, err := q.lab.Work(ctx, spec)
	if err == nil {
		wait(ctx, 30*time.Second)
	}
	return err
}

// addPartition grows a topic. The producer goes on with the partitions that it knows, as long-running producers do
// for some minutes.
func addPartition(ctx context.Context, s *Stage) error {
	return admin(ctx, s.Site, func(ctx context.Context, a *kadm.Client) error {
		resp, err := a.CreatePartitions(ctx, 1, s.Topic)
		if err != nil {
			return err
		}
		return resp.Error()
	})
}

func createSomeTopic(ctx context.Context, q *quiet, _ *Stage) error {
	return q.admin(ctx, func(ctx context.Context, a *kadm.Client) error {
		_, err := a.CreateTopic(ctx, 3, 1, nil, fmt.Sprintf("plans-%d", time.Now().Unix()))
		return err
	})
}

func (q *quiet) admin(ctx context.Context, do func(context.Context, *kadm.Client) error) error {
	return admin(ctx, q.site, do)
}

// admin makes one administrative call.
func admin(ctx context.Context, site *Site, do func(context.Context, *kadm.Client) error) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(site.Kafka), kgo.ClientID("drill-admin"))
	if err != nil {
		return err
	}
	defer client.Close()
	bounded, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return do(bounded, kadm.NewClient(client))
}

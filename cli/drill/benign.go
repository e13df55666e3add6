package drill

import (
	"context"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// benignDrills are episodes that look like faults and must raise nothing at or above warning.
func benignDrills() []Drill {
	return []Drill{
		{
			ID: "rolling_deploy", Cause: "rolling_deploy_churn", Benign: true,
			Title:    "every member is restarted in turn, cleanly",
			Baseline: shortBaseline, Hold: 100 * time.Second, Layout: steady, Inject: rollingDeploy,
		},
		{
			ID: "absorbed_burst", Cause: "absorbed_burst", Benign: true,
			Title:    "demand triples for a while and the group catches up by itself",
			Baseline: longBaseline, Hold: 90 * time.Second, Layout: busy, Inject: burst,
		},
		{
			ID: "backfill", Cause: "replay_or_backfill", Benign: true,
			Title:    "a new group reads everything from the start",
			Baseline: 60 * time.Second, Hold: 60 * time.Second, Layout: steady,
			Inject: func(ctx context.Context, s *Stage) error {
				spec := s.memberSpec(s.Group+"-backfill", 0)
				w, err := s.Lab.Work(ctx, spec)
				s.others = append(s.others, w)
				return err
			},
		},
		{
			ID: "broker_restart", Cause: "planned_broker_restart", EntityKind: streamkeeper.KindBroker, Benign: true,
			Title:    "the broker is restarted cleanly",
			Baseline: shortBaseline, Hold: 60 * time.Second, Layout: steady,
			Inject: func(ctx context.Context, s *Stage) error { return s.Lab.Restart(ctx) },
		},
		{
			ID: "member_lost_once", Cause: "member_lost_once", Benign: true,
			Title:    "one member is killed once and comes back",
			Baseline: shortBaseline, Hold: 90 * time.Second, Layout: steady,
			Inject: func(ctx context.Context, s *Stage) error {
				i := s.pick()
				if err := s.worker(i).Kill(); err != nil {
					return err
				}
				if !wait(ctx, 3*time.Second) {
					return ctx.Err()
				}
				return s.replace(ctx, i)
			},
		},
		{
			ID: "idle_night", Cause: "", Benign: true,
			Title:    "traffic falls to a trickle",
			Baseline: shortBaseline, Hold: 60 * time.Second, Layout: steady,
			Inject: func(_ context.Context, s *Stage) error {
				return s.setProducer(func(p *Stream) { p.Rate = 0.2 })
			},
		},
	}
}

func rollingDeploy(ctx context.Context, s *Stage) error {
	gap := time.Duration(6+s.Random.IntN(5)) * time.Second
	s.background(ctx, func(ctx context.Context) error {
		for i := range s.members() {
			if err := s.worker(i).Stop(); err != nil {
				return err
			}
			if !wait(ctx, 2*time.Second) {
				return nil
			}
			if err := s.replace(ctx, i); err != nil {
				return err
			}
			if !wait(ctx, gap) {
				return nil
			}
		}
		return nil
	})
	return nil
}

func burst(ctx context.Context, s *Stage) error {
	if err := s.setProducer(func(p *Stream) { p.Rate = 3 * s.Layout.Rate }); err != nil {
		return err
	}
	s.background(ctx, func(ctx context.Context) error {
		wait(ctx, 12*time.Second)
		return s.setProducer(func(p *Stream) { p.Rate = s.Layout.Rate })
	})
	return nil
}

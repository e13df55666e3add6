package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/cli/drill"
)

// A race that retention wins: a group that does half of what arrives on a topic whose records live for a minute.
const (
	raceCheck    = 2 * time.Second // between two looks of a broker for what may be deleted
	raceMillis   = 33              // of a record, at 60/s
	raceLong     = 3 * time.Minute // longest wait for its end
	raceAccuracy = .2
)

func raceConfigs() map[string]*string {
	life, segment := "60000", "2000"
	return map[string]*string{"retention.ms": &life, "segment.ms": &segment}
}

// hamper makes the members of a franz-go group slow.
func hamper(_ context.Context, _ *lab, w *workload) error {
	for _, m := range w.members {
		m.set(drill.Behaviour{RecordMillis: raceMillis})
	}
	return nil
}

// countdown compares when the first unread record was said to be deleted with when it is. The clients go on meanwhile.
func countdown(ctx context.Context, l *lab, w *workload, r *streamkeeper.Report) (said string, right bool, err error) {
	i := slices.IndexFunc(r.Symptoms, func(y streamkeeper.Symptom) bool {
		return y.Breach == streamkeeper.BreachLoss && y.Entity.Name == w.name && y.Value != nil
	})
	if i < 0 {
		return "no loss is said to be ahead", false, nil
	}
	left := time.Duration(*r.Symptoms[i].Value * float64(time.Second))
	at, err := l.overtaken(ctx, w.name)
	if err != nil {
		return "", false, err
	}
	really := at.Sub(r.GeneratedAt)
	off := math.Abs(left.Seconds()-really.Seconds()) / really.Seconds()
	return fmt.Sprintf("said %.0f s, really %.0f s: %.0f %% off", left.Seconds(), really.Seconds(), 100*off), off <= raceAccuracy, nil
}

// overtaken waits until the start of the log has passed what the group has committed.
func (l *lab) overtaken(ctx context.Context, name string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, raceLong)
	defer cancel()
	for {
		committed, err1 := l.admin.FetchOffsets(ctx, name) // first: what is committed later may be ahead of the start again
		starts, err2 := l.admin.ListStartOffsets(ctx, name)
		if err := errors.Join(err1, err2); err != nil && ctx.Err() == nil {
			return time.Time{}, err
		}
		for _, start := range starts[name] {
			if at, ok := committed.Lookup(name, start.Partition); ok && start.Err == nil && start.Offset > at.At {
				return time.Now(), nil
			}
		}
		if !pause(ctx, 500*time.Millisecond) {
			return time.Time{}, fmt.Errorf("retention did not overtake %s within %s", name, raceLong)
		}
	}
}

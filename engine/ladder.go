package engine

import "fmt"

// BackpressureConfig is the topic config that says what producers meet while the local log is full; FailFast is its value
// for those who would rather drop records than wait.
const (
	BackpressureConfig = "backpressure"
	FailFast           = "fail_fast"
)

// The rungs, as numbers for the hot path.
const (
	rungNormal int32 = iota
	rungStretched
	rungThrottling
	rungRefusing
)

var rungs = [...]struct {
	pressure Pressure
	event    string
	meaning  string
}{
	{PressureNormal, EventBudgetNormal, "producers are not slowed"},
	{PressureStretched, EventBudgetStretched, "it stretches, producers are not slowed"},
	{PressureThrottling, EventBudgetThrottling, "producers are slowed, topics with backpressure=fail_fast refuse"},
	{PressureRefusing, EventBudgetRefusing, "producers wait and get retriable errors; commits go on"},
}

// maxThrottle is the longest throttle_time_ms asked for: long enough to matter, shorter than any client's timeout.
const maxThrottle = 1000

// throttleFrom is the part of the way from the soft budget to the hard limit after which clients are slowed: late, because
// the way is there to be used while the store is away, and early enough that clients slow down before they are refused.
const throttleFrom = 0.8

// throttleBytes is how much the ring holds when clients are first slowed.
func (o *TierOptions) throttleBytes() int64 {
	return o.LocalBytes + int64(throttleFrom*float64(o.HardLocalBytes-o.LocalBytes))
}

// held is what the ring holds and offload alone can free.
func (e *Engine) held() int64 {
	_, _, _, warm, _ := e.ring.gauges()
	return e.log.UsedBytes() - warm
}

// rung says how bad it is: above the soft budget the budget stretches, near the hard limit clients are slowed, at the
// limit they are refused.
func (e *Engine) rung(held int64) (rung int32, throttleMs int32) {
	soft, hard, mark := e.o.Tier.LocalBytes, e.o.Tier.HardLocalBytes, e.o.Tier.throttleBytes()
	switch {
	case held >= hard:
		return rungRefusing, maxThrottle
	case held >= mark:
		return rungThrottling, int32(1 + (maxThrottle-1)*(held-mark)/max(hard-mark, 1))
	case held >= soft:
		return rungStretched, 0
	}
	return rungNormal, 0
}

// climb moves to the rung that fits and says so. Only the maintenance loop calls it.
func (e *Engine) climb() {
	held := e.held()
	rung, _ := e.rung(held)
	if rung == rungRefusing && e.relief.Load() == nil {
		relief := make(chan struct{})
		e.relief.Store(&relief)
	}
	old := e.pressure.Swap(rung)
	if rung != rungRefusing {
		if relief := e.relief.Swap(nil); relief != nil {
			close(*relief)
		}
	}
	if old != rung {
		e.event(rungs[rung].event, fmt.Sprintf("the local log holds %d bytes the object store has not taken; budget %d, limit %d: %s",
			held, e.o.Tier.LocalBytes, e.o.Tier.HardLocalBytes, rungs[rung].meaning),
			map[string]any{"held_bytes": held, "soft_bytes": e.o.Tier.LocalBytes, "hard_bytes": e.o.Tier.HardLocalBytes, "before": string(rungs[old].pressure)})
	}
}

// Relief is nil while appends are not refused for want of room, else a channel that is closed once they no longer are.
func (e *Engine) Relief() <-chan struct{} {
	if relief := e.relief.Load(); relief != nil {
		return *relief
	}
	return nil
}

// room is the error that a user's append must fail with right now, nil when there is none.
func (p *Partition) room() error {
	switch rung := p.e.pressure.Load(); {
	case rung < rungThrottling:
		return nil
	case p.topic.conf.Load().failFast:
		return ErrFailFast
	case rung == rungRefusing:
		return ErrThrottled
	}
	return nil
}

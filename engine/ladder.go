package engine

import "fmt"

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
}{
	{PressureNormal, EventBudgetNormal},
	{PressureStretched, EventBudgetStretched},
	{PressureThrottling, EventBudgetThrottling},
	{PressureRefusing, EventBudgetRefusing},
}

// maxThrottle is the longest throttle_time_ms asked for: long enough to matter, shorter than any client's timeout.
const maxThrottle = 1000

// held is what the ring holds and offload alone can free.
func (e *Engine) held() int64 {
	_, _, _, warm, _ := e.ring.gauges()
	return e.log.UsedBytes() - warm
}

// rung says how bad it is: above the soft budget the budget stretches, half-way to the hard limit clients are slowed, at
// the limit they are refused.
func (e *Engine) rung(held int64) (rung int32, throttleMs int32) {
	soft, hard := e.o.Tier.LocalBytes, e.o.Tier.HardLocalBytes
	middle := soft + (hard-soft)/2
	switch {
	case held >= hard:
		return rungRefusing, maxThrottle
	case held >= middle:
		return rungThrottling, int32(1 + (maxThrottle-1)*(held-middle)/max(hard-middle, 1))
	case held >= soft:
		return rungStretched, 0
	}
	return rungNormal, 0
}

// climb moves to the rung that fits and says so.
func (e *Engine) climb() {
	held := e.held()
	rung, _ := e.rung(held)
	if old := e.pressure.Swap(rung); old != rung {
		e.event(rungs[rung].event, fmt.Sprintf("the local log holds %d bytes the object store has not taken; budget %d, limit %d",
			held, e.o.Tier.LocalBytes, e.o.Tier.HardLocalBytes),
			map[string]any{"held_bytes": held, "soft_bytes": e.o.Tier.LocalBytes, "hard_bytes": e.o.Tier.HardLocalBytes, "before": string(rungs[old].pressure)})
	}
}

// refusing reports whether users' appends must fail right now.
func (e *Engine) refusing() bool { return e.pressure.Load() == rungRefusing }

package broker

import (
	"container/heap"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/group"
)

const (
	groupTick   = time.Second      // heads are sampled this often
	groupSweep  = time.Minute      // forgotten groups are looked for this often
	forgetAfter = 10 * time.Minute // an empty group without offsets lives on for so long
)

// groupClock is the one goroutine behind all groups: it serves their deadlines from a heap, takes the engine's word on
// saves, and ticks once a second. Safe for concurrent use.
type groupClock struct {
	s    *groups
	wake chan struct{} // capacity 1
	done chan struct{}
	quit chan struct{}
	once sync.Once

	mu    sync.Mutex
	heap  groupHeap
	saves []savedGroup // bounded by the saves in flight: one per group and step
}

type savedGroup struct {
	c    *coordinated
	id   uint64
	code group.Code
}

func newGroupClock(s *groups) *groupClock {
	return &groupClock{s: s, wake: make(chan struct{}, 1), done: make(chan struct{}), quit: make(chan struct{})}
}

func (k *groupClock) start() { go k.run() }

func (k *groupClock) stop() {
	k.once.Do(func() { close(k.quit) })
	<-k.done
}

// set says when c next wants to be woken; a later time than the one known changes nothing until then.
func (k *groupClock) set(c *coordinated, at time.Time) {
	k.mu.Lock()
	first := false
	switch {
	case c.slot < 0:
		c.deadline = at
		heap.Push(&k.heap, c)
		first = c.slot == 0
	case at.Before(c.deadline):
		c.deadline = at
		heap.Fix(&k.heap, c.slot)
		first = c.slot == 0
	}
	k.mu.Unlock()
	if first {
		k.signal()
	}
}

// saved is the engine's word on a save. It is only noted here: the engine's goroutine must not be held up.
func (k *groupClock) saved(c *coordinated, id uint64, code group.Code) {
	k.mu.Lock()
	k.saves = append(k.saves, savedGroup{c, id, code})
	k.mu.Unlock()
	k.signal()
}

func (k *groupClock) signal() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *groupClock) run() {
	defer close(k.done)
	tick := time.NewTicker(groupTick)
	defer tick.Stop()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	swept := k.s.now()
	for {
		timer.Reset(k.work())
		select {
		case <-k.quit:
			return
		case <-k.wake:
		case <-timer.C:
		case <-tick.C:
			now := k.s.now()
			k.s.sampleHeads(now)
			k.s.tellStayed(now)
			if now.Sub(swept) >= groupSweep {
				swept = now
				k.s.sweep(now)
			}
		}
	}
}

// work does all that is due and returns how long nothing will be.
func (k *groupClock) work() time.Duration {
	for {
		saves, due, next := k.collect()
		for _, sv := range saves {
			k.s.act(sv.c, func(m machine, now time.Time) group.Effects { return m.Saved(now, sv.id, sv.code) })
		}
		for _, c := range due {
			k.s.act(c, func(m machine, now time.Time) group.Effects { return m.Expire(now) })
		}
		if len(saves) == 0 && len(due) == 0 {
			return next
		}
	}
}

func (k *groupClock) collect() (saves []savedGroup, due []*coordinated, next time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	saves, k.saves = k.saves, nil
	now := k.s.now()
	for len(k.heap) > 0 && !k.heap[0].deadline.After(now) {
		due = append(due, heap.Pop(&k.heap).(*coordinated))
	}
	next = time.Hour
	if len(k.heap) > 0 {
		next = max(k.heap[0].deadline.Sub(now), time.Millisecond)
	}
	return saves, due, next
}

// sweep forgets groups that have been empty for a while and own no offsets, as Kafka's offset cleaner does.
func (s *groups) sweep(now time.Time) {
	for _, c := range s.all() {
		c.mu.Lock()
		idle := c.machine.Idle() && now.Sub(c.machine.StateSince()) >= forgetAfter
		c.mu.Unlock()
		if idle && len(s.engine.CommittedOffsets(c.name)) == 0 {
			s.remove(c)
		}
	}
	s.hosts.sweep(now)
	s.fetchers.sweep(now)
}

// groupHeap orders groups by deadline.
type groupHeap []*coordinated

func (h groupHeap) Len() int           { return len(h) }
func (h groupHeap) Less(i, j int) bool { return h[i].deadline.Before(h[j].deadline) }
func (h groupHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i, j
}

// Push implements heap.Interface.
func (h *groupHeap) Push(x any) {
	c := x.(*coordinated)
	c.slot = len(*h)
	*h = append(*h, c)
}

// Pop implements heap.Interface.
func (h *groupHeap) Pop() any {
	old := *h
	c := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	c.slot = -1
	return c
}

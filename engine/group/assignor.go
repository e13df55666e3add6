package group

import (
	"cmp"
	"slices"
)

// The assignors a group of the consumer protocol can use; the first is the default.
const (
	Uniform = "uniform"
	Range   = "range"
)

// Assignors are the names, the default first.
func Assignors() []string { return []string{Uniform, Range} }

// subscriber is one member as an assignor sees it.
type subscriber struct {
	id       string
	instance string
	topics   []TopicID // sorted
	has      Partitions
}

func (s *subscriber) wants(id TopicID) bool {
	_, ok := slices.BinarySearchFunc(s.topics, id, compareIDs)
	return ok
}

// assign gives every partition of every subscribed topic to exactly one of its subscribers. The result depends on its input
// alone: neither on the order of members nor on that of topics.
func assign(assignor string, members []subscriber, counts map[TopicID]int32) map[string]Partitions {
	slices.SortFunc(members, func(a, b subscriber) int {
		// Static members keep their place across restarts, so that their partitions come back to them.
		return cmp.Or(cmp.Compare(a.instance, b.instance), cmp.Compare(a.id, b.id))
	})
	if assignor == Range {
		return assignRange(members, counts)
	}
	return assignUniform(members, counts)
}

// assignRange cuts each topic into ranges, one for each subscriber: topics with equal partition counts and subscribers are
// cut alike, so that partitions with the same number meet at one member.
func assignRange(members []subscriber, counts map[TopicID]int32) map[string]Partitions {
	out := map[string]Partitions{}
	wanting := map[TopicID][]int{}
	for i := range members {
		out[members[i].id] = Partitions{}
		for _, id := range members[i].topics {
			wanting[id] = append(wanting[id], i)
		}
	}
	for id, who := range wanting {
		each, extra, next := int(counts[id])/len(who), int(counts[id])%len(who), int32(0)
		for i, m := range who {
			n := each
			if i < extra {
				n++
			}
			if n > 0 {
				out[members[m].id][id] = numbersFrom(next, n)
				next += int32(n)
			}
		}
	}
	return out
}

func numbersFrom(first int32, n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = first + int32(i)
	}
	return out
}

// uniform is one computation of assignUniform.
type uniform struct {
	members []subscriber
	loads   []int
	lists   []map[TopicID][]int32 // by member, unsorted
	wanting map[TopicID][]int     // topic → members that subscribe to it, by index
}

// assignUniform balances the members' totals and moves as few partitions as that takes: what a member has stays with it
// up to its fair share; the rest goes to the least loaded; then partitions move from the more to the less loaded as long
// as that evens out.
func assignUniform(members []subscriber, counts map[TopicID]int32) map[string]Partitions {
	u := &uniform{
		members: members, loads: make([]int, len(members)), lists: make([]map[TopicID][]int32, len(members)),
		wanting: map[TopicID][]int{},
	}
	for i := range members {
		u.lists[i] = map[TopicID][]int32{}
		for _, id := range members[i].topics {
			u.wanting[id] = append(u.wanting[id], i)
		}
	}
	topics := make([]TopicID, 0, len(u.wanting))
	for id := range u.wanting {
		topics = append(topics, id)
	}
	// Those with the fewest takers first: they leave the least choice.
	slices.SortFunc(topics, func(a, b TopicID) int {
		return cmp.Or(len(u.wanting[a])-len(u.wanting[b]), compareIDs(a, b))
	})
	taken := u.keep(counts)
	for _, id := range topics {
		u.spread(id, counts[id], taken)
	}
	u.level(topics)
	return u.result()
}

// keep leaves with each member what it has.
func (u *uniform) keep(counts map[TopicID]int32) map[placed]bool {
	taken := map[placed]bool{}
	for i := range u.members {
		m := &u.members[i]
		for id, number := range m.has.Each() {
			p := placed{id, number}
			if m.wants(id) && number < counts[id] && !taken[p] {
				taken[p] = true
				u.give(i, id, number)
			}
		}
	}
	return taken
}

func (u *uniform) give(i int, id TopicID, number int32) {
	u.lists[i][id] = append(u.lists[i][id], number)
	u.loads[i]++
}

// spread gives a topic's free partitions to its least loaded subscribers.
func (u *uniform) spread(id TopicID, count int32, taken map[placed]bool) {
	h := heapOf(u.wanting[id], u.loads)
	for number := range count {
		if !taken[placed{id, number}] {
			u.give(h.least(), id, number)
			h.fix()
		}
	}
}

// level moves partitions until no move helps. Each move makes the sum of the squares of the loads smaller, so it ends.
func (u *uniform) level(topics []TopicID) {
	for moved := true; moved; {
		moved = false
		for _, id := range topics {
			moved = u.levelTopic(id) || moved
		}
	}
}

func (u *uniform) levelTopic(id TopicID) (moved bool) {
	who := u.wanting[id]
	to := heapOf(who, u.loads)
	// From the most loaded down: what they give away counts before the next is looked at.
	from := slices.Clone(who)
	slices.SortStableFunc(from, func(a, b int) int { return u.loads[b] - u.loads[a] })
	for _, i := range from {
		for len(u.lists[i][id]) > 0 && u.loads[i] > u.loads[to.least()]+1 {
			list := u.lists[i][id]
			last := len(list) - 1
			number := list[last]
			u.lists[i][id] = list[:last]
			u.loads[i]--
			u.give(to.least(), id, number)
			to.init() // the giver lies anywhere in the heap
			moved = true
		}
	}
	return moved
}

func (u *uniform) result() map[string]Partitions {
	out := make(map[string]Partitions, len(u.members))
	for i := range u.members {
		p := Partitions{}
		for id, numbers := range u.lists[i] {
			if len(numbers) > 0 {
				slices.Sort(numbers)
				p[id] = numbers
			}
		}
		out[u.members[i].id] = p
	}
	return out
}

// loadHeap finds the least loaded of some members; ties go to the first in order.
type loadHeap struct {
	who   []int
	loads []int
}

func heapOf(who, loads []int) *loadHeap {
	h := &loadHeap{slices.Clone(who), loads}
	h.init()
	return h
}

func (h *loadHeap) init() {
	for i := len(h.who)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
}

func (h *loadHeap) least() int { return h.who[0] }

// fix restores the order after the least one's load has risen.
func (h *loadHeap) fix() { h.down(0) }

func (h *loadHeap) less(a, b int) bool {
	x, y := h.who[a], h.who[b]
	return h.loads[x] < h.loads[y] || h.loads[x] == h.loads[y] && x < y
}

func (h *loadHeap) down(i int) {
	for {
		least := i
		for _, child := range []int{2*i + 1, 2*i + 2} {
			if child < len(h.who) && h.less(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		h.who[i], h.who[least] = h.who[least], h.who[i]
		i = least
	}
}

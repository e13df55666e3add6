package group

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestRandom plays random clients against a group and checks after every step what must always hold; at the end, with
// everybody silent, the group must become empty and every request be answered.
func TestRandom(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			p := &player{
				sim: newSim(t, Options{InitialRebalanceDelay: time.Duration(seed%3) * time.Second, MaxSize: int(seed%4) * 3}),
				r:   rand.New(rand.NewPCG(seed, 7)),
			}
			p.holdSaves = true
			for range 400 {
				p.step()
				p.check()
			}
			p.end()
		})
	}
}

type player struct {
	*sim
	r          *rand.Rand
	known      []string // member ids clients have heard of
	generation int32
}

func (p *player) pick() string {
	if len(p.known) == 0 || p.r.IntN(20) == 0 {
		return "stranger"
	}
	return p.known[p.r.IntN(len(p.known))]
}

func (p *player) instanceOf(id string) string {
	m, _ := p.g.Member(id)
	return m.InstanceID
}

func (p *player) step() {
	switch n := p.r.IntN(100); {
	case n < 15:
		p.stepJoin("")
	case n < 40:
		p.stepJoin(p.pick())
	case n < 65:
		id := p.pick()
		token := p.ask("sync")
		p.absorb(p.g.Sync(p.now, SyncRequest{
			Token: token, MemberID: id, InstanceID: p.instanceOf(id), Generation: p.g.Generation() - int32(p.r.IntN(8)/7),
			Assignments: map[string][]byte{p.pick(): assignment("t", p.r.Int32N(4))},
		}))
	case n < 75:
		p.beat(p.pick(), p.g.Generation())
	case n < 80:
		id := p.pick()
		p.leave(Leaving{MemberID: id, InstanceID: p.instanceOf(id)})
	case n < 90:
		p.pass(time.Duration(p.r.IntN(8000)) * time.Millisecond)
	case len(p.saves) > 0:
		save := p.saves[0]
		p.saves = p.saves[1:]
		code := None
		if p.r.IntN(6) == 0 {
			code = NotCoordinator
		}
		p.absorb(p.g.Saved(p.now, save.ID, code))
	}
	for _, m := range p.g.Members() {
		p.known = append(p.known, m.ID)
	}
	p.known = p.known[max(0, len(p.known)-12):]
}

func (p *player) stepJoin(id string) {
	r := p.joining(fmt.Sprint("c", p.r.IntN(4)), id)
	r.MemberIDRequired, r.SkipAssignment = p.r.IntN(2) == 0, p.r.IntN(2) == 0
	r.InstanceID = p.instanceOf(id)
	if id == "" && p.r.IntN(3) == 0 {
		r.InstanceID = fmt.Sprint("i", p.r.IntN(3))
	}
	if p.r.IntN(5) == 0 {
		r.Protocols = []Protocol{{"sticky", subscription("t", "u")}, {"range", subscription("t")}}
	}
	if reply := p.joins[p.join(r)]; reply.Code == MemberIDRequired {
		p.known = append(p.known, reply.MemberID)
	}
}

func (p *player) check() {
	t, g := p.t, p.g
	t.Helper()
	if g.generation < p.generation {
		t.Fatalf("generation went from %d to %d", p.generation, g.generation)
	}
	p.generation = g.generation
	waiting := 0
	for _, m := range g.members {
		if m.join.waiting {
			waiting++
		}
		if m.sync.waiting {
			waiting++
		}
		if m.instance != "" && g.static[m.instance] != m.id {
			t.Fatalf("static member %s is mapped to %q", m.id, g.static[m.instance])
		}
	}
	if open := len(p.asked) - len(p.joins) - len(p.syncs); open != waiting {
		t.Fatalf("%d requests are unanswered, members wait for %d", open, waiting)
	}
	for instance, id := range g.static {
		if m := g.find(id); m == nil || m.instance != instance {
			t.Fatalf("instance %s is mapped to %s, who is no such member", instance, id)
		}
	}
	if (g.state == Empty) != (len(g.members) == 0) && g.state != PreparingRebalance {
		t.Fatalf("state %s with %d members", g.state, len(g.members))
	}
	if g.state == Stable || g.state == CompletingRebalance {
		if g.find(g.leader) == nil || g.protocol == "" {
			t.Fatalf("state %s with leader %q, protocol %q", g.state, g.leader, g.protocol)
		}
	}
	if g.state == Stable && g.joining() > len(g.saves) {
		t.Fatal("a JoinGroup waits in a stable group for nothing")
	}
	if limit := g.options.MaxSize; limit > 0 && g.state == Stable && len(g.members) > limit {
		t.Fatalf("%d members, at most %d are allowed", len(g.members), limit)
	}
	if _, ok := g.Deadline(); !ok && len(g.saves) == 0 && (len(g.members) > 0 || len(g.pending) > 0) {
		t.Fatalf("nothing is scheduled in state %s with %d members", g.state, len(g.members))
	}
}

func (p *player) end() {
	p.holdSaves = false
	for _, s := range p.saves {
		p.absorb(p.g.Saved(p.now, s.ID, None))
	}
	p.pass(time.Hour)
	p.check()
	if p.g.State() != Empty || !p.g.Idle() {
		p.t.Fatalf("after an hour of silence the group is %s with %d members", p.g.State(), p.g.Size())
	}
}

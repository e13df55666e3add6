package group

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// dirty is what changed since the last records were made.
type dirty struct {
	epoch, assignment          bool
	members, targets, currents map[string]bool
	left                       map[string]bool
}

func mark(set *map[string]bool, id string) {
	if *set == nil {
		*set = map[string]bool{}
	}
	(*set)[id] = true
}

func (d *dirty) member(id string)  { mark(&d.members, id) }
func (d *dirty) target(id string)  { mark(&d.targets, id) }
func (d *dirty) current(id string) { mark(&d.currents, id) }
func (d *dirty) gone(id string)    { mark(&d.left, id) }

// finish ends a step: it sees whether the round is over, asks to store what changed, and answers. An answer waits for every
// save in flight, because it may tell what they store.
func (g *Consumer) finish(now time.Time, reply *HeartbeatReply) {
	g.settle(now)
	records := g.changes()
	if len(records) > 0 {
		g.lastSave++
		g.saves[g.lastSave] = nil
		g.out.Saves = append(g.out.Saves, Save{ID: g.lastSave, Records: records})
	}
	if reply == nil {
		return
	}
	if waiting, ok := g.saves[g.lastSave]; ok {
		g.saves[g.lastSave] = append(waiting, *reply)
		return
	}
	g.out.Beats = append(g.out.Beats, *reply)
}

// Saved reports the outcome of a Save. What could not be stored is stored anew, whole, with the next change.
func (g *Consumer) Saved(_ time.Time, id uint64, code Code) Effects {
	if _, ok := g.saves[id]; !ok || g.dead {
		return g.take()
	}
	if code != None {
		g.dirty.epoch, g.dirty.assignment = true, true
		for _, m := range g.members {
			g.dirty.member(m.id)
			g.dirty.target(m.id)
			g.dirty.current(m.id)
		}
	}
	g.release(id, code)
	return g.take()
}

func (g *Consumer) release(id uint64, code Code) {
	for _, reply := range g.saves[id] {
		if code != None && reply.Code == None {
			reply = HeartbeatReply{To: reply.To, Code: code, Message: "the change could not be stored", MemberID: reply.MemberID, Epoch: reply.Epoch}
		}
		g.out.Beats = append(g.out.Beats, reply)
	}
	delete(g.saves, id)
}

// changes makes the records of what changed.
func (g *Consumer) changes() (records []Record) {
	d := g.dirty
	g.dirty = dirty{}
	for _, id := range sortedIDs(d.left) {
		if g.byID[id] == nil {
			records = append(records, Record{currentKey(g.name, id), nil}, Record{targetKey(g.name, id), nil}, Record{memberKey(g.name, id), nil})
		}
	}
	for _, id := range sortedIDs(d.members) {
		if m := g.byID[id]; m != nil {
			records = append(records, Record{memberKey(g.name, id), memberValue(m)})
		}
	}
	if d.epoch {
		records = append(records, Record{epochKey(g.name), epochValue(g.epoch)})
	}
	for _, id := range sortedIDs(d.targets) {
		if m := g.byID[id]; m != nil {
			records = append(records, Record{targetKey(g.name, id), targetValue(m)})
		}
	}
	if d.assignment {
		records = append(records, Record{assignmentKey(g.name), epochValue(g.assignmentEpoch)})
	}
	for _, id := range sortedIDs(d.currents) {
		if m := g.byID[id]; m != nil {
			records = append(records, Record{currentKey(g.name, id), currentValue(m)})
		}
	}
	return records
}

func sortedIDs(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }

// RestoreConsumer makes a group from its stored records, by key. Members get a full session from now to show that they live.
func RestoreConsumer(name string, now time.Time, o ConsumerOptions, t Topics, records map[string][]byte) (*Consumer, error) {
	g := NewConsumer(name, now, o, t)
	for _, key := range slices.Sorted(maps.Keys(records)) { // members sort before what they are assigned
		if err := g.restore([]byte(key), records[key]); err != nil {
			return nil, fmt.Errorf("group %s: %w", name, err)
		}
	}
	for _, m := range g.members {
		if err := g.retake(now, m); err != nil {
			return nil, err
		}
	}
	g.version, g.stale = 0, true
	if g.resolve(); !g.covered() && len(g.members) > 0 {
		g.epoch++ // topics changed while nobody looked
		g.dirty.epoch = true
	}
	g.round.running, g.round.started = g.State() != Stable && len(g.members) > 0, now
	return g, nil
}

// retake gives a restored member what it holds.
func (g *Consumer) retake(now time.Time, m *consumerMember) error {
	for p := range m.since {
		if other := g.holders[p]; other != "" {
			return fmt.Errorf("group %s: members %s and %s are stored with the same partition", g.name, other, m.id)
		}
		g.holders[p] = m.id
	}
	if m.regex != "" && g.patterns[m.regex] == nil {
		r := HeartbeatRequest{Regex: &m.regex}
		if no := g.compile(&r); no != nil {
			return fmt.Errorf("group %s: member %s: %s", g.name, m.id, no.text)
		}
		g.patterns[m.regex] = &pattern{re: r.compiled}
	}
	m.joinedAt = now
	g.expireAt(m, now.Add(g.options.SessionTimeout))
	if m.state == unrevoked {
		m.revokeBy = now.Add(m.rebalanceTimeout)
		g.schedule(m.revokeBy)
	}
	return nil
}

// covered says whether the target assignment gives out exactly the partitions that exist.
func (g *Consumer) covered() bool {
	given := 0
	for _, m := range g.members {
		for id, number := range m.target.Each() {
			t, ok := g.resolved[g.names[id]]
			if !ok || t.ID != id || number >= t.Partitions {
				return false
			}
			given++
		}
	}
	exist := 0
	for _, t := range g.resolved {
		exist += int(t.Partitions)
	}
	return given == exist
}

package kafka

import (
	"fmt"
	"maps"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

const (
	followAfter  = 30 * time.Second // a new owner had its chance
	followOwners = 2                // so many changes: two owners had their chance, however short; a record that kills them makes it short
	clearWithin  = time.Minute      // of the new owner's start
	ownerFactFor = 10 * time.Minute
)

// stall is a partition standing still at one offset.
type stall struct {
	offset   int64
	began    time.Time
	followed bool // stall_followed_partition was told for the present owner
	owners   int  // how often the owner changed while it stood still, since the last such event
}

// absorbOwners joins partitions with the members that own them. While nobody owns a partition (a rebalance
// runs) the last owner stays, so that a change is seen from owner to owner.
func (t *tracker) absorbOwners(g *groupTrack, r *round) {
	shared := map[string]int{}
	for _, m := range g.members {
		shared[m.key]++
	}
	for _, gp := range g.parts.all() {
		m := gp.member
		if m == nil {
			continue
		}
		who := m.key
		if shared[who] > 1 { // several members go by one name: only their ids tell them apart
			who = m.state.id
		}
		if m.owner == nil || m.owner.id != who {
			m.owner = &owner{who, m.key}
		}
		changed := gp.owner == nil || gp.owner.id != who
		if gp.owner != nil && changed && gp.frozenFor(r.at) > 0 {
			gp.oldOwner = gp.owner
			if gp.stall != nil {
				g.ownerChanged = r.at
				gp.stall.followed = false
				gp.stall.owners++
			}
		}
		if changed {
			gp.ownerSince = momentOf(r.at)
		}
		gp.owner = m.owner
	}
}

// followStalls tells when a partition stalls, when the stall is over, and whether it was the partition's
// or its owner's.
func (t *tracker) followStalls(g *groupTrack, r *round) {
	for where, gp := range g.parts.all() {
		switch {
		case !gp.fresh || gp.stall == nil && !t.stalled(g, gp, r.at):
		case gp.stall == nil:
			gp.stall = &stall{offset: gp.progress.committed, began: gp.frozen.time()}
			t.tellStall(g, where, gp, "stall_began", r, "%s stands still on %s-%d at %d", nil)
		case gp.progress.committed != gp.stall.offset || gp.frozen.IsZero():
			if gp.oldOwner != nil && gp.ownerSince.before(r.at) <= clearWithin+t.every {
				t.tellStall(g, where, gp, "stall_cleared_by_new_owner", r, "a new owner of %[2]s-%[3]d lets %[1]s go on from %[4]d",
					map[string]any{"old_owner": gp.oldOwner.name, "new_owner": gp.owner.name})
			}
			t.tellStall(g, where, gp, "stall_cleared", r, "%s goes on on %s-%d after %d", nil)
			gp.stall, gp.oldOwner = nil, nil
		case gp.oldOwner == nil || gp.stall.followed:
		case gp.ownerSince.before(r.at) >= followAfter:
			t.followed(g, where, gp, r)
		case gp.stall.owners >= followOwners:
			t.outlived(g, where, gp, r)
		}
	}
}

// followed tells of a stall that went with the partition to its new owner, provided the old owner is not
// stuck itself.
func (t *tracker) followed(g *groupTrack, where partition, gp *groupPart, r *round) {
	attrs := map[string]any{"old_owner": gp.oldOwner.name, "new_owner": gp.owner.name}
	owned, going := 0, 0
	for _, other := range g.parts.all() {
		if other.owner == nil || other.owner.id != gp.oldOwner.id || other == gp || !t.headMoves(r.at, other.part) {
			continue
		}
		owned++
		if !other.moved.IsZero() && other.moved.before(r.at) <= g.gaps.stallAfter(t.every) {
			going++
		}
	}
	if owned > 0 {
		if going == 0 {
			return // the old owner stands still as well: it may still be its fault
		}
		attrs["old_owner_moves"] = true
	}
	gp.stall.followed, gp.stall.owners = true, 0
	t.tellStall(g, where, gp, "stall_followed_partition", r, "%s stands still on %s-%d at %d under a new owner too", attrs)
}

// outlived tells of a stall that went from owner to owner and back, each of whom was gone too soon to be watched for long,
// provided something else of the group went on since it began: then it is neither the owners nor the group.
func (t *tracker) outlived(g *groupTrack, where partition, gp *groupPart, r *round) {
	for _, other := range g.parts.all() {
		if other != gp && other.moved.time().After(gp.stall.began) {
			gp.stall.followed, gp.stall.owners = true, 0
			t.tellStall(g, where, gp, "stall_followed_partition", r, "%s stands still on %s-%d at %d whoever owns it",
				map[string]any{"old_owner": gp.oldOwner.name, "new_owner": gp.owner.name})
			return
		}
	}
}

func (t *tracker) tellStall(g *groupTrack, where partition, gp *groupPart, kind string, r *round, text string, more map[string]any) {
	attrs := map[string]any{
		"group": g.name, "topic": where.topic, "partition": float64(where.index),
		"offset": float64(gp.stall.offset), "seconds": r.at.Sub(gp.stall.began).Seconds(),
	}
	if gp.owner != nil && gp.owner.name != "" {
		attrs["owner"] = gp.owner.name
	}
	maps.Copy(attrs, more)
	t.tell(r, r.at, kind, t.entity(streamkeeper.KindGroup, g.name), fmt.Sprintf(text, g.name, where.topic, where.index, gp.stall.offset), attrs)
}

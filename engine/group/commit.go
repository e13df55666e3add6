package group

import (
	"slices"
	"time"
)

// Commit checks an OffsetCommit. generation is -1 and id "" for a client that only stores offsets here; such a "simple"
// client may commit while the group has no members. A member's commit also prolongs its session.
func (g *Group) Commit(now time.Time, id, instance string, generation int32) Code {
	if g.state == Dead {
		return CoordinatorNotAvailable
	}
	if generation < 0 && g.state == Empty {
		return None
	}
	if generation < 0 && id == "" && instance == "" {
		return UnknownMemberID // a stranger while members manage the group
	}
	if code := g.validate(id, instance); code != None {
		return code
	}
	switch {
	case generation != g.generation:
		return IllegalGeneration
	case g.state == CompletingRebalance:
		return RebalanceInProgress // it has not got its assignment yet: whose partition is it?
	}
	g.startSession(now, g.find(id))
	return None
}

// CommitUnknown is the answer to an OffsetCommit for a group that does not exist: None when the commit creates it.
func CommitUnknown(generation int32) Code {
	if generation < 0 {
		return None
	}
	return IllegalGeneration
}

// Deletable says whether the group may be deleted with its offsets.
func (g *Group) Deletable() Code {
	switch g.state {
	case Dead:
		return GroupIDNotFound
	case Empty:
		return None
	default:
		return NonEmptyGroup
	}
}

// OffsetsDeletable says whether OffsetDelete is possible at all; then ask OffsetDeletable for each topic.
func (g *Group) OffsetsDeletable() Code {
	switch {
	case g.state == Dead:
		return GroupIDNotFound
	case g.state != Empty && g.protocolType != ConsumerProtocol:
		return NonEmptyGroup
	default:
		return None
	}
}

// OffsetDeletable refuses to delete offsets under a member that reads the topic.
func (g *Group) OffsetDeletable(topic string) Code {
	if g.state == Empty {
		return None
	}
	if !g.topicsKnown || slices.Contains(g.topics, topic) {
		return GroupSubscribedToTopic
	}
	return None
}

package kafka

import (
	"fmt"
	"slices"
	"strings"

	"github.com/streamkeeper-io/streamkeeper"
)

// makeup is how a group is made, as of its last stable round: what changes only when somebody changes it.
type makeup struct {
	protocol, assignor string
	topics             []string // that its members own partitions of, in order
}

// absorbMakeup tells what is another in a group that is stable again: its protocol, its assignor, its topics.
func (t *tracker) absorbMakeup(g *groupTrack, state *groupState, r *round) {
	if state.state != "Stable" || len(state.members) == 0 {
		return
	}
	now := makeupOf(state)
	was := g.makeup
	g.makeup = now
	if was.protocol == "" {
		return
	}
	tell := func(kind, what, from, to string) {
		if from != to {
			t.tell(r, r.at, kind, t.entity(streamkeeper.KindGroup, g.name), fmt.Sprintf("the %s of group %s changed from %s to %s", what, g.name, from, to),
				map[string]any{"group": g.name, "from": from, "to": to})
		}
	}
	tell("group_protocol_changed", "protocol", was.protocol, now.protocol)
	tell("group_assignor_changed", "assignor", was.assignor, now.assignor)
	if len(was.topics) > 0 && len(now.topics) > 0 && !slices.Equal(was.topics, now.topics) {
		tell("group_topics_changed", "topics", nameList(was.topics), nameList(now.topics))
	}
}

func makeupOf(state *groupState) makeup {
	m := makeup{protocol: "classic", assignor: state.assignor}
	if state.kip848 {
		m.protocol = "consumer"
	}
	seen := map[string]bool{}
	for _, member := range state.members {
		for i, p := range member.assigned { // sorted: partitions of one topic are neighbours
			if i == 0 || member.assigned[i-1].topic != p.topic {
				seen[p.topic] = true
			}
		}
	}
	m.topics = sortedKeys(seen)
	return m
}

// maxListed bounds the names in a text.
const maxListed = 20

func nameList(names []string) string {
	if more := len(names) - maxListed; more > 0 {
		return strings.Join(names[:maxListed], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(names, ", ")
}

package kafka

import (
	"fmt"
	"slices"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// holder is which processes have had an instance id. Descriptions and the group log each tell of some: a member id is told once.
type holder struct {
	host  string   // of the last one
	ids   []string // of the last maxHolders
	hosts []string
}

// maxHolders is how many processes are remembered: while the log is read half a minute late, one that takes an instance id over
// each second is still told once.
const maxHolders = 64

// replaced tells that a static member's instance id is held by another process, whose member id is another one. Back to a host
// that had it before, it is not one process that is started again somewhere else: two hold it in turns. On one host nothing tells
// these apart.
func (t *tracker) replaced(g *groupTrack, old, now memberState, at time.Time, r *round) {
	h := g.holders[now.instance]
	if h == nil {
		h = &holder{host: old.host, ids: []string{old.id}, hosts: []string{old.host}}
		if g.holders == nil || len(g.holders) >= maxShown { // with as many, one may be told twice
			g.holders = map[string]*holder{}
		}
		g.holders[now.instance] = h
	}
	if slices.Contains(h.ids, now.id) {
		return
	}
	attrs := g.memberAttrs(now)
	attrs["old_member_id"], attrs["old_host"], attrs["new_host"] = old.id, h.host, now.host
	if now.host != h.host {
		attrs["back"] = slices.Contains(h.hosts, now.host)
	}
	h.take(now)
	g.lose(at)
	t.tell(r, at, "member_replaced", t.entity(streamkeeper.KindGroup, g.name),
		fmt.Sprintf("%s of %s is held by another process", now.instance, g.name), attrs)
}

func (h *holder) take(m memberState) {
	h.host = m.host
	h.ids = append(h.ids[max(0, len(h.ids)-maxHolders+1):], m.id)
	if !slices.Contains(h.hosts, m.host) {
		h.hosts = append(h.hosts[max(0, len(h.hosts)-maxHolders+1):], m.host)
	}
}

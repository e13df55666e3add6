package loki

import (
	"strconv"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

const (
	memberMemory = 15 * time.Minute // a line about a member comes after it has left
	maxMembers   = 50_000
)

// index remembers the members of a cluster's groups for a while, to complete what lines leave out. Not safe for concurrent
// use.
type index struct {
	byID     map[string]*seenMember
	byGroup  map[string][]*seenMember
	byClient map[string][]*seenMember
	byHost   map[string][]*seenMember
	byName   map[string][]*seenMember // instance id
	groups   map[string]bool
}

type seenMember struct {
	person
	at time.Time
}

func newIndex() *index { return &index{byID: map[string]*seenMember{}} }

// learn takes an inventory in.
func (x *index) learn(inv streamkeeper.Inventory, now time.Time) {
	x.groups = map[string]bool{} // a new one: others may read the old
	for _, g := range inv.Groups {
		x.groups[g.Name] = true
		for _, m := range g.Members {
			if old := x.byID[m.MemberID]; old != nil {
				old.at = now
				continue
			}
			if m.MemberID == "" || len(x.byID) >= maxMembers {
				continue
			}
			x.byID[m.MemberID] = &seenMember{person{g.Name, m.ClientID, m.InstanceID, m.Host, m.MemberID}, now}
		}
	}
	for id, m := range x.byID {
		if now.Sub(m.at) > memberMemory {
			delete(x.byID, id)
		}
	}
	x.byGroup, x.byClient = map[string][]*seenMember{}, map[string][]*seenMember{}
	x.byHost, x.byName = map[string][]*seenMember{}, map[string][]*seenMember{}
	for _, m := range x.byID {
		x.byGroup[m.group] = append(x.byGroup[m.group], m)
		x.byClient[m.client] = append(x.byClient[m.client], m)
		x.byHost[m.host] = append(x.byHost[m.host], m)
		x.byName[m.instance] = append(x.byName[m.instance], m)
	}
}

// candidates are the members that a person may be, at least.
func (x *index) candidates(p person) []*seenMember {
	switch {
	case p.group != "":
		return x.byGroup[p.group]
	case p.instance != "":
		return x.byName[p.instance]
	case p.client != "":
		return x.byClient[p.client]
	}
	return x.byHost[p.host]
}

// complete fills in what all members that fit agree on; what they differ in stays open.
func (x *index) complete(p person) person {
	if m := x.byID[p.memberID]; m != nil && p.memberID != "" && (p.group == "" || p.group == m.group) {
		return fill(p, m.person)
	}
	if p.client == "" && p.host == "" && p.instance == "" {
		return p // nothing but perhaps a group: any member could be meant
	}
	var common *person
	for _, m := range x.candidates(p) {
		if !fits(p, m.person) {
			continue
		}
		if common == nil {
			c := m.person
			common = &c
			continue
		}
		common.group = agreed(common.group, m.group)
		common.client = agreed(common.client, m.client)
		common.instance = agreed(common.instance, m.instance)
		common.host = agreed(common.host, m.host)
		common.memberID = agreed(common.memberID, m.memberID)
	}
	if common == nil {
		return p
	}
	if p.memberID == "" {
		common.memberID = "" // which of its ids is meant is not said
	}
	return fill(p, *common)
}

func fits(p, m person) bool {
	return (p.group == "" || p.group == m.group) && (p.client == "" || p.client == m.client) &&
		(p.host == "" || p.host == m.host) && (p.instance == "" || p.instance == m.instance)
}

func agreed(a, b string) string {
	if a == b {
		return a
	}
	return ""
}

func fill(p, from person) person {
	set := func(to *string, v string) {
		if *to == "" {
			*to = v
		}
	}
	set(&p.group, from.group)
	set(&p.client, from.client)
	set(&p.instance, from.instance)
	set(&p.host, from.host)
	set(&p.memberID, from.memberID)
	return p
}

func decimal(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

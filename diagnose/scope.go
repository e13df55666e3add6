package diagnose

import (
	"path"
	"slices"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// Scope is what somebody said about some groups and topics of a cluster: whose they are, what late means to them, how
// loudly to speak of them, or not at all. Cluster, Groups and Topics are globs. A scope that names groups or topics is
// about those; one that names neither is about everything in the cluster, its brokers and stores included.
type Scope struct {
	Cluster     string        `json:"cluster,omitempty"` // "" is every cluster
	Groups      string        `json:"groups,omitempty"`
	Topics      string        `json:"topics,omitempty"`  // their partitions too
	SLOLag      time.Duration `json:"slo_lag,omitempty"` // in ns in JSON; 0: that of Config
	Owner       string        `json:"owner,omitempty"`
	Ignore      bool          `json:"ignore,omitempty"` // kept out of findings, incidents and health
	Criticality Criticality   `json:"criticality,omitempty"`
}

// Criticality moves severities: high one step up, low one step down.
type Criticality string

// The criticalities. The zero value is normal.
const (
	CriticalityHigh   Criticality = "high"
	CriticalityNormal Criticality = "normal"
	CriticalityLow    Criticality = "low"
)

// severities by loudness.
var severities = []streamkeeper.Severity{streamkeeper.SeverityInfo, streamkeeper.SeverityWarning, streamkeeper.SeverityCritical}

// Move is a severity as loud as the criticality asks for: never beyond critical, never below info.
func (c Criticality) Move(s streamkeeper.Severity) streamkeeper.Severity {
	at := slices.Index(severities, s)
	switch {
	case at < 0:
		return s
	case c == CriticalityHigh:
		at++
	case c == CriticalityLow:
		at--
	}
	return severities[min(max(at, 0), len(severities)-1)]
}

// Names says whether the scope speaks of an entity.
func (s Scope) Names(e streamkeeper.Entity) bool {
	if s.Cluster != "" && !glob(s.Cluster, e.Cluster) {
		return false
	}
	if s.Groups == "" && s.Topics == "" {
		return true
	}
	switch e.Kind {
	case streamkeeper.KindGroup:
		return s.Groups != "" && glob(s.Groups, e.Name)
	case streamkeeper.KindTopic:
		return s.Topics != "" && glob(s.Topics, e.Name)
	case streamkeeper.KindPartition:
		return s.Topics != "" && glob(s.Topics, e.Name[:max(strings.LastIndexByte(e.Name, '-'), 0)])
	}
	return false
}

// glob matches a whole name: * is anything, ? one character, [a-z] a range. A pattern that is none matches nothing.
func glob(pattern, name string) bool {
	if pattern == "*" || pattern == name {
		return true
	}
	// a name may hold slashes, which path.Match would not let * cross
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(name, "/", "\x00"))
	return err == nil && ok
}

// scopeOf is the first scope that speaks of an entity, the zero Scope when none does. A client id is named by no scope:
// it has that of its groups when they all have the same.
func (p *pass) scopeOf(e streamkeeper.Entity) Scope {
	if len(p.Config.Scopes) == 0 {
		return Scope{}
	}
	if s, known := p.scopes[e]; known {
		return s
	}
	var of Scope
	if at := slices.IndexFunc(p.Config.Scopes, func(s Scope) bool { return s.Names(e) }); at >= 0 {
		of = p.Config.Scopes[at]
	}
	if e.Kind == streamkeeper.KindClient {
		for i, group := range p.World.Related(e, streamkeeper.KindGroup) {
			if s := p.scopeOf(group); i == 0 {
				of = s
			} else if s != of {
				of = Scope{}
				break
			}
		}
	}
	if p.scopes == nil {
		p.scopes = map[streamkeeper.Entity]Scope{}
	}
	p.scopes[e] = of
	return of
}

func (p *pass) ignored(e streamkeeper.Entity) bool { return p.scopeOf(e).Ignore }

// countIgnored counts the groups and topics of the cluster that scopes keep out.
func (p *pass) countIgnored() int {
	if !slices.ContainsFunc(p.Config.Scopes, func(s Scope) bool { return s.Ignore }) {
		return 0
	}
	n := 0
	for _, kind := range []streamkeeper.EntityKind{streamkeeper.KindGroup, streamkeeper.KindTopic} {
		for _, e := range p.World.Entities(p.cluster, kind) {
			if p.ignored(e) {
				n++
			}
		}
	}
	return n
}

// owned says whose an incident is: that of its root, else of all that it hurts when that is one; owners are all of them.
func (p *pass) owned(i *streamkeeper.Incident) {
	var owners []string
	add := func(e streamkeeper.Entity) {
		if o := p.scopeOf(e).Owner; o != "" && !slices.Contains(owners, o) {
			owners = append(owners, o)
		}
	}
	add(i.Root.Entity)
	root := len(owners) > 0
	for _, f := range i.Consequences {
		add(f.Entity)
	}
	for _, y := range i.Symptoms {
		add(y.Entity)
	}
	i.Owner, i.Owners = "", nil
	if len(owners) > 0 && (root || len(owners) == 1) {
		i.Owner = owners[0]
	}
	slices.Sort(owners)
	i.Owners = owners
}

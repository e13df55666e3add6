package group

import (
	"maps"
	"regexp"
	"slices"
)

// maxPattern bounds a regular expression: matching takes linear time, but in a program as large as the expression.
const maxPattern = 32 << 10

// compile checks the regular expression a member subscribes to. Kafka uses RE2/J and Go's are RE2's too, so they mean the
// same; the whole name must match.
func (g *Consumer) compile(r *HeartbeatRequest) *refusal {
	if r.Regex == nil || *r.Regex == "" || g.patterns[*r.Regex] != nil {
		return nil
	}
	if len(*r.Regex) > maxPattern {
		return refuse(InvalidRegularExpression, "SubscribedTopicRegex of %d bytes is too long: use at most %d.", len(*r.Regex), maxPattern)
	}
	re, err := regexp.Compile(`^(?:` + *r.Regex + `)$`)
	if err != nil {
		return refuse(InvalidRegularExpression, "SubscribedTopicRegex `%s` is not a valid regular expression: %v.", *r.Regex, err)
	}
	r.compiled = re
	return nil
}

// resolve finds the topics behind the subscriptions, when either may have changed, and says whether the set of topics or
// their partition counts did.
func (g *Consumer) resolve() (changed bool) {
	version := g.topics.Version()
	if version == g.version && !g.stale {
		return false
	}
	g.match(version != g.version)
	resolved := map[string]Topic{}
	for _, m := range g.members {
		m.subscribed = m.subscribed[:0:0]
		for _, name := range m.wanted(g.patterns) {
			t, ok := resolved[name]
			if !ok {
				if t, ok = g.topics.ByName(name); !ok {
					continue
				}
				resolved[name] = t
			}
			m.subscribed = append(m.subscribed, t.ID)
		}
		slices.SortFunc(m.subscribed, compareIDs)
	}
	changed = !maps.Equal(resolved, g.resolved)
	g.resolved, g.version, g.stale = resolved, version, false
	g.rename()
	return changed
}

// match forgets patterns that nobody uses and finds the topics of those that are new, or of all.
func (g *Consumer) match(all bool) {
	used := map[string]bool{}
	for _, m := range g.members {
		used[m.regex] = true
	}
	for regex, p := range g.patterns {
		switch {
		case !used[regex]:
			delete(g.patterns, regex)
		case all || p.topics == nil:
			p.topics = []string{}
			for t := range g.topics.All() {
				if p.re.MatchString(t.Name) {
					p.topics = append(p.topics, t.Name)
				}
			}
		}
	}
}

// wanted are the names a member subscribes to, each once.
func (m *consumerMember) wanted(patterns map[string]*pattern) []string {
	p := patterns[m.regex]
	if p == nil {
		return m.names
	}
	all := slices.Concat(m.names, p.topics)
	slices.Sort(all)
	return slices.Compact(all)
}

// rename keeps the names of topics that are subscribed, or held although they are gone.
func (g *Consumer) rename() {
	names := map[TopicID]string{}
	for name, t := range g.resolved {
		names[t.ID] = name
	}
	for p := range g.holders {
		if old := g.names[p.topic]; old != "" && names[p.topic] == "" {
			names[p.topic] = old
		}
	}
	g.names = names
}

package cli

import (
	"fmt"
	"path"
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/streamkeeper-io/streamkeeper/diagnose"
)

// ScopeConfig is what somebody says about some groups and topics. Cluster, groups and topics are globs. The first scope of
// the list that names an entity counts, whole: what it leaves out is not taken from a later one.
type ScopeConfig struct {
	Cluster     string   `yaml:"cluster"`
	Groups      string   `yaml:"groups"`
	Topics      string   `yaml:"topics"`
	SLOLag      Duration `yaml:"slo_lag"`
	Owner       string   `yaml:"owner"`
	Ignore      bool     `yaml:"ignore"`
	Criticality string   `yaml:"criticality"`
}

var criticalities = []string{"", string(diagnose.CriticalityHigh), string(diagnose.CriticalityNormal), string(diagnose.CriticalityLow)}

// UnmarshalYAML reads a scope strictly and points at what is wrong in it.
func (s *ScopeConfig) UnmarshalYAML(node ast.Node) error {
	type plain ScopeConfig
	if err := yaml.NodeToValue(node, (*plain)(s), yaml.Strict()); err != nil {
		return err
	}
	bad := func(key, format string, args ...any) error {
		return &yaml.SyntaxError{Message: fmt.Sprintf(format, args...), Token: valueOf(node, key).GetToken()}
	}
	for key, pattern := range map[string]string{"cluster": s.Cluster, "groups": s.Groups, "topics": s.Topics} {
		if _, err := path.Match(pattern, ""); err != nil {
			return bad(key, "%s %q: want a name in which * is anything, ? one character and [a-z] a range", key, pattern)
		}
	}
	switch named := s.Groups != "" || s.Topics != ""; {
	case !slices.Contains(criticalities, s.Criticality):
		return bad("criticality", "criticality %q: want high, normal or low", s.Criticality)
	case s.SLOLag.Duration < 0:
		return bad("slo_lag", "slo_lag %s: want a positive duration", s.SLOLag)
	case !named && s.Cluster == "":
		return bad("", "this scope names nothing: give it a cluster, groups or topics")
	case s.Ignore && !named:
		return bad("ignore", "ignore wants groups or topics; a cluster that is not watched is left out of clusters")
	case s.Ignore && (s.SLOLag.Duration > 0 || s.Criticality != ""):
		return bad("ignore", "what is ignored has no slo_lag and no criticality")
	case !s.Ignore && s.Owner == "" && s.SLOLag.Duration == 0 && s.Criticality == "":
		return bad("", "this scope says nothing: give it an owner, slo_lag, criticality or ignore")
	}
	return nil
}

// valueOf is the node of a key's value in a mapping, the mapping itself when it has no such key.
func valueOf(node ast.Node, key string) ast.Node {
	var values []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	}
	for _, v := range values {
		if v.Key.String() == key {
			return v.Value
		}
	}
	if len(values) > 0 {
		return values[0].Key
	}
	return node
}

// scopes are the config's scopes as the diagnosis reads them.
func (d *DiagnoseConfig) scopes() []diagnose.Scope {
	var out []diagnose.Scope
	for _, s := range d.Scopes {
		out = append(out, diagnose.Scope{
			Cluster: s.Cluster, Groups: s.Groups, Topics: s.Topics, SLOLag: s.SLOLag.Duration, Owner: s.Owner, Ignore: s.Ignore,
			Criticality: diagnose.Criticality(s.Criticality),
		})
	}
	return out
}

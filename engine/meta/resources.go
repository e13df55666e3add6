package meta

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// The kinds of resources that have configs besides topics and the cluster.
const (
	GroupResource         = "group"
	ClientMetricsResource = "client_metrics"
)

const (
	maxResources      = 1000 // with configs, of all kinds: they are one row
	maxResourceConfig = 4 << 10
	maxResourceName   = 249
)

// groupConfigs are the settings of one group of the consumer protocol.
var groupConfigs = table(
	number("consumer.session.timeout.ms", TypeInt, "45000", 300, "How long a member may be silent."),
	number("consumer.heartbeat.interval.ms", TypeInt, "5000", 100, "How often members are told to speak."),
)

// clientMetricsConfigs are the settings of one client metrics subscription (KIP-714).
var clientMetricsConfigs = table(
	ConfigDef{Name: "metrics", Type: TypeList, Doc: "Prefixes of the metrics that clients push; * = all."},
	number("interval.ms", TypeInt, "300000", 100, "How often clients push."),
	ConfigDef{Name: "match", Type: TypeList, Doc: "Which clients push: selector=regular expression; nothing = all."},
)

// ResourceConfigs are the settings of a kind of resource, sorted by name; none for a kind that has none.
func ResourceConfigs(kind string) []ConfigDef { return sorted(resourceConfigs(kind)) }

func resourceConfigs(kind string) map[string]ConfigDef {
	switch kind {
	case GroupResource:
		return groupConfigs
	case ClientMetricsResource:
		return clientMetricsConfigs
	}
	return nil
}

// Resource gives the configs set on a resource; nil when none are.
func (s *Snapshot) Resource(kind, name string) map[string]string { return s.Resources[kind+"/"+name] }

// ResourceNames are the resources of a kind that have configs, sorted.
func (s *Snapshot) ResourceNames(kind string) (names []string) {
	for key := range s.Resources {
		if name, ok := strings.CutPrefix(key, kind+"/"); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// CheckResource validates configs of a resource without setting them.
func CheckResource(kind, name string, set map[string]string, unset []string) error {
	if name == "" || len(name) > maxResourceName {
		return fmt.Errorf("a resource's name has 1 to %d bytes: %w", maxResourceName, ErrInvalidConfig)
	}
	defs := resourceConfigs(kind)
	for k, v := range set {
		if len(v) > maxResourceConfig {
			return fmt.Errorf("config %s has %d bytes, at most %d are kept: %w", k, len(v), maxResourceConfig, ErrInvalidConfig)
		}
		if err := validate(defs, k, v); err != nil {
			return err
		}
	}
	for _, k := range unset {
		if _, ok := defs[k]; !ok {
			return fmt.Errorf("%s is no config of it: %w", k, ErrInvalidConfig)
		}
	}
	return nil
}

// SetResource sets and unsets configs of a resource; one without configs is forgotten.
func (s *Store) SetResource(kind, name string, set map[string]string, unset []string) error {
	if err := CheckResource(kind, name, set, unset); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.cur.Load()
	next := *old
	next.Resources = maps.Clone(old.Resources)
	key := kind + "/" + name
	configs := merged(old.Resources[key], set, unset)
	switch {
	case len(configs) == 0:
		delete(next.Resources, key)
	case old.Resources[key] == nil && len(old.Resources) >= maxResources:
		return fmt.Errorf("%d resources have configs already: delete some: %w", maxResources, ErrInvalidConfig)
	default:
		next.Resources[key] = configs
	}
	err := s.commit(func(b *pebble.Batch) error { return put(b, resourcesKey, next.Resources) })
	if err != nil {
		return err
	}
	s.cur.Store(&next)
	return nil
}

package collectors

import (
	"context"
	"slices"
	"strings"

	"github.com/streamkeeper-io/streamkeeper"
)

// OwnPrefix starts the names of the topics and groups that the probe keeps on watched clusters. They are nobody's
// work: no collector and no diagnosis may take them for a user's.
const OwnPrefix = "streamkeeper-probe"

// Own reports whether a topic or a group is the probe's.
func Own(name string) bool { return strings.HasPrefix(name, OwnPrefix) }

// WithoutOwn is a sink that leaves the probe's topics and groups out of everything that any source tells: brokers
// and exporters count them with the others.
func WithoutOwn(s Sink) Sink { return withoutOwn{s} }

type withoutOwn struct{ to Sink }

func (w withoutOwn) Samples(ctx context.Context, samples []streamkeeper.Sample) error {
	return w.to.Samples(ctx, except(samples, func(s streamkeeper.Sample) bool {
		return Own(s.Labels["group"]) || Own(s.Labels["topic"])
	}))
}

func (w withoutOwn) Events(ctx context.Context, events []streamkeeper.Event, m streamkeeper.Watermark) error {
	return w.to.Events(ctx, except(events, func(e streamkeeper.Event) bool {
		return Own(e.Entity.Name) || Own(e.String("group")) || Own(e.String("topic"))
	}), m)
}

func (w withoutOwn) Inventory(ctx context.Context, inv streamkeeper.Inventory) error {
	inv.Topics = except(inv.Topics, func(t streamkeeper.TopicInfo) bool { return Own(t.Name) })
	inv.Groups = except(inv.Groups, func(g streamkeeper.GroupInfo) bool { return Own(g.Name) })
	return w.to.Inventory(ctx, inv)
}

// except copies only when something is left out: a source's slice is not ours to change.
func except[T any](list []T, out func(T) bool) []T {
	if !slices.ContainsFunc(list, out) {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), out)
}

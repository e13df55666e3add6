package engine

import (
	"context"
	"iter"
	"maps"

	"github.com/streamkeeper-io/streamkeeper/engine/meta"
)

// The kinds of resources that have configs besides topics and the cluster.
const (
	GroupResource         = meta.GroupResource
	ClientMetricsResource = meta.ClientMetricsResource
)

// ResourceConfigDefs are the configs of a kind of resource, sorted by name.
func ResourceConfigDefs(kind string) []ConfigDef { return meta.ResourceConfigs(kind) }

// ResourceConfigs are the configs set on a resource; nil when none are.
func (e *Engine) ResourceConfigs(kind, name string) map[string]string {
	return maps.Clone(e.meta.Snapshot().Resource(kind, name))
}

// ResourceNames are the resources of a kind that have configs, sorted.
func (e *Engine) ResourceNames(kind string) []string { return e.meta.Snapshot().ResourceNames(kind) }

// CheckResourceConfigs validates configs of a resource without setting them.
func (*Engine) CheckResourceConfigs(kind, name string, set map[string]string, unset []string) error {
	return meta.CheckResource(kind, name, set, unset)
}

// AlterResourceConfigs sets and unsets configs of a resource in one step; they are durable on return.
func (e *Engine) AlterResourceConfigs(ctx context.Context, kind, name string, set map[string]string, unset []string) error {
	if err := e.usable(ctx); err != nil {
		return err
	}
	defer e.leave()
	if err := e.meta.SetResource(kind, name, set, unset); err != nil {
		return metaErr(err)
	}
	e.configEvent(kind, name, set, unset)
	return nil
}

// TopicView is the topics at one moment.
type TopicView struct{ of *meta.Snapshot }

// TopicView returns the topics as they are now, without copying them.
func (e *Engine) TopicView() TopicView { return TopicView{e.meta.Snapshot()} }

// Version differs between two views of this engine whose topics differ.
func (v TopicView) Version() uint64 { return v.of.Version() }

// ByName looks a topic up by name.
func (v TopicView) ByName(name string) (Topic, bool) {
	t, ok := v.of.Topic(name)
	if !ok {
		return Topic{}, false
	}
	return publicTopic(t), true
}

// ByID looks a topic up by id.
func (v TopicView) ByID(id TopicID) (Topic, bool) {
	t, ok := v.of.TopicByID(meta.ID(id))
	if !ok {
		return Topic{}, false
	}
	return publicTopic(t), true
}

// All goes over the topics in the order of their names.
func (v TopicView) All() iter.Seq[Topic] {
	return func(yield func(Topic) bool) {
		for _, t := range v.of.Topics {
			if !yield(publicTopic(t)) {
				return
			}
		}
	}
}

package declared

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

const (
	sourceName = "declared" // known to the event log
	maxFiles   = 1_000
	maxTold    = 1_000 // drifts that are remembered, and told, at once
)

// World is what was seen of clusters.
type World interface {
	Inventory(cluster string) streamkeeper.Inventory
}

// Source compares one cluster with its files, as a [collectors.Collector].
type Source struct {
	cluster string
	paths   []string
	world   World

	mu     sync.Mutex
	files  map[string]collectors.File[[]Topic]
	topics []Topic // of all files that could be read

	told map[place]string // of Collect alone: the drifts that were told, and as what
}

// place is one thing that can differ.
type place struct{ topic, key string }

// drift is one that does.
type drift struct {
	place
	declared, actual, file string
}

// New makes a source. Paths are files, or folders whose .yaml and .yml files are read.
func New(cluster string, paths []string, world World) *Source {
	return &Source{cluster: cluster, paths: paths, world: world, files: map[string]collectors.File[[]Topic]{}, told: map[place]string{}}
}

// Name is declared.
func (s *Source) Name() string { return sourceName }

// Kind is declared.
func (s *Source) Kind() string { return "declared" }

// Configs names the configurations that are declared for some topic, in order.
func (s *Source) Configs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[string]bool{}
	for _, t := range s.topics {
		for key := range t.Configs {
			seen[key] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// Collect does one round: it reads the files that changed, compares, and tells what is new. The error joins the files that
// could not be read; their topics stay as they were.
func (s *Source) Collect(ctx context.Context, now time.Time, sink collectors.Sink) error {
	readErr := s.read(ctx)
	inv := s.world.Inventory(s.cluster)
	if !seesTopics(inv) {
		return readErr // nothing was seen yet: nothing can be missing
	}
	var events []streamkeeper.Event
	standing := map[place]string{}
	for _, d := range s.drifts(inv) {
		as := d.declared + "\x00" + d.actual
		if standing[d.place] = as; s.told[d.place] != as {
			events = append(events, s.event(now, "drift", d, d.text()))
		}
		if len(standing) == maxTold {
			break
		}
	}
	for _, p := range slices.SortedFunc(maps.Keys(s.told), comparePlaces) {
		if _, still := standing[p]; !still {
			d := drift{place: p}
			events = append(events, s.event(now, "drift_ended", d, fmt.Sprintf("%s of topic %s is as declared again", p.key, p.topic)))
		}
	}
	if len(events) == 0 {
		return readErr
	}
	if err := sink.Events(ctx, events, streamkeeper.Watermark{Source: sourceName, Cluster: s.cluster}); err != nil {
		return errors.Join(readErr, fmt.Errorf("storing drifts of %s: %w", s.cluster, err))
	}
	s.told = standing
	return readErr
}

// seesTopics reports whether somebody listed the cluster's topics.
func seesTopics(inv streamkeeper.Inventory) bool { return len(inv.Brokers) > 0 || len(inv.Topics) > 0 }

func (s *Source) event(at time.Time, kind string, d drift, text string) streamkeeper.Event {
	attrs := map[string]any{"entity": "topic/" + d.topic, "topic": d.topic, "key": d.key}
	if kind == "drift" {
		attrs["declared"], attrs["actual"], attrs["file"] = d.declared, d.actual, d.file
	}
	return streamkeeper.Event{
		At: at.UTC(), Kind: kind, Source: sourceName, Text: text, Attrs: attrs,
		Entity: streamkeeper.Entity{Kind: streamkeeper.KindTopic, Name: d.topic, Cluster: s.cluster},
	}
}

func (d drift) text() string {
	if d.key == "topic" {
		return fmt.Sprintf("topic %s does not exist, it is declared in %s", d.topic, d.file)
	}
	return fmt.Sprintf("%s of topic %s is %s, declared is %s (%s)", d.key, d.topic, d.actual, d.declared, d.file)
}

// drifts lists what differs, in order.
func (s *Source) drifts(inv streamkeeper.Inventory) []drift {
	actual := make(map[string]streamkeeper.TopicInfo, len(inv.Topics))
	for _, t := range inv.Topics {
		actual[t.Name] = t
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Where the label of all files names this cluster, topics of other ones are left out.
	labelled := slices.ContainsFunc(s.topics, func(t Topic) bool { return t.Cluster == s.cluster })
	var out []drift
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		for _, t := range s.files[name].Says {
			if labelled && t.Cluster != "" && t.Cluster != s.cluster {
				continue
			}
			info, exists := actual[t.Name]
			out = append(out, compare(t, info, exists, filepath.Base(name))...)
		}
	}
	slices.SortStableFunc(out, func(a, b drift) int { return comparePlaces(a.place, b.place) })
	return out
}

// compare lists what differs on one topic.
func compare(t Topic, info streamkeeper.TopicInfo, exists bool, file string) []drift {
	var out []drift
	differs := func(key, declared, actual string) {
		if declared != actual {
			out = append(out, drift{place{t.Name, key}, declared, actual, file})
		}
	}
	if !exists {
		differs("topic", "there", "missing")
		return out
	}
	if t.Partitions > 0 && info.Partitions > 0 {
		differs("partitions", fmt.Sprint(t.Partitions), fmt.Sprint(info.Partitions))
	}
	if t.Replicas > 0 && info.Replicas > 0 {
		differs("replicas", fmt.Sprint(t.Replicas), fmt.Sprint(info.Replicas))
	}
	for key, declared := range t.Configs {
		if actual, known := info.Configs[key]; known && !sameList(declared, actual) {
			differs(key, declared, actual)
		}
	}
	return out
}

// sameList reports whether two values are the same list: brokers tell "compact,delete" however it was written.
func sameList(a, b string) bool {
	parts := func(s string) []string {
		list := strings.Split(s, ",")
		for i := range list {
			list[i] = strings.TrimSpace(list[i])
		}
		slices.Sort(list)
		return list
	}
	return slices.Equal(parts(a), parts(b))
}

// read reads the files that are new or changed and forgets those that are gone.
func (s *Source) read(ctx context.Context) error {
	names, errs := s.list()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := map[string]collectors.File[[]Topic]{}
	for _, name := range names {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f := s.files[name].Again(name, maxFile, Parse)
		if f.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, f.Err))
		}
		now[name] = f
	}
	s.files = now
	s.topics = nil
	for _, name := range slices.Sorted(maps.Keys(now)) {
		s.topics = append(s.topics, now[name].Says...)
	}
	return errors.Join(errs...)
}

// list names the files below the paths.
func (s *Source) list() (names []string, errs []error) {
	for _, path := range s.paths {
		err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() || name != path && !strings.HasSuffix(name, ".yaml") && !strings.HasSuffix(name, ".yml"):
				return nil
			case len(names) == maxFiles:
				return fmt.Errorf("more than %d files", maxFiles)
			}
			names = append(names, name)
			return nil
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("declared topics: %w", err))
		}
	}
	return names, errs
}

func comparePlaces(a, b place) int {
	return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.key, b.key))
}

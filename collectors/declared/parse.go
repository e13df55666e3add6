package declared

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Bounds of one file.
const (
	maxFile     = 1 << 20
	maxLine     = 16 << 10
	maxBrackets = 50 // open at once
	maxIndent   = 200
	maxTopics   = 10_000
	maxConfigs  = 200 // of one topic
)

// Topic is what a resource says of a topic. Partitions and Replicas are 0 when it does not say.
type Topic struct {
	Name       string
	Cluster    string // the label strimzi.io/cluster; "" without one
	Partitions int32
	Replicas   int32
	Configs    map[string]string
}

// resource is as much of a Kubernetes resource as says something of a topic.
type resource struct {
	Kind     string `yaml:"kind"`
	Metadata struct {
		Name   string            `yaml:"name"`
		Labels map[string]scalar `yaml:"labels"`
	} `yaml:"metadata"`
	Spec struct {
		TopicName  string            `yaml:"topicName"`
		Partitions int32             `yaml:"partitions"`
		Replicas   int32             `yaml:"replicas"`
		Config     map[string]scalar `yaml:"config"`
	} `yaml:"spec"`
}

// scalar is a value as it is written: 604800000, "604800000" and true are text to a broker.
type scalar string

// UnmarshalYAML is called by the decoder with what is written.
func (s *scalar) UnmarshalYAML(text []byte) error {
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		return err
	}
	switch v := v.(type) {
	case nil:
	case string:
		*s = scalar(v)
	case bool:
		*s = scalar(strconv.FormatBool(v))
	case uint64:
		*s = scalar(strconv.FormatUint(v, 10))
	case int64:
		*s = scalar(strconv.FormatInt(v, 10))
	case float64:
		*s = scalar(strconv.FormatFloat(v, 'f', -1, 64))
	default:
		return errors.New("want one value, no list and no map")
	}
	return nil
}

// Parse reads the KafkaTopic resources of a YAML file of one or more documents; other resources are passed over. The error
// says where the file is wrong, and then there are no topics. It is bounded in size and depth, and reads no aliases: a
// small file must not become a large one.
func Parse(text []byte) (topics []Topic, err error) {
	defer func() {
		if p := recover(); p != nil { // the library panics on a list that has a tag (!x) and no items
			topics, err = nil, fmt.Errorf("it cannot be read: is there a tag (!) that is not meant as one? (%v)", p)
		}
	}()
	if err := bounded(text); err != nil {
		return nil, err
	}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, errors.New(yaml.FormatError(err, false, true))
	}
	var out []Topic
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		var aliases aliased
		if ast.Walk(&aliases, doc.Body); aliases.found {
			return nil, errors.New("aliases are not read: write the value out")
		}
		var r resource
		if err := yaml.NodeToValue(doc.Body, &r); err != nil {
			if kindOf(doc.Body) != "KafkaTopic" {
				continue // of another shape: nothing of ours
			}
			return nil, errors.New(yaml.FormatError(err, false, true))
		}
		if r.Kind != "KafkaTopic" {
			continue
		}
		t, err := r.topic()
		if err != nil {
			return nil, err
		}
		if out = append(out, t); len(out) > maxTopics {
			return nil, fmt.Errorf("more than %d topics in one file", maxTopics)
		}
	}
	return out, nil
}

// kindOf reads the kind of a document that does not decode.
func kindOf(n ast.Node) string {
	var k struct {
		Kind string `yaml:"kind"`
	}
	_ = yaml.NodeToValue(n, &k)
	return k.Kind
}

func (r *resource) topic() (Topic, error) {
	t := Topic{
		Name: r.Spec.TopicName, Cluster: string(r.Metadata.Labels["strimzi.io/cluster"]),
		Partitions: max(0, r.Spec.Partitions), Replicas: max(0, r.Spec.Replicas), Configs: map[string]string{},
	}
	if t.Name == "" {
		t.Name = r.Metadata.Name
	}
	switch {
	case t.Name == "":
		return t, errors.New("a KafkaTopic without a name")
	case len(r.Spec.Config) > maxConfigs:
		return t, fmt.Errorf("topic %s has more than %d configurations", t.Name, maxConfigs)
	}
	for key, v := range r.Spec.Config {
		if v != "" {
			t.Configs[key] = string(v)
		}
	}
	return t, nil
}

// bounded refuses what would take a parser long or deep.
func bounded(text []byte) error {
	if len(text) > maxFile {
		return fmt.Errorf("the file is over %d bytes", maxFile)
	}
	open := 0
	for line := range bytes.Lines(text) {
		if len(line) > maxLine {
			return fmt.Errorf("a line is over %d bytes", maxLine)
		}
		if indent := len(line) - len(bytes.TrimLeft(line, " -?:\t")); indent > maxIndent {
			return fmt.Errorf("a line is indented by more than %d", maxIndent)
		}
		open += bytes.Count(line, []byte("[")) + bytes.Count(line, []byte("{")) - bytes.Count(line, []byte("]")) - bytes.Count(line, []byte("}"))
		if open = max(0, open); open > maxBrackets || bytes.Count(line, []byte("["))+bytes.Count(line, []byte("{")) > maxBrackets {
			return fmt.Errorf("more than %d brackets are open at once", maxBrackets)
		}
	}
	return nil
}

// aliased looks for aliases.
type aliased struct{ found bool }

// Visit is called for each node.
func (a *aliased) Visit(n ast.Node) ast.Visitor {
	if n.Type() == ast.AliasType {
		a.found = true
	}
	return a
}

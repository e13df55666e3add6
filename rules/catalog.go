package rules

import (
	"slices"
	"sync"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// Catalog is a loaded, checked and compiled set of rules. It never changes, and is safe for concurrent use.
type Catalog struct {
	signals  map[string]*Signal
	nodes    map[string]*Node
	causes   map[string]*Cause
	order    []*Node // by id
	atoms    map[string]*expression
	examples []*example
	phaseOne []*Node  // symptoms, triggers and cost findings, by id
	plans    sync.Map // planKey to *planner: what the symptoms of a cluster ask; as many as there are clusters
}

type planKey struct {
	cluster  string
	interval time.Duration
}

// Signal is a named measure of an entity.
type Signal struct {
	Name     string
	Entity   streamkeeper.EntityKind
	Unit     string
	Help     string
	Kind     streamkeeper.QueryKind
	Window   time.Duration // 0: the window of the node that uses it
	Dialects []Dialect     // in the order in which they are tried
	File     string

	src *source
}

// Dialect is how one family of metric names gives a signal. Expressions hold $by, $cluster, $window and
// $interval, which are filled in per query.
type Dialect struct {
	Name      string
	Metric    string   // a bare selector, or
	Query     string   // a PromQL expression
	By        []string // Metric only: labels that make one number
	Aggregate string   // Metric of kind instant only: max (default), sum, min or avg over what By folds
	Fresh     string   // selector whose sample times tell staleness; "" when there is none
	ZeroWhen  string   // returns points while a missing value is truly 0
	Expect    string   // number of parts that make the value whole
}

// Node is one thing that can be observed on an entity: a symptom, a piece of evidence or a cost finding.
type Node struct {
	ID          string
	Entity      streamkeeper.EntityKind
	Title       string
	Why         string
	Needs       string // what would supply it when it is unknown
	Symptom     bool
	Trigger     bool // evidence that is evaluated with the symptoms, on all entities
	Decisive    bool // a direct fact: publishes at once
	Cost        bool // a cost finding: an observation with advice, never evidence
	Leak        float64
	Group       string // correlation group
	AppliesWhen string
	When        string
	Strength    string
	Say         string
	SayNot      string
	Window      time.Duration
	Delay       [2]time.Duration // default delay of its edges
	Severity    streamkeeper.Severity
	MaskedBy    []string
	Impact      *Impact
	Advice      []AdviceTemplate // cost findings only
	Signals     []string         // signals it reads; those of related entities as kind.name
	EventKinds  []string         // event kinds it reads
	Undated     bool             // its events do not date it: it asks for their absence, or for many of them
	Lasts       string           // the signal that says for how long it has lasted, "" when none does
	File        string

	program *program
	src     *source
}

// Impact makes a symptom a breach of a service level. Text is a template.
type Impact struct {
	Kind string // lag, errors, loss, ...
	Text string
}

// Edge ties a cause to a node: Chance is P(node true | only this cause).
type Edge struct {
	Node        string
	Word        string // the word or number as written
	Chance      float64
	After       [2]time.Duration
	AppliesWhen string
	Symptom     bool // written under effects; evidence otherwise
}

// Cause is a named failure mode, or a benign explanation.
type Cause struct {
	ID            string
	Title         string
	Summary       string
	Category      string
	Entity        streamkeeper.EntityKind
	Locus         string
	Prior         float64
	Benign        bool
	Severity      streamkeeper.Severity
	Loss          bool     // records are lost by it
	Requires      string   // soft gate on the cause's own odds
	Contradicted  []string // nodes that are at odds with the cause itself: the same gate, by observation
	Edges         []Edge   // by node id
	ConsequenceOf map[string]float64
	LeadsChain    bool   // its consequences are only how it shows: it is told before them, however sure they are
	Scale         string // forbid, allow, after, or "" when the cause does not say
	ScaleWhy      string
	HoldsWhile    []string // benign: nodes of which none may be absent while it silences
	EndsWhen      []string // benign: nodes that end it
	AnswerSets    []AnswerSet
	Advice        []AdviceTemplate
	Triggers      []TriggerRule
	References    []string
	File          string

	src   *source
	reads map[string]*Signal // signals that its texts name, by name as written
	names map[string]bool    // all names that its texts use
}

// AnswerSet says with which causes this one cannot be told apart, and when.
type AnswerSet struct {
	With []string
	When string // atoms; empty: always
	Part string // what would part them
}

// AdviceTemplate is advice with its computed parts still open. When an input named in Needs is missing,
// Formula and Find are told instead of a default.
type AdviceTemplate struct {
	Do          string
	Needs       []string
	Formula     string
	Find        string
	Why         string
	Risk        string
	Command     string
	AppliesWhen string
	Verify      *VerifyTemplate
}

// VerifyTemplate is the symptom that advice clears, and within how long.
type VerifyTemplate struct {
	Clears string
	Within time.Duration
}

// TriggerRule names what may have set a cause off: a node that is present.
type TriggerRule struct {
	Kind string // deploy, traffic, config, dependency
	Node string
	Say  string
}

// Nodes lists all nodes by id.
func (c *Catalog) Nodes() []Node {
	out := make([]Node, len(c.order))
	for i, n := range c.order {
		out[i] = *n
	}
	return out
}

// Node finds a node by id.
func (c *Catalog) Node(id string) (Node, bool) {
	n, ok := c.nodes[id]
	if !ok {
		return Node{}, false
	}
	return *n, true
}

// Causes lists all causes by id.
func (c *Catalog) Causes() []Cause {
	out := make([]Cause, 0, len(c.causes))
	for _, id := range sortedKeys(c.causes) {
		out = append(out, *c.causes[id])
	}
	return out
}

// Cause finds a cause by id.
func (c *Catalog) Cause(id string) (Cause, bool) {
	k, ok := c.causes[id]
	if !ok {
		return Cause{}, false
	}
	return *k, true
}

// Signals lists all signals by name.
func (c *Catalog) Signals() []Signal {
	out := make([]Signal, 0, len(c.signals))
	for _, name := range sortedKeys(c.signals) {
		out = append(out, *c.signals[name])
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Package infer weighs causes against observations: an exact noisy-OR over small sets of causes.
//
// A Model holds nodes (observations: symptoms and evidence, each on one entity) and causes with their
// edges to nodes. Decode returns the findings: each cause's posterior, what speaks for and against it,
// what is missing, how it should be worded, and which symptoms nobody explains.
//
// The network splits into one shared block (store, broker and cluster causes, at most two at once) and
// one block per suspect entity (at most two causes at once, declared consequences not counted). The
// shared sets are enumerated first; given one of them the blocks are independent of each other.
//
// The package is pure: time is a parameter, there is no clock, no randomness, no logger and no I/O. The
// same model gives the same bytes, in whatever order its nodes and causes are listed. It refuses to know
// the catalog: package diagnose converts rules into a Model. It refuses to guess: an unknown node never
// moves a posterior.
//
// Start with Model and Decode, then block.go (the enumeration) and verdict.go (the wording).
package infer

import (
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// Node is one observation: a symptom or a piece of evidence on one entity.
type Node struct {
	ID      string
	Entity  streamkeeper.Entity
	Block   string // "" when shared: on a store, a broker or the cluster
	Symptom bool
	Leak    float64 // P(present | no cause at all)
	Group   string  // correlation group; "" stands alone
	State   streamkeeper.State
	// Strength is the soft evidence in [0,1], 0.5 where the condition flips; read when State is Present or Absent.
	Strength  float64
	Since     time.Time     // onset when present; zero when not known
	Blur      time.Duration // how wrong Since may be
	Unsourced bool          // unknown because no source supplies it at all
}

// Edge says how often a cause makes a node present when it acts alone.
type Edge struct {
	Node   int // index into Model.Nodes
	Chance float64
	After  [2]time.Duration // counted from the first effect of the cause
	// Applies is the edge's applies_when: Absent and NotApplicable remove the edge, Unknown lets a
	// presence count but not an absence, Present is an ordinary edge.
	Applies streamkeeper.State
}

// Parent says that a cause follows from another one with the given chance.
type Parent struct {
	Cause  int // index into Model.Causes
	Chance float64
}

// Set is a declared answer set: causes that the present telemetry cannot part.
type Set struct {
	With []string // cause ids beside the cause that declares the set
	Part string   // what would part them
}

// Cause is a possible failure of one entity.
type Cause struct {
	ID     string
	Entity streamkeeper.Entity
	Block  string  // "" when shared
	Prior  float64 // probability given that something is wrong here
	Benign bool
	// Premature: something that must hold for this benign cause is known not to hold now. It keeps its probability, but
	// it is no member of an answer set.
	Premature bool
	// Requires is a soft gate: Absent multiplies the odds by 0.02, everything else leaves them.
	Requires streamkeeper.State
	// Discount multiplies the odds when an earlier remedy for this cause did not work; 0 means 1.
	Discount float64
	Edges    []Edge
	Parents  []Parent
	Sets     []Set
}

// Model is everything one decision is made from.
type Model struct {
	Now    time.Time
	Nodes  []Node
	Causes []Cause
}

// Options are the constants of the method. The zero value means DefaultOptions.
type Options struct {
	OtherPrior    float64 // prior of the cause we do not know
	OtherSymptom  float64 // its chance on every symptom
	OtherEvidence float64 // its chance on every evidence node
	SoftFloor     float64 // soft evidence is clamped to [floor, 1-floor]
	RatioCap      float64 // most that all blocks together may speak for or against a shared cause
	PruneBelow    float64 // single log-odds below which a cause without present effect is left out
	FitLimit      float64 // z above which the best name does not fit
	Tolerance     time.Duration
}

// DefaultOptions are the decided constants.
func DefaultOptions() Options {
	return Options{
		OtherPrior: .20, OtherSymptom: .40, OtherEvidence: .05,
		SoftFloor: .02, RatioCap: 50, PruneBelow: -7, FitLimit: 3,
		Tolerance: time.Minute,
	}
}

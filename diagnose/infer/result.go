package infer

import streamkeeper "github.com/streamkeeper-io/streamkeeper"

// Ref names a node in a result.
type Ref struct {
	ID     string
	Entity streamkeeper.Entity
	Block  string
}

// Contribution is one node's weight of evidence in nats: log P(o|H) − log P(o|H without the cause). For
// missing evidence Weight is the most that knowing it could move, without a sign.
type Contribution struct {
	Ref
	Bearing streamkeeper.Bearing
	State   streamkeeper.State
	Weight  float64
	Group   string
}

// Rival is a cause that was weighed and set aside. P is its posterior without the finding's cause.
type Rival struct {
	ID      string
	Entity  streamkeeper.Entity
	P       float64
	Against []Contribution // the nodes that speak most for the finding against this rival
}

// Ask is the unknown node whose value would tell most.
type Ask struct {
	Ref
	Gain float64 // expected information in nats
}

// Finding is one cause that the observations speak for.
type Finding struct {
	Cause      string // streamkeeper.CauseOther when no cause fits
	Entity     streamkeeper.Entity
	Block      string
	Benign     bool
	P          float64 // posterior; of the whole set when Verdict is one_of
	Verdict    streamkeeper.Verdict
	Set        []string // the answer set when Verdict is one_of, most probable first
	Part       string   // what would part the set, when declared
	Assessed   float64  // known share of the expected weight of all its edges
	Assessable float64  // known share of what the sources can supply
	For        []Contribution
	Against    []Contribution
	Missing    []Contribution
	Rivals     []Rival
	Explains   []Ref // present symptoms it accounts for
	ParentID   string
	ParentOn   streamkeeper.Entity
	Ask        *Ask
	Z          float64        // misfit in standard deviations
	Misfits    []Contribution // printed when Z is over the limit: what does not fit
}

// Result is one decision.
type Result struct {
	Findings    []Finding // by posterior, benign last
	Unexplained []Ref     // present symptoms that the best explanation leaves to chance
}

// Package rules holds what Streamkeeper knows: signals, symptoms, evidence and causes, written as data.
//
// It loads the catalog strictly (an unknown key fails with file, line, column and a caret), compiles
// conditions into three-valued logic, builds the queries that a tick must ask, and turns answers and
// events into observations. It refuses to judge causes (that is infer's work), to talk to anything, and
// to turn missing data into a number: no clock, no network, no logger; time and data are parameters,
// so the same inputs give the same observations. A *Catalog is immutable and safe for concurrent use.
//
// Read in this order: catalog.go (what a catalog is), load.go (from YAML), compile.go and kleene.go
// (conditions), queries.go and resolve.go (signals), evaluate.go and suspects.go (a tick), example.go
// (rules test) and lint.go (rules lint).
package rules

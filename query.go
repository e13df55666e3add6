package streamkeeper

import "time"

// QueryKind says how the samples that a query selects become one number per entity.
type QueryKind string

// The kinds of queries.
const (
	// QueryInstant evaluates Expr at one instant; each result series is one number.
	QueryInstant QueryKind = "instant"
	// QueryCount takes the raw samples of the selector in Expr over Window and returns the exact
	// reset-aware difference, which increase() extrapolates: a counter born at 1 counts 1 when ZeroWhen held before.
	QueryCount QueryKind = "count"
)

// Query is one question to the measurements. Expr is PromQL (a bare selector for QueryCount).
type Query struct {
	ID     string // unique in one read: the answer's key
	Kind   QueryKind
	Expr   string
	Window time.Duration // QueryCount only
	By     []string      // QueryCount only: labels to sum by
}

// Point is one series of an answer. Age is how old the newest sample behind it is, when the query
// could tell (bare selectors, counts); negative when it could not.
type Point struct {
	Labels map[string]string
	Value  float64
	Age    time.Duration
}

// Answer is what one query returned. Err is per query: one bad query does not lose the others.
type Answer struct {
	Points []Point
	Err    error
}

// Answers maps a query's ID to its answer.
type Answers map[string]Answer

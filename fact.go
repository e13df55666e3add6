package streamkeeper

// Fact is one context atom read on one entity (classic, static, leave_reasons, tiering, ...): what decides
// whether an edge of the catalog applies. A fact that is not known is Unknown, never Absent.
type Fact struct {
	Entity Entity
	Name   string
	State  State
}

// Package probe sends records through a cluster end to end and says what became of them: acknowledged, read back,
// committed, answered by a group, lost, duplicated; and how long each took. It is opt-in, for it is the one part of the
// product that writes to a watched cluster.
//
// A case is a topic to write to. The built-in one has a topic of its own ([collectors.OwnPrefix]) with one partition for
// each broker, which has its only copy there: so a broker's path is measured whoever leads what, and no leader is ever
// moved for it. Users' own cases write to their topics, to a partition of each broker in turn. A case on one broker is a
// lane; lanes run side by side, so that a broker that hangs holds up nobody else.
//
// The probe speaks to each broker itself, one request at a time and each with a deadline, and tries nothing twice: a retry
// would hide what is measured and make duplicates of its own.
//
// It refuses to judge: what is slow or dead is a rule's business. What was not measured in a round is absent.
//
// Start with probe.go, then lane.go (what is concluded, pure), place.go (where to write) and wire.go (the requests).
package probe

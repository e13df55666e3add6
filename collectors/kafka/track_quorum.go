package kafka

import (
	"fmt"
	"slices"
	"strings"

	"github.com/streamkeeper-io/streamkeeper"
)

// absorbQuorum remembers the controllers' quorum and tells when its leader or its voters change.
func (t *tracker) absorbQuorum(s *snapshot, r *round) {
	now, was := s.quorum, t.quorum
	if now == nil {
		return
	}
	t.quorum, t.quorumAt = now, s.at
	if was == nil {
		return
	}
	on := t.entity(streamkeeper.KindCluster, t.cluster)
	if now.epoch != was.epoch {
		text := fmt.Sprintf("the controllers elected %d after %d (epoch %d after %d)", now.leader, was.leader, now.epoch, was.epoch)
		t.tell(r, r.at, "quorum_leader_changed", on, text, map[string]any{"from": itoa(was.leader), "to": itoa(now.leader), "epoch": float64(now.epoch)})
	}
	if from, to := voterNames(was), voterNames(now); from != to {
		text := fmt.Sprintf("the controllers that vote are %s, they were %s", to, from)
		t.tell(r, r.at, "quorum_voters_changed", on, text, map[string]any{"from": from, "to": to})
	}
}

func voterNames(q *quorumState) string {
	names := make([]string, 0, len(q.voters))
	for _, v := range q.voters {
		names = append(names, itoa(v.id))
	}
	return strings.Join(slices.Compact(names), ", ")
}

// measureQuorum adds what the quorum told lately, while the cluster answers.
func (t *tracker) measureQuorum(r *round) {
	if t.quorum == nil || !t.metadata || r.at.Sub(t.quorumAt) > max(4*quorumEvery, 4*t.every) {
		return
	}
	r.add("streamkeeper_quorum_voters", map[string]string{"cluster": t.cluster}, float64(len(t.quorum.voters)))
	r.add("streamkeeper_quorum_epoch", map[string]string{"cluster": t.cluster}, float64(t.quorum.epoch))
	for role, all := range map[string][]replicaState{"voter": t.quorum.voters, "observer": t.quorum.observers} {
		for _, n := range all {
			labels := map[string]string{"cluster": t.cluster, "node": itoa(n.id), "role": role}
			if n.lag != unset {
				r.add("streamkeeper_quorum_lag_records", labels, float64(n.lag))
			}
			if n.behind >= 0 {
				r.add("streamkeeper_quorum_behind_seconds", labels, n.behind.Seconds())
			}
		}
	}
}

package kafka

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// Committed offsets are read from brokers of any age: those that take one group at a time, those that name topics and those
// that tell ids, and no Metadata is asked for because of them.
func TestCommittedOffsetsOfAnyVersion(t *testing.T) {
	for _, version := range []int16{7, 9, 10} {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			versions := kversion.Stable()
			versions.SetMaxKeyVersion(kmsg.OffsetFetch.Int16(), version)
			l := newLab(t, 1, Options{}, kfake.SeedTopics(1, "orders", "refunds"), kfake.MaxVersions(versions))
			l.produce("orders", 0, 10)
			l.commit("billing", "orders", map[int32]int64{0: 5})
			l.commit("audit", "orders", map[int32]int64{0: 7})
			l.mustRound(0)
			var metadata atomic.Int32
			l.cluster.ControlKey(kmsg.Metadata.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
				l.cluster.KeepControl()
				metadata.Add(1)
				return nil, nil, false
			})
			l.mustRound(5)
			l.want("read", map[string]any{"group_lag_messages{group=billing}": 5, "group_lag_messages{group=audit}": 3})
			if n := metadata.Load(); version > 7 && n != 3 { // for brokers, for topics, for a sign of life
				t.Errorf("%d Metadata requests in a round", n)
			}
		})
	}
}

// A group that has moved since it was listed is asked for where it is now, in the same round.
func TestCommittedOffsetsOfAMovedGroup(t *testing.T) {
	l := newLab(t, 1, Options{}, kfake.SeedTopics(1, "orders"))
	l.produce("orders", 0, 10)
	l.commit("billing", "orders", map[int32]int64{0: 5})
	l.cluster.ControlKey(kmsg.OffsetFetch.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) { // once
		resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
		g := kmsg.NewOffsetFetchResponseGroup()
		g.Group, g.ErrorCode = "billing", kerr.NotCoordinator.Code
		resp.Groups = append(resp.Groups, g)
		return resp, nil, true
	})
	l.mustRound(0)
	l.want("moved", map[string]any{"group_lag_messages{group=billing}": 5})
}

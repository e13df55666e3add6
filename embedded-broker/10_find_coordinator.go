package broker

// FindCoordinator, key 10, versions 0–6. Deviations: there is one broker, so it coordinates every group and transaction.
// Share groups are not served: their keys are refused, so that a client fails with a clear error instead of retrying.

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The coordinator types.
const (
	coordinatesGroups       = 0
	coordinatesTransactions = 1
)

func findCoordinatorAPI() api { return api{key: 10, min: 0, max: 6, handle: handleFindCoordinator} }

func handleFindCoordinator(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.FindCoordinatorRequest)
	resp := kmsg.NewPtrFindCoordinatorResponse()
	if req.Version < 4 {
		c := b.coordinator(req.CoordinatorKey, req.CoordinatorType)
		resp.ErrorCode, resp.ErrorMessage = c.ErrorCode, c.ErrorMessage
		resp.NodeID, resp.Host, resp.Port = c.NodeID, c.Host, c.Port
		reply(resp)
		return
	}
	for _, key := range req.CoordinatorKeys {
		resp.Coordinators = append(resp.Coordinators, b.coordinator(key, req.CoordinatorType))
	}
	reply(resp)
}

func (b *Broker) coordinator(key string, kind int8) kmsg.FindCoordinatorResponseCoordinator {
	c := kmsg.NewFindCoordinatorResponseCoordinator()
	c.Key, c.NodeID, c.Port = key, -1, -1
	switch {
	case kind != coordinatesGroups && kind != coordinatesTransactions:
		c.ErrorCode = kerr.InvalidRequest.Code
		c.ErrorMessage = textOrNil("this broker coordinates consumer groups and transactions, no share groups")
	case key == "" && kind == coordinatesTransactions:
		c.ErrorCode = kerr.InvalidRequest.Code
		c.ErrorMessage = textOrNil("the transactional id is empty")
	case key == "":
		c.ErrorCode = kerr.InvalidGroupID.Code
		c.ErrorMessage = textOrNil("the group id is empty")
	default:
		c.NodeID, c.Host, c.Port = b.o.NodeID, b.host, b.port
	}
	return c
}

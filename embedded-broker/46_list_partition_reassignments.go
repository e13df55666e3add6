package broker

// ListPartitionReassignments, key 46, version 0. Deviations: none; with one broker none is ever under way.

import "github.com/twmb/franz-go/pkg/kmsg"

func listPartitionReassignmentsAPI() api {
	return api{key: 46, min: 0, max: 0, handle: handleListPartitionReassignments}
}

func handleListPartitionReassignments(_ *Broker, _ *request, reply func(kmsg.Response)) {
	reply(kmsg.NewPtrListPartitionReassignmentsResponse())
}

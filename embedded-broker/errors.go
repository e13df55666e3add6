package broker

import "github.com/twmb/franz-go/pkg/kmsg"

// countErrors feeds request_errors_total from a kmsg answer. Produce and Fetch count their own.
func (t *Telemetry) countErrors(resp kmsg.Response) {
	key := resp.Key()
	count := func(code int16) { t.errorCode(key, code) }
	switch r := resp.(type) {
	case *kmsg.ListOffsetsResponse:
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				count(p.ErrorCode)
			}
		}
	case *kmsg.MetadataResponse:
		for _, t := range r.Topics {
			count(t.ErrorCode)
		}
	case *kmsg.OffsetForLeaderEpochResponse:
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				count(p.ErrorCode)
			}
		}
	case *kmsg.DeleteRecordsResponse:
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				count(p.ErrorCode)
			}
		}
	case *kmsg.ApiVersionsResponse:
		count(r.ErrorCode)
	case *kmsg.InitProducerIDResponse:
		count(r.ErrorCode)
	default:
		countAdminErrors(resp, count)
	}
}

// countAdminErrors is countErrors for administration.
func countAdminErrors(resp kmsg.Response, count func(int16)) {
	switch r := resp.(type) {
	case *kmsg.CreateTopicsResponse:
		for _, t := range r.Topics {
			count(t.ErrorCode)
		}
	case *kmsg.DeleteTopicsResponse:
		for _, t := range r.Topics {
			count(t.ErrorCode)
		}
	case *kmsg.CreatePartitionsResponse:
		for _, t := range r.Topics {
			count(t.ErrorCode)
		}
	case *kmsg.DescribeConfigsResponse:
		for _, x := range r.Resources {
			count(x.ErrorCode)
		}
	case *kmsg.AlterConfigsResponse:
		for _, x := range r.Resources {
			count(x.ErrorCode)
		}
	case *kmsg.IncrementalAlterConfigsResponse:
		for _, x := range r.Resources {
			count(x.ErrorCode)
		}
	case *kmsg.DescribeClusterResponse:
		count(r.ErrorCode)
	case *kmsg.DescribeACLsResponse:
		count(r.ErrorCode)
	case *kmsg.SASLHandshakeResponse:
		count(r.ErrorCode)
	default:
		countGroupErrors(resp, count)
	}
}

// countGroupErrors is countErrors for the group APIs.
func countGroupErrors(resp kmsg.Response, count func(int16)) {
	switch r := resp.(type) {
	case *kmsg.OffsetCommitResponse:
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				count(p.ErrorCode)
			}
		}
	case *kmsg.OffsetFetchResponse:
		count(r.ErrorCode)
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				count(p.ErrorCode)
			}
		}
		for _, g := range r.Groups {
			count(g.ErrorCode)
			for _, t := range g.Topics {
				for _, p := range t.Partitions {
					count(p.ErrorCode)
				}
			}
		}
	case *kmsg.FindCoordinatorResponse:
		count(r.ErrorCode)
		for _, c := range r.Coordinators {
			count(c.ErrorCode)
		}
	case *kmsg.JoinGroupResponse:
		count(r.ErrorCode)
	case *kmsg.SyncGroupResponse:
		count(r.ErrorCode)
	case *kmsg.HeartbeatResponse:
		count(r.ErrorCode)
	case *kmsg.LeaveGroupResponse:
		count(r.ErrorCode)
		for _, m := range r.Members {
			count(m.ErrorCode)
		}
	case *kmsg.DescribeGroupsResponse:
		for _, g := range r.Groups {
			count(g.ErrorCode)
		}
	case *kmsg.ListGroupsResponse:
		count(r.ErrorCode)
	case *kmsg.DeleteGroupsResponse:
		for _, g := range r.Groups {
			count(g.ErrorCode)
		}
	case *kmsg.OffsetDeleteResponse:
		count(r.ErrorCode)
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				count(p.ErrorCode)
			}
		}
	default:
		countTxnErrors(resp, count)
	}
}

// countTxnErrors is countErrors for the transaction APIs.
func countTxnErrors(resp kmsg.Response, count func(int16)) {
	switch r := resp.(type) {
	case *kmsg.AddPartitionsToTxnResponse:
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				count(p.ErrorCode)
			}
		}
	case *kmsg.AddOffsetsToTxnResponse:
		count(r.ErrorCode)
	case *kmsg.EndTxnResponse:
		count(r.ErrorCode)
	case *kmsg.WriteTxnMarkersResponse:
		for _, m := range r.Markers {
			for _, t := range m.Topics {
				for _, p := range t.Partitions {
					count(p.ErrorCode)
				}
			}
		}
	case *kmsg.TxnOffsetCommitResponse:
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				count(p.ErrorCode)
			}
		}
	case *kmsg.DescribeProducersResponse:
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				count(p.ErrorCode)
			}
		}
	case *kmsg.DescribeTransactionsResponse:
		for _, s := range r.TransactionStates {
			count(s.ErrorCode)
		}
	case *kmsg.ListTransactionsResponse:
		count(r.ErrorCode)
	}
}

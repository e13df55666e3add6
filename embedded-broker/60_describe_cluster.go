package broker

// DescribeCluster, key 60, versions 0–2. Deviations: controllers cannot be asked for; there is no separate one.

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func describeClusterAPI() api { return api{key: 60, min: 0, max: 2, handle: handleDescribeCluster} }

const endpointBrokers, endpointControllers = 1, 2

func handleDescribeCluster(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.DescribeClusterRequest)
	resp := kmsg.NewPtrDescribeClusterResponse()
	resp.EndpointType, resp.ClusterAuthorizedOperations = endpointBrokers, notAsked
	if r.version >= 1 && req.EndpointType != endpointBrokers {
		err := fail(kerr.UnsupportedEndpointType.Code, "endpoint type %d is not known", req.EndpointType)
		if req.EndpointType == endpointControllers {
			err = fail(kerr.MismatchedEndpointType.Code, "this is a broker, not a controller")
		}
		resp.ErrorCode, resp.ErrorMessage = codeAndText(err)
		reply(resp)
		return
	}
	resp.ClusterID, resp.ControllerID = b.engine.ClusterID(), b.o.NodeID
	resp.Brokers = []kmsg.DescribeClusterResponseBroker{{NodeID: b.o.NodeID, Host: b.host, Port: b.port}}
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	reply(resp)
}

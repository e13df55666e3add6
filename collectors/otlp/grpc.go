package otlp

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // senders compress
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/streamkeeper-io/streamkeeper/collectors"
)

const (
	maxStreams     = 100
	connectionIdle = 15 * time.Minute
	setUpTimeout   = 10 * time.Second
)

// GRPCServer makes the gRPC side: the three services, through the same door as HTTP. Errors have the codes that tell a
// sender whether to try again: ResourceExhausted and InvalidArgument.
func (r *Receiver) GRPCServer() *grpc.Server {
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(plain{}),
		grpc.MaxRecvMsgSize(r.limits.DecodedBytes),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(setUpTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: connectionIdle}),
	)
	for s := range signals {
		if s == logsSignal && r.o.Lines == nil {
			continue
		}
		server.RegisterService(r.service(s), r)
	}
	return server
}

// services are OTLP's, by signal.
var services = [signals]string{"metrics.v1.MetricsService", "trace.v1.TraceService", "logs.v1.LogsService"}

// service describes one of them; they are alike. The method is served as a stream, which senders cannot tell from a single
// call: so a request is read only when there is a place for it, and stays bytes until it has been weighed.
func (r *Receiver) service(s signal) *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "opentelemetry.proto.collector." + services[s], HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName: "Export", ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, stream grpc.ServerStream) error {
				answer, err := r.serveGRPC(stream, s)
				if err != nil {
					no := r.refusal(err)
					return status.Error(no.code, no.Error())
				}
				return stream.SendMsg(&answer)
			},
		}},
	}
}

func (r *Receiver) serveGRPC(stream grpc.ServerStream, s signal) ([]byte, error) {
	place, err := r.enter(stream.Context())
	if err != nil {
		return nil, err
	}
	defer r.bodies.Return(place)
	type received struct {
		body []byte
		err  error
	}
	came := make(chan received, 1)
	go func() { // ends with the stream at the latest
		var got received
		got.err = stream.RecvMsg(&got.body)
		came <- got
	}()
	timer := time.NewTimer(collectors.BodyTimeout)
	defer timer.Stop()
	select {
	case got := <-came:
		if got.err != nil {
			return nil, grpcError(got.err)
		}
		return r.export(s, false, got.body, tenant(stream.Context()))
	case <-timer.C:
		return nil, &refused{http.StatusRequestTimeout, codes.DeadlineExceeded, refusedBusy, fmt.Errorf("the request did not come within %s", collectors.BodyTimeout)}
	}
}

// grpcError keeps the code of what the library refused: a message that is too large, or compressed in an unknown way.
func grpcError(err error) error {
	code := status.Code(err)
	if code == codes.ResourceExhausted {
		return tooLarge(err)
	}
	return &refused{http.StatusBadRequest, code, refusedBody, err}
}

// tenant is the cluster that the sender names.
func tenant(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	for _, v := range md.Get("x-scope-orgid") {
		return v
	}
	return ""
}

// plain is a codec that leaves messages as bytes.
type plain struct{}

func (plain) Name() string { return "proto" }

func (plain) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("answering with a %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(*b)}, nil
}

func (plain) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("reading into a %T", v)
	}
	*b = data.Materialize()
	return nil
}

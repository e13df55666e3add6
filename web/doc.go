// Package web serves what Streamkeeper knows: the dashboard, the JSON API, the live stream, /metrics
// and the health endpoints. It also mounts handlers that other packages own (the PromQL API, a
// broker's event ring).
//
// It judges nothing, reads no configuration and never calls Kafka: everything it shows was computed
// by the last tick. It reads through the small interfaces of seams.go.
//
// Read server.go first (the routes), then api.go (the resources) and stream.go (live updates).
package web

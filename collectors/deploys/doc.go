// Package deploys learns of rollouts: marks of people and pipelines, and the bodies that Argo CD, Flux and Kubernetes send of
// themselves (POST /api/v1/deploys). Most faults follow a change; a deploy's time names it.
//
// A [Receiver] is the HTTP side, a [Source] one cluster's collector: each round it says which groups a deployed workload
// reads with, and hands over one event per group. A workload that is nobody's is an event of the cluster.
//
// It refuses to conclude that nothing was deployed: a hook that is silent may be broken, so there is no watermark.
//
// Start with parse.go, then receiver.go and source.go.
package deploys

// Package declared compares topics with what was declared of them: Strimzi's KafkaTopic resources, in files. Where partitions,
// copies or a configuration differ, it tells a drift with both values, and its end.
//
// [Parse] reads a file, a [Source] is one cluster's collector. Files are read anew when they change.
//
// It refuses to guess: what was not read from the cluster does not differ, a topic that is not declared is nobody's mistake,
// and a resource that leaves something out says nothing of it.
//
// Start with parse.go, then source.go.
package declared

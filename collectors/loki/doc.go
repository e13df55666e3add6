// Package loki receives logs as a Loki does (POST /loki/api/v1/push) and turns the few lines that tell of groups,
// brokers and clients into events; every other line is looked at once and dropped. It also pushes events on to a Loki.
//
// A [Receiver] is the HTTP side for all clusters. A [Source] is one cluster's collector: each round it dates, names and
// hands over what came since the last, with a watermark. What a line tells is data: patterns/*.yaml, each with lines
// that were really seen as its proof ([Pattern]). The kinds of events are those of a broker's own ring wherever it has
// one, so that the rules need not know who told.
//
// It refuses to conclude from silence what silence cannot tell: "nobody left" is claimed only while the logs of every
// broker of a cluster arrive (watermark.go). A line whose group cannot be named for certain is counted and dropped.
//
// Memory is bounded everywhere: two pushes are read at a time, streams and undelivered hits are counted, and the decoders
// hold no more than what they read. Irrelevant lines allocate nothing.
//
// Start with pattern.go, then scan.go, receiver.go, source.go and watermark.go; push.go and json.go are the wire.
package loki

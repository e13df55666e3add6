// Package remotewrite receives what a Prometheus or an agent pushes (remote write 1.0 and 2.0, at
// /prometheus/api/v1/write), and pushes our own metrics on to a server that receives so.
//
// A [Receiver] is the HTTP side for all clusters: what it takes goes to the Sink with the name of its cluster, and is kept
// like what was scraped. A [Sender] gathers our own metrics and pushes them.
//
// It refuses to guess whose a series is: one that names no watched cluster is counted and dropped. Names of what we derive
// ourselves are refused, so that nobody pushes a conclusion. Native histograms and exemplars are left out.
//
// Memory is bounded everywhere: two requests are read at a time, requests are read in place, and how many series are taken is
// counted. Start with receiver.go and decode.go, then send.go.
package remotewrite

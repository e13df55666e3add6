// Package hosts says on which machines and in which pods brokers and members of groups run, so that what node_exporter,
// cAdvisor and kube-state-metrics tell of those is evidence about these.
//
// The exporters' series lie in the measurements already, scraped or copied. A [Source] looks each round which machines and
// pods they name, matches them with the inventory, and adds series that join the two: a machine by its address or name, a
// pod by its address or its name. The catalog's dialects `node` and `kube` are queries over both.
//
// It refuses to guess: a name that fits two machines fits none. What was matched is remembered for a while, because a
// member that is killed is gone from the inventory when its end is to be explained.
//
// Start with source.go, then match.go.
package hosts

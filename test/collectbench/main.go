// Command collectbench is `task bench:collect`: what it costs to watch a cluster through the Kafka protocol.
//
// It lets the program watch 10,000 groups over 100,000 partitions, played by a server that computes its
// answers, and holds it to its bounds.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	binary := flag.String("binary", ".bin/streamkeeper", "path of the program")
	dir := flag.String("dir", "", "where data lies; the temporary folder when empty")
	lasting := flag.Duration("for", 150*time.Second, "how long the fleet is watched")
	var s shape
	flag.IntVar(&s.brokers, "brokers", 3, "of the fleet")
	flag.IntVar(&s.topics, "topics", 5000, "of the fleet")
	flag.IntVar(&s.partitions, "partitions", 20, "of each topic of the fleet")
	flag.IntVar(&s.groups, "groups", 10_000, "of the fleet, each reads one topic")
	flag.IntVar(&s.members, "members", 2, "of each group of the fleet")
	flag.Parse()
	r, err := watchFleet(context.Background(), *binary, *dir, s, *lasting)
	if err != nil {
		fmt.Fprintln(os.Stderr, "collectbench:", err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		fmt.Fprintln(os.Stderr, "collectbench:", err)
		os.Exit(1)
	}
	if !r.Passed {
		os.Exit(1)
	}
}

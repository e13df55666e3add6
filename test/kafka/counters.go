package kafka

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"strconv"
)

// jmxJVM makes a broker tell its counters over JMX; nothing without an address.
func jmxJVM(address string) []string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil
	}
	jmx := "-Dcom.sun.management.jmxremote"
	return []string{
		jmx, jmx + ".host=" + host, jmx + ".port=" + port, jmx + ".rmi.port=" + port, jmx + ".authenticate=false", jmx + ".ssl=false",
		"-Djava.rmi.server.hostname=" + host,
	}
}

var requestCount = regexp.MustCompile(`(?m)request=(\w+)[,:].*Count=(\d+)$`)

// Requests are how many requests of each kind the brokers have answered, by their own count (kafka.network,
// RequestsPerSec), of clients and of each other. A kind that nobody ever asked for is missing. Options.JMX is needed.
func (c *Cluster) Requests(ctx context.Context, d *Dist) (map[string]int64, error) {
	all := map[string]int64{}
	for _, n := range c.nodes {
		out, err := d.Run(ctx, "", JMX, "--jmx-url", "service:jmx:rmi:///jndi/rmi://"+n.jmx+"/jmxrmi",
			"--object-name", "kafka.network:type=RequestMetrics,name=RequestsPerSec,*", "--attributes", "Count", "--one-time", "--report-format", "properties")
		if err != nil {
			return nil, err
		}
		found := requestCount.FindAllStringSubmatch(out, -1)
		if len(found) == 0 {
			return nil, fmt.Errorf("broker %d told no counters: %s", n.id, tail([]byte(out)))
		}
		for _, m := range found {
			count, err := strconv.ParseInt(m[2], 10, 64)
			if err != nil {
				return nil, err
			}
			all[m[1]] += count
		}
	}
	return all, nil
}

package kafka

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// authorized are the properties of brokers on which users log in by SASL PLAIN at the second listener and may do what ACLs
// allow them. Who comes by the first listener is nobody, and may do anything.
func authorized(n *node, users map[string]string) map[string]string {
	var logins strings.Builder
	for _, name := range slices.Sorted(maps.Keys(users)) {
		fmt.Fprintf(&logins, " user_%s=%q", name, users[name])
	}
	return map[string]string{
		"listeners":                                    "PLAINTEXT://" + n.address + ",CONTROLLER://" + n.controller + ",SECURED://" + n.secured,
		"advertised.listeners":                         "PLAINTEXT://" + n.address + ",SECURED://" + n.secured,
		"listener.security.protocol.map":               "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_PLAINTEXT",
		"sasl.enabled.mechanisms":                      "PLAIN",
		"authorizer.class.name":                        "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users":                                  "User:ANONYMOUS",
		"listener.name.secured.plain.sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule required" + logins.String() + ";",
	}
}

// Secured are the addresses where users log in.
func (c *Cluster) Secured() []string {
	var all []string
	for _, n := range c.nodes {
		all = append(all, n.secured)
	}
	return all
}

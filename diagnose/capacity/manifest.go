package capacity

import (
	"fmt"
	"strings"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// Place is where manifests are to be applied. Empty fields are left for the reader as <placeholders>.
type Place struct {
	Deployment string // the consumers' deployment; default the group's name
	Brokers    string // bootstrap servers
	Prometheus string // a Prometheus-compatible address that holds the series
}

// Manifests writes what makes an autoscaler follow the recommendation: KEDA with a rate and a backlog
// trigger (KEDA takes the larger), and a plain HPA on the same rate. rate is what one consumer works off
// per second; nothing is written when it is not known.
func Manifests(g Group, r streamkeeper.Recommendation, s Settings, p Place) map[string]string {
	s = s.withDefaults()
	rate, ok := trueRate(g, s)
	if r.Kind != streamkeeper.ScaleConsumers || !ok || r.To == nil {
		return nil
	}
	m := manifest{
		group: g.Entity.Name, cluster: g.Entity.Cluster, name: dnsName(g.Entity.Name), topics: g.Topics,
		target: s.Utilisation * rate, backlog: rate * s.Drain.Seconds(), most: max(g.Partitions, int(*r.To)), least: 1,
		place: p,
	}
	if m.place.Deployment == "" {
		m.place.Deployment = m.name
	}
	m.place.Brokers = orPlaceholder(p.Brokers, "<bootstrap servers>")
	m.place.Prometheus = orPlaceholder(p.Prometheus, "<prometheus address>")
	return map[string]string{"keda": m.keda(), "hpa": m.hpa()}
}

func orPlaceholder(s, placeholder string) string {
	if s == "" {
		return placeholder
	}
	return s
}

// dnsName makes a Kubernetes name of a group's.
func dnsName(s string) string {
	out := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, s)
	out = strings.Trim(out[:min(len(out), 50)], "-")
	if out == "" {
		return "consumers"
	}
	return out
}

type manifest struct {
	group, cluster, name string
	topics               []string
	target, backlog      float64
	least, most          int
	place                Place
}

func (m manifest) query() string {
	return fmt.Sprintf("sum(rate(streamkeeper_group_produced_total{cluster=%q,group=%q}[2m]))", m.cluster, m.group)
}

func (m manifest) keda() string {
	var b strings.Builder
	fmt.Fprintf(&b, `apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: %s
spec:
  scaleTargetRef:
    name: %s
  minReplicaCount: %d
  maxReplicaCount: %d   # the partitions: more members would stay idle
  pollingInterval: 15
  cooldownPeriod: 300
  fallback:
    failureThreshold: 3
    replicas: %d
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleDown:
          stabilizationWindowSeconds: 1800
          policies: [{type: Percent, value: 50, periodSeconds: 3600}]
        scaleUp:
          stabilizationWindowSeconds: 60
  triggers:
    - type: prometheus   # the rate that arrives, at the wanted utilisation
      metadata:
        serverAddress: %s
        query: %s
        threshold: %q
        ignoreNullValues: "false"
`, m.name, m.place.Deployment, m.least, m.most, m.most, m.place.Prometheus, m.query(), plain(m.target))
	for _, topic := range m.topics {
		fmt.Fprintf(&b, `    - type: kafka        # the backlog that one consumer drains in time
      metadata:
        bootstrapServers: %s
        consumerGroup: %q
        topic: %q
        lagThreshold: "%.0f"
        scaleToZeroOnInvalidOffset: "false"
`, m.place.Brokers, m.group, topic, max(1, m.backlog))
	}
	return b.String()
}

func (m manifest) hpa() string {
	return fmt.Sprintf(`apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: %s
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: %s}
  minReplicas: %d
  maxReplicas: %d   # the partitions: more members would stay idle
  metrics:
    - type: External
      external:
        metric:   # through an adapter that serves %s
          name: streamkeeper_group_produced_per_second
          selector: {matchLabels: {cluster: %q, group: %q}}
        target: {type: AverageValue, averageValue: %q}
  behavior:
    scaleDown:
      stabilizationWindowSeconds: 1800
      policies: [{type: Percent, value: 50, periodSeconds: 3600}]
    scaleUp:
      stabilizationWindowSeconds: 60
`, m.name, m.place.Deployment, m.least, m.most, m.query(), m.cluster, m.group, plain(m.target))
}

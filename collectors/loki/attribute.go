package loki

import (
	"regexp"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// Labels that name what a line is about, as log agents and operators set them; the more telling first.
var (
	groupLabels    = []string{"group", "group_id", "consumer_group", "kafka_group", "kafka_consumer_group", "consumergroup"}
	clientLabels   = []string{"client_id", "kafka_client_id", "clientId"}
	instanceLabels = []string{"group_instance_id", "kafka_instance_id"}
	hostLabels     = []string{"pod_ip", "client_host", "host_ip", "k8s_pod_ip"}
	brokerLabels   = []string{"broker", "broker_id", "kafka_broker", "kafka_broker_id"}
	podLabels      = []string{"pod", "pod_name", "k8s_pod_name", "kubernetes_pod_name", "hostname", "host", "instance"}
)

var (
	nodeID = regexp.MustCompile(`^\d{1,9}$`)
	// brokerPod is how operators and charts name brokers' pods: prod-kafka-2, prod-broker-2, prod-dual-role-2, kafka-2.
	brokerPod = regexp.MustCompile(`(?:^|-)(?:kafka|brokers?|dual-role)-(\d{1,9})(?:[.:]|$)`)
	// brokerWord is how a broker's own lines name it: [GroupCoordinator 2], [GroupCoordinator id=2 …], [Partition a-1 broker=2].
	brokerWord = regexp.MustCompile(`\[(?:GroupCoordinator|TransactionCoordinator|GroupMetadataManager|KafkaServer|KafkaRaftServer|BrokerServer|ReplicaManager|Partition|SocketServer|RemoteLogManager)[^\]]*?(?:[ ,](?:id|brokerId|broker|nodeId)=|=| )(\d{1,9})[\] ,]`)
	// uuidTail is what coordinators append to a client id to make a member id.
	uuidTail = regexp.MustCompile(`-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
)

// maxText bounds what of a line is kept.
const maxText = 500

// message is what of a line is kept as an event's text.
func message(line []byte) string {
	if len(line) > maxText {
		return strings.ToValidUTF8(string(line[:maxText]), "") + "…"
	}
	return strings.ToValidUTF8(strings.TrimSpace(string(line)), "�")
}

// brokerOf is the broker that labels name.
func brokerOf(labels map[string]string) string {
	for _, name := range brokerLabels {
		if nodeID.MatchString(labels[name]) {
			return labels[name]
		}
	}
	for _, name := range podLabels {
		if m := brokerPod.FindStringSubmatch(labels[name]); m != nil {
			return m[1]
		}
	}
	return ""
}

// brokerIn is the broker that a broker's line names as its own.
func brokerIn(line string) string {
	if m := brokerWord.FindStringSubmatch(line); m != nil {
		return m[1]
	}
	return ""
}

// label gives the first of some labels that a line's stream or its metadata has; metadata is nearer to the line.
func (h hit) label(names []string) string {
	for _, from := range []map[string]string{h.more, h.labels} {
		for _, name := range names {
			if v := from[name]; v != "" {
				return v
			}
		}
	}
	return ""
}

func groupOf(h hit) string {
	if g, _ := h.attrs["group"].(string); g != "" {
		return g
	}
	return h.label(groupLabels)
}

// person is whom a line is about, as far as it is known.
type person struct {
	group, client, instance, host, memberID string
}

// key names a member as everywhere: by instance id, or client id and host; by client id alone where the host is not known.
func (p person) key() string {
	switch {
	case p.instance != "":
		return p.instance
	case p.client != "" && p.host != "":
		return p.client + "@" + p.host
	}
	return p.client
}

// whose reads the line, its labels, and then the members that were seen (index.go), in this order.
func whose(h hit, members *index) person {
	text := func(name string, labels []string) string {
		if s, _ := h.attrs[name].(string); s != "" {
			return s
		}
		if h.p.Teller == tellerBroker {
			return "" // a broker's labels are the broker's own
		}
		return h.label(labels)
	}
	p := person{
		group: groupOf(h), client: text("client_id", clientLabels), instance: text("instance_id", instanceLabels),
		host: text("host", hostLabels), memberID: text("member_id", nil),
	}
	if p.client == "" && uuidTail.MatchString(p.memberID) && p.instance == "" {
		p.client = uuidTail.ReplaceAllString(p.memberID, "")
	}
	return members.complete(p)
}

// event makes the event that a hit tells; ok is false when what it is about cannot be named for certain.
func (h hit) event(cluster, source string, members *index) (e streamkeeper.Event, who person, ok bool) {
	e = streamkeeper.Event{At: h.at, Kind: h.p.Kind, Source: source, Text: h.line, Attrs: h.attrs}
	who = whose(h, members)
	e.Attrs["told_by"] = h.p.Teller
	put := func(name, v string) {
		if v != "" {
			e.Attrs[name] = v
		}
	}
	if h.p.Entity == "" || h.p.Entity == "group" {
		put("group", who.group)
		put("client_id", who.client)
		put("instance_id", who.instance)
		put("host", who.host)
		put("member_id", who.memberID)
		as := h.p.MemberAs
		if as == "" {
			as = "member"
		}
		put(as, who.key())
		if h.p.Teller == tellerClient {
			put("pod", h.label(podLabels))
		}
	}
	if h.p.Teller == tellerBroker {
		if _, named := e.Attrs["broker"]; !named {
			put("broker", h.broker)
		}
	}
	e.Entity, ok = h.entity(cluster, who)
	return e, who, ok
}

// entity is what the event is about. Broker and partition lines name theirs; a group must be named or found.
func (h hit) entity(cluster string, who person) (streamkeeper.Entity, bool) {
	e := streamkeeper.Entity{Cluster: cluster}
	switch h.p.Entity {
	case "broker":
		e.Kind = streamkeeper.KindBroker
		e.Name, _ = h.attrs["broker"].(string)
	case "partition":
		e.Kind = streamkeeper.KindPartition
		topic, _ := h.attrs["topic"].(string)
		if n, ok := h.attrs["partition"].(float64); ok && topic != "" {
			e.Name = topic + "-" + decimal(n)
		}
	case "cluster":
		e.Kind, e.Name = streamkeeper.KindCluster, cluster
	case "store":
		e.Kind = streamkeeper.KindStore
		if h.broker != "" { // applications use object stores of their own
			e.Name = streamkeeper.TieredStorage
		}
	default:
		e.Kind, e.Name = streamkeeper.KindGroup, who.group
		if h.p.Kind == "coordinator_loaded" {
			e.Kind, e.Name = streamkeeper.KindBroker, h.broker
		}
	}
	return e, e.Name != ""
}

// told is an event of the last seconds, to recognise the same fact in another line.
type told struct {
	kind string
	who  person
	at   time.Time
	by   map[string]bool     // patterns
	e    *streamkeeper.Event // nil once it was handed over: it may not change then
}

// sameWindow is how far apart two lines of one fact are: a client and its coordinator write within a second, of clocks
// that may differ a little.
const sameWindow = 5 * time.Second

// same reports whether a line by another pattern tells the same fact: nothing that both name differs.
func (t *told) same(kind, pattern string, who person, at time.Time) bool {
	agree := func(a, b string) bool { return a == "" || b == "" || a == b }
	apart := at.Sub(t.at)
	return t.kind == kind && !t.by[pattern] && apart.Abs() <= sameWindow && t.who.group == who.group &&
		agree(t.who.client, who.client) && agree(t.who.host, who.host) && agree(t.who.memberID, who.memberID) && agree(t.who.instance, who.instance)
}

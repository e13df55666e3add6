package cli

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose"
)

// redact replaces every name in a recording by a pseudonym, the same one wherever the name stands, so that the recording
// replays to the same answer about other names. Pseudonyms sort as the names do: where an order decides, it decides alike.
// What is not known to be harmless counts as a name; free text is dropped, and series that no rule reads.
func (r recording) redact() (recording, error) {
	d := redactor{}
	if _, err := d.recording(r); err != nil { // gathers the names
		return r, err
	}
	d.christen()
	return d.recording(r)
}

// redactor knows the pseudonyms, by kind of name; empty ones while names are gathered.
type redactor map[string]map[string]string

// name is the pseudonym of a name. Numbers and names that Kafka or we gave are no secret.
func (d redactor) name(kind, value string) string {
	_, notNumber := strconv.ParseFloat(value, 64)
	if value == "" || notNumber == nil || value == "other" || value == "tiered-storage" || strings.HasPrefix(value, "__") || strings.HasPrefix(value, "streamkeeper-probe") {
		return value
	}
	if d[kind] == nil {
		d[kind] = map[string]string{}
	}
	if p := d[kind][value]; p != "" {
		return p
	}
	d[kind][value] = ""
	return value
}

// christen gives pseudonyms to all that was gathered.
func (d redactor) christen() {
	for kind, names := range d {
		width := len(strconv.Itoa(len(names)))
		for i, name := range slices.Sorted(maps.Keys(names)) {
			names[name] = fmt.Sprintf("%s-%0*d", kind, width, i+1)
		}
	}
}

// member renames what members are known by: their instance id, or client id and host.
func (d redactor) member(key string) string {
	if at := strings.LastIndexByte(key, '@'); at > 0 {
		return d.name("client", key[:at]) + "@" + d.name("host", key[at+1:])
	}
	return d.name("member", key)
}

// address renames a host with or without a port.
func (d redactor) address(a string) string {
	if host, port, err := net.SplitHostPort(a); err == nil {
		return d.name("host", host) + ":" + port
	}
	return d.name("host", a)
}

func (d redactor) partition(name string) string {
	at := max(strings.LastIndexByte(name, '-'), 0)
	return d.name("topic", name[:at]) + name[at:]
}

func (d redactor) entity(e streamkeeper.Entity) streamkeeper.Entity {
	switch e.Cluster = d.name("cluster", e.Cluster); e.Kind {
	case streamkeeper.KindPartition:
		e.Name = d.partition(e.Name)
	case streamkeeper.KindBroker: // a node id
	default:
		e.Name = d.name(string(e.Kind), e.Name)
	}
	return e
}

// recording renames in all parts of one.
func (d redactor) recording(r recording) (recording, error) {
	r.meta.Scopes = d.scopes(r)
	cluster := r.meta.Cluster
	r.meta.Cluster = d.name("cluster", cluster)
	r.story = strings.ReplaceAll(r.story, "Cluster "+cluster+" ", "Cluster "+r.meta.Cluster+" ")
	r.truth, r.want = nil, ""
	r.inventories, r.rounds = mapped(r.inventories, d.inventory), mapped(r.rounds, d.round)
	var err error
	r.signals, err = d.signals(r.signals)
	return r, err
}

func mapped[T any](in []T, f func(T) T) []T {
	var out []T
	for _, v := range in {
		out = append(out, f(v))
	}
	return out
}

// scopes says of each entity what the first scope that names it says: globs have no pseudonyms.
func (d redactor) scopes(r recording) []diagnose.Scope {
	var out []diagnose.Scope
	done := map[streamkeeper.Entity]bool{}
	add := func(kind streamkeeper.EntityKind, name string) {
		e := streamkeeper.Entity{Kind: kind, Name: name, Cluster: r.meta.Cluster}
		at := slices.IndexFunc(r.meta.Scopes, func(s diagnose.Scope) bool { return s.Names(e) })
		if done[e] || at < 0 {
			return
		}
		done[e] = true
		s := r.meta.Scopes[at]
		s.Cluster, s.Groups, s.Topics, s.Owner = "", "", "", d.name("owner", s.Owner)
		if kind == streamkeeper.KindGroup {
			s.Groups = d.name("group", name)
		} else {
			s.Topics = d.name("topic", name)
		}
		out = append(out, s)
	}
	for _, inv := range r.inventories {
		for _, g := range inv.Groups {
			add(streamkeeper.KindGroup, g.Name)
		}
		for _, t := range inv.Topics {
			add(streamkeeper.KindTopic, t.Name)
		}
	}
	for _, s := range r.meta.Scopes {
		if s.Groups == "" && s.Topics == "" && s.Names(streamkeeper.Entity{Kind: streamkeeper.KindCluster, Name: r.meta.Cluster, Cluster: r.meta.Cluster}) {
			s.Cluster, s.Owner = "", d.name("owner", s.Owner)
			return append(out, s)
		}
	}
	return out
}

func (d redactor) cluster(c streamkeeper.ClusterInfo) streamkeeper.ClusterInfo {
	c.Name, c.ID = d.name("cluster", c.Name), d.name("id", c.ID)
	return c
}

func (d redactor) inventory(inv streamkeeper.Inventory) streamkeeper.Inventory {
	inv.Cluster = d.cluster(inv.Cluster)
	inv.Brokers = mapped(inv.Brokers, func(b streamkeeper.BrokerInfo) streamkeeper.BrokerInfo {
		b.Address, b.Rack = d.address(b.Address), d.name("rack", b.Rack)
		return b
	})
	inv.Topics = mapped(inv.Topics, func(t streamkeeper.TopicInfo) streamkeeper.TopicInfo {
		t.Name = d.name("topic", t.Name)
		return t
	})
	inv.Groups = mapped(inv.Groups, func(g streamkeeper.GroupInfo) streamkeeper.GroupInfo {
		g.Name, g.Assignor = d.name("group", g.Name), d.assignor(g.Assignor)
		g.Topics = mapped(g.Topics, func(t string) string { return d.name("topic", t) })
		g.Members = mapped(g.Members, d.memberInfo)
		return g
	})
	inv.Stores = mapped(inv.Stores, func(s streamkeeper.StoreInfo) streamkeeper.StoreInfo {
		return streamkeeper.StoreInfo{Name: d.name("store", s.Name)}
	})
	return inv
}

// assignor renames a user's own; Kafka's are no secret.
func (d redactor) assignor(name string) string {
	if slices.Contains([]string{"range", "roundrobin", "sticky", "cooperative-sticky", "uniform", "stream", "RoundRobinAssigner"}, name) {
		return name
	}
	return d.name("assignor", name)
}

func (d redactor) memberInfo(m streamkeeper.MemberInfo) streamkeeper.MemberInfo {
	m.Key, m.MemberID, m.InstanceID = d.member(m.Key), d.name("id", m.MemberID), d.name("member", m.InstanceID)
	m.ClientID, m.Host = d.name("client", m.ClientID), d.name("host", m.Host)
	m.Assigned = mapped(m.Assigned, func(s streamkeeper.TopicPartitionSet) streamkeeper.TopicPartitionSet {
		s.Topic = d.name("topic", s.Topic)
		return s
	})
	return m
}

func (d redactor) round(in round) round {
	in.Watermark.Cluster = d.name("cluster", in.Watermark.Cluster)
	in.Events = mapped(in.Events, func(e streamkeeper.Event) streamkeeper.Event {
		attrs := map[string]any{}
		for key, value := range e.Attrs {
			if text, isText := value.(string); isText {
				value = d.attribute(key, text)
			}
			attrs[key] = value
		}
		e.Entity, e.Text, e.Attrs = d.entity(e.Entity), "", attrs
		return e
	})
	return in
}

// Attributes and labels whose values are words of ours or of Kafka's.
var plainWords = map[string]bool{
	"answered": true, "api": true, "broker": true, "cause_kind": true, "class": true, "code": true, "conn_closed": true, "device": true, "fact": true,
	"fate": true, "kind": true, "le": true, "library": true, "library_version": true, "op": true, "outcome": true, "partition": true,
	"phase": true, "quantile": true, "role": true, "source": true, "stage": true, "state": true, "tier": true, "told_by": true, "tool": true, "type": true,
}

// plainReasons are those that rules compare with; any other is a text that anybody may have written.
var plainReasons = []string{
	"consumer poll timeout has expired.", "worker poll timeout has expired.", "session expired", "rebalance timeout",
	"the consumer is being closed", "the consumer unsubscribed from all topics", "unsubscribed", "not provided",
	"client leaving group per normal operation", "need to revoke partitions and re-join",
}

func (d redactor) attribute(key, value string) string {
	switch key {
	case "key": // of a configuration
		return value
	case "reason", "client_reason":
		if slices.Contains(plainReasons, value) {
			return value
		}
		return d.name("reason", value)
	case "member", "trigger_member", "owner", "old_owner", "instance_id":
		return d.member(value)
	case "from", "to":
		if strings.Contains(value, "@") {
			return d.member(value)
		}
	case "member_id", "old_member_id":
		return d.name("id", value)
	case "client_id":
		return d.name("client", value)
	case "first_topic":
		return d.name("topic", value)
	case "old_host", "new_host":
		return d.name("host", value)
	case "entity":
		if e, err := streamkeeper.ParseEntity(value); err == nil {
			return d.entity(e).Key()
		}
	}
	if plainWords[key] {
		return value
	}
	return d.name(key, value)
}

func (d redactor) label(name, value string) string {
	switch {
	case plainWords[name], name == "reason", name == "owner", name == "case" && value == "path":
		return value
	case name == "instance":
		return d.address(value)
	}
	return d.name(name, value)
}

// ruled says whether rules may read a series: one of ours, of node_exporter, kube-state-metrics or cAdvisor. The names of others
// may tell whose they are.
func ruled(series string) bool {
	return slices.ContainsFunc([]string{"streamkeeper_", "node_", "kube_", "container_"}, func(p string) bool { return strings.HasPrefix(series, p) })
}

// signals renames in the labels of every series that rules may read. A line that cannot be read is not passed on.
func (d redactor) signals(in []byte) ([]byte, error) {
	var out bytes.Buffer
	for line := range bytes.Lines(in) {
		series := lineName(line)
		switch {
		case line[0] == '#' || line[0] == '\n':
			out.Write(line)
			continue
		case !ruled(series):
			continue
		}
		renamed, err := d.series(series)
		if err != nil {
			return nil, fmt.Errorf("redact the signals: %w", err)
		}
		out.WriteString(renamed)
		out.Write(bytes.TrimPrefix(line, []byte(series)))
	}
	return out.Bytes(), nil
}

// series renames in metric{a="b", c="d"}.
func (d redactor) series(series string) (string, error) {
	metric, rest, labelled := strings.Cut(series, "{")
	if !labelled {
		return series, nil
	}
	var labels []string
	for rest != "}" {
		name, after, ok := strings.Cut(rest, "=")
		quoted, err := strconv.QuotedPrefix(after)
		value, err2 := strconv.Unquote(quoted)
		if !ok || err != nil || err2 != nil {
			return "", fmt.Errorf("cannot read the labels of %s", metric)
		}
		labels = append(labels, name+"="+strconv.Quote(d.label(name, value)))
		rest = strings.TrimLeft(after[len(quoted):], ", ")
	}
	return metric + "{" + strings.Join(labels, ", ") + "}", nil
}

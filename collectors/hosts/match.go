package hosts

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// machine is one that node_exporter tells of.
type machine struct {
	instance string   // the label that its series have
	names    []string // addresses and names that it goes by
}

// pod is one that kube-state-metrics tells of.
type pod struct {
	namespace, name, address string
	machine                  []string // the address and the name of the machine that it runs on
	replicaset               string
}

func machineOf(labels map[string]string) machine {
	m := machine{instance: labels["instance"]}
	for _, name := range []string{hostOf(labels["instance"]), labels["nodename"], labels["node"], labels["kubernetes_node"]} {
		if name != "" {
			m.names = append(m.names, name)
		}
	}
	return m
}

func podOf(labels map[string]string) pod {
	p := pod{namespace: labels["namespace"], name: labels["pod"], address: labels["pod_ip"]}
	for _, name := range []string{labels["host_ip"], labels["node"]} {
		if name != "" {
			p.machine = append(p.machine, name)
		}
	}
	if labels["created_by_kind"] == "ReplicaSet" {
		p.replicaset = labels["created_by_name"]
	}
	return p
}

// hostOf is an address without its port.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}

// match finds where brokers and members are.
func (s *Source) match(ctx context.Context, inv streamkeeper.Inventory, machines []machine, pods []pod) []match {
	x := newAtlas(ctx, s.names, machines, pods)
	var out []match
	for _, b := range inv.Brokers {
		host := hostOf(b.Address)
		first, _, _ := strings.Cut(host, ".") // Strimzi: the pod's name, then its service
		out = append(out, x.places("broker", strconv.Itoa(int(b.ID)), host, first)...)
	}
	for _, g := range inv.Groups {
		for _, m := range g.Members {
			out = append(out, x.places("group", g.Name, m.Host, m.InstanceID, m.ClientID)...)
		}
	}
	return out
}

// atlas finds machines and pods by what they are called. What two are called names neither.
type atlas struct {
	ctx       context.Context
	names     *resolver
	machines  map[string]*machine
	addresses map[string]*pod
	pods      map[string]*pod
}

func newAtlas(ctx context.Context, names *resolver, machines []machine, pods []pod) *atlas {
	x := &atlas{ctx: ctx, names: names, machines: map[string]*machine{}, addresses: map[string]*pod{}, pods: map[string]*pod{}}
	names.begin()
	for i := range machines {
		m := &machines[i]
		for _, name := range m.names {
			for _, n := range x.spellings(name) {
				put(x.machines, n, m, func(old *machine) bool { return old.instance == m.instance })
			}
		}
	}
	for i := range pods {
		p := &pods[i]
		same := func(old *pod) bool { return old.namespace == p.namespace && old.name == p.name }
		onHost := len(p.machine) > 0 && p.address == p.machine[0] // it has its machine's address, as others there
		if p.address != "" && !onHost {
			put(x.addresses, p.address, p, same)
		}
		put(x.pods, p.name, p, same)
	}
	return x
}

// put names a thing; a name of two things becomes one of none.
func put[T any](m map[string]*T, name string, v *T, same func(*T) bool) {
	if old, taken := m[name]; taken && (old == nil || !same(old)) {
		m[name] = nil
		return
	}
	m[name] = v
}

// spellings are the ways in which a name may be met: itself, without its domain, and its addresses.
func (x *atlas) spellings(name string) []string {
	if isLoopback(name) {
		return []string{"localhost"}
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return []string{name}
	}
	out := []string{strings.ToLower(name)}
	if short, _, long := strings.Cut(out[0], "."); long {
		out = append(out, short)
	}
	return append(out, x.names.addresses(x.ctx, name)...)
}

func isLoopback(name string) bool {
	ip, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && ip.IsLoopback()
}

// places are where somebody is who connects from a host, or listens there, and may be called like its pod.
func (x *atlas) places(kind, name, host string, callings ...string) []match {
	var out []match
	p := x.addresses[host]
	for _, c := range callings {
		if p == nil && c != "" {
			p = x.pods[c]
		}
	}
	at := []string{host}
	if p != nil {
		out = append(out, match{kind: kind, name: name, namespace: p.namespace, pod: p.name, replicaset: p.replicaset})
		at = p.machine
	}
	for _, where := range at {
		if m := x.machine(where); m != nil {
			return append(out, match{kind: kind, name: name, instance: m.instance})
		}
	}
	return out
}

func (x *atlas) machine(name string) *machine {
	if name == "" {
		return nil
	}
	for _, n := range x.spellings(name) {
		if m := x.machines[n]; m != nil {
			return m
		}
	}
	return nil
}

// Bounds of looking names up.
const (
	lookupsAtOnce = 5 // in one round
	lookupTimeout = 500 * time.Millisecond
	lookupFor     = 10 * time.Minute // an answer is kept, also that there is none
	maxLookups    = 10_000           // kept
)

// resolver looks names up and remembers the answers.
type resolver struct {
	lookup func(ctx context.Context, name string) ([]string, error)
	now    func() time.Time
	known  map[string]resolved
	left   int // lookups of this round
}

type resolved struct {
	addresses []string
	until     time.Time
}

func newResolver(lookup func(ctx context.Context, name string) ([]string, error)) *resolver {
	return &resolver{lookup: lookup, now: time.Now, known: map[string]resolved{}}
}

// begin begins a round.
func (r *resolver) begin() {
	r.left = lookupsAtOnce
	if len(r.known) > maxLookups {
		clear(r.known)
	}
}

// addresses are those of a name, as far as they are known or may be asked for now.
func (r *resolver) addresses(ctx context.Context, name string) []string {
	if r.lookup == nil {
		return nil
	}
	if k, ok := r.known[name]; ok && r.now().Before(k.until) || r.left == 0 {
		return k.addresses
	}
	r.left--
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	addresses, _ := r.lookup(ctx, name) // a name that nobody knows has no address
	r.known[name] = resolved{addresses, r.now().Add(lookupFor)}
	return addresses
}

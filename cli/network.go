package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// network is a second host beside this one: a network namespace, with one cable (a veth pair) to here. Cutting it
// makes packets vanish in both directions: they are sent to a hardware address that nobody has, so that the
// other end drops them as not its own. Neither side hears of it, no connection is reset, no interface goes
// down. That needs root and iproute2, and no firewall.
type network struct {
	name       string // of the namespace
	here       string // the cable's ends
	there      string
	hereIP     string
	thereIP    string
	hereMAC    string
	thereMAC   string
	nobodysMAC string
}

// networkPrefix names the namespaces of drills: skdrill-PID-N.
const networkPrefix = "skdrill-"

var networks atomic.Uint32

// openNetwork makes the second host, after it has swept away those of drills that were killed.
func openNetwork(ctx context.Context) (*network, error) {
	if err := networkPossible(); err != nil {
		return nil, err
	}
	if err := sweepNetworks(ctx); err != nil {
		return nil, err
	}
	n, err := planNetwork(os.Getpid(), int(networks.Add(1)))
	if err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"netns", "add", n.name},
		{"link", "add", n.here, "address", n.hereMAC, "type", "veth", "peer", "name", n.there, "address", n.thereMAC, "netns", n.name},
		{"address", "add", n.hereIP + "/30", "dev", n.here},
		{"link", "set", n.here, "up"},
		{"-n", n.name, "address", "add", n.thereIP + "/30", "dev", n.there},
		{"-n", n.name, "link", "set", n.there, "up"},
		{"-n", n.name, "link", "set", "lo", "up"},
	} {
		if err := ip(ctx, args...); err != nil {
			return nil, errors.Join(fmt.Errorf("make a second host: %w", err), n.close())
		}
	}
	if err := n.Heal(ctx); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

// networkPossible says what is missing to make a second host.
func networkPossible() error {
	if os.Geteuid() != 0 {
		return errors.New("this drill drops packets between network namespaces, which needs root: run it with sudo, or leave it out")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return errors.New("this drill drops packets between network namespaces, which needs the ip command: install iproute2, or leave it out")
	}
	return nil
}

// planNetwork picks names and addresses that nobody has.
func planNetwork(pid, n int) (*network, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list this machine's addresses: %w", err)
	}
	for try := range 64 {
		slot := (pid*31 + n + try*257) % (1 << 14) // of the /30s of 10.231.0.0/16
		_, subnet, err := net.ParseCIDR(fmt.Sprintf("10.231.%d.%d/30", slot>>6, slot<<2&0xff))
		if err != nil {
			return nil, err
		}
		if taken(addrs, subnet) {
			continue
		}
		host := func(i byte) string {
			a := subnet.IP.To4()
			return net.IPv4(a[0], a[1], a[2], a[3]+i).String()
		}
		mac := func(i int) string { return fmt.Sprintf("02:53:4b:%02x:%02x:%02x", slot>>8, slot&0xff, i) }
		id := fmt.Sprintf("%d-%d", pid, n)
		return &network{
			name: networkPrefix + id, here: "skh" + id, there: "skt" + id,
			hereIP: host(1), thereIP: host(2), hereMAC: mac(1), thereMAC: mac(2), nobodysMAC: mac(0xdd),
		}, nil
	}
	return nil, errors.New("make a second host: no free network below 10.231.0.0/16")
}

func taken(addrs []net.Addr, subnet *net.IPNet) bool {
	for _, a := range addrs {
		if in, ok := a.(*net.IPNet); ok && (subnet.Contains(in.IP) || in.Contains(subnet.IP)) {
			return true
		}
	}
	return false
}

// Cut makes packets vanish both ways from now on.
func (n *network) Cut(ctx context.Context) error { return n.point(ctx, n.nobodysMAC, n.nobodysMAC) }

// Heal lets them through again.
func (n *network) Heal(ctx context.Context) error { return n.point(ctx, n.thereMAC, n.hereMAC) }

// point sets where each end sends to.
func (n *network) point(ctx context.Context, fromHere, fromThere string) error {
	return errors.Join(
		ip(ctx, "neigh", "replace", n.thereIP, "lladdr", fromHere, "dev", n.here, "nud", "permanent"),
		ip(ctx, "-n", n.name, "neigh", "replace", n.hereIP, "lladdr", fromThere, "dev", n.there, "nud", "permanent"),
	)
}

// command runs a program on the second host.
func (n *network) command(program string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", n.name, program}, args...)...)
}

// close takes the second host away; its cable goes with it.
func (n *network) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return ip(ctx, "netns", "delete", n.name)
}

// sweepNetworks removes the second hosts of drills whose process is gone.
func sweepNetworks(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "ip", "netns", "list").Output()
	if err != nil {
		return fmt.Errorf("ip netns list: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest, ok := strings.CutPrefix(name, networkPrefix)
		if !ok {
			continue
		}
		text, _, _ := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(text)
		if err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		if err := ip(ctx, "netns", "delete", name); err != nil {
			return err
		}
	}
	return nil
}

// ip runs one command of iproute2.
func ip(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

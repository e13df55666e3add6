package cli

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"
)

func TestPlanNetwork(t *testing.T) {
	a, err := planNetwork(4194304, 1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := planNetwork(4194304, 2)
	if err != nil {
		t.Fatal(err)
	}
	if a.hereIP == b.hereIP || a.name == b.name || a.hereMAC == b.hereMAC {
		t.Errorf("two networks of one process share something: %+v %+v", a, b)
	}
	for _, n := range []*network{a, b} {
		if len(n.here) > 15 || len(n.there) > 15 {
			t.Errorf("an interface's name has at most 15 characters: %q %q", n.here, n.there)
		}
		for _, m := range []string{n.hereMAC, n.thereMAC, n.nobodysMAC} {
			if _, err := net.ParseMAC(m); err != nil {
				t.Error(err)
			}
		}
		if ip := net.ParseIP(n.hereIP); ip == nil || !ip.IsPrivate() {
			t.Errorf("address %q", n.hereIP)
		}
	}
}

func TestTaken(t *testing.T) {
	_, subnet, _ := net.ParseCIDR("10.231.8.4/30")
	for text, want := range map[string]bool{"10.231.8.5/30": true, "10.0.0.1/8": true, "10.231.8.9/30": false, "127.0.0.1/8": false} {
		ip, in, _ := net.ParseCIDR(text)
		if got := taken([]net.Addr{&net.IPNet{IP: ip, Mask: in.Mask}}, subnet); got != want {
			t.Errorf("%s: taken %v", text, got)
		}
	}
}

// The claim of the network drill: cut packets vanish, nobody is told, and what was sent arrives when the road is
// back.
func TestNetwork_CutVanishesAndHealDelivers(t *testing.T) {
	if err := networkPossible(); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	n, err := openNetwork(ctx)
	if err != nil {
		if strings.Contains(err.Error(), "not permitted") || strings.Contains(err.Error(), "not supported") {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	defer func() {
		if err := n.close(); err != nil {
			t.Error(err)
		}
	}()
	l, err := net.Listen("tcp", n.hereIP+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	far := n.command("bash", "-c", "exec 3<>/dev/tcp/"+n.hereIP+"/"+port+"; cat <&3 >&3")
	if err := far.Start(); err != nil {
		t.Skip(err)
	}
	defer func() { _ = far.Process.Kill(); _ = far.Wait() }()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if host, _, _ := net.SplitHostPort(conn.RemoteAddr().String()); host != n.thereIP {
		t.Errorf("the far end is %s, want %s", host, n.thereIP)
	}
	echo := func(patience time.Duration) error {
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatalf("sending into a cut road is no error: %v", err)
		}
		_, err := conn.Read(make([]byte, 1))
		return err
	}
	if err := echo(5 * time.Second); err != nil {
		t.Fatalf("before the cut: %v", err)
	}
	if err := n.Cut(ctx); err != nil {
		t.Fatal(err)
	}
	if err := echo(500 * time.Millisecond); err == nil || !err.(net.Error).Timeout() {
		t.Fatalf("through a cut road came %v, want silence", err)
	}
	if err := n.Heal(ctx); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Errorf("what was sent must arrive when the road is back: %v", err)
	}
}

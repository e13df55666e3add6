package kafka

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// pipes is a network in memory, so that an hour on it takes no time.
type pipes struct {
	mu        sync.Mutex
	listeners map[string]*pipeListener
	dials     map[string]int // by address
}

type pipeListener struct {
	address net.TCPAddr
	takes   time.Duration
	conns   chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

// slow is the cluster's end of a connection whose answers take a while.
type slow struct {
	net.Conn
	takes time.Duration
}

func (c slow) Write(b []byte) (int, error) {
	time.Sleep(c.takes)
	return c.Conn.Write(b)
}

// listen makes a listener with an address of its own, whose answers take a while.
func (n *pipes) listen(takes time.Duration) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := &pipeListener{
		address: net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 10_000 + len(n.listeners)}, takes: takes,
		conns: make(chan net.Conn), closed: make(chan struct{}),
	}
	n.listeners[l.address.String()] = l
	return l, nil
}

// dial connects to a listener; elsewhere nobody answers.
func (n *pipes) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dials[address]++
	l := n.listeners[address]
	n.mu.Unlock()
	if l == nil {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	here, there := net.Pipe()
	select {
	case l.conns <- slow{there, l.takes}:
		return here, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Addr() net.Addr { return &l.address }

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

const wrong = "guess"

// fleet is some clusters of one broker under one scheduler.
type fleet struct {
	t         *testing.T
	net       pipes
	scheduler *collectors.Scheduler
	rounds    map[string][]float64 // seconds that each took, by cluster
	close     []func()
}

func newFleet(t *testing.T) *fleet {
	f := &fleet{t: t, net: pipes{listeners: map[string]*pipeListener{}, dials: map[string]int{}}, rounds: map[string][]float64{}}
	f.scheduler = collectors.NewScheduler(collectors.Options{Sink: f})
	return f
}

// add watches a new cluster whose answers take a while. Who has the wrong password is told so, as Kafka tells it.
func (f *fleet) add(name string, takes time.Duration, s Security, opts ...kfake.Opt) {
	f.t.Helper()
	listen := kfake.ListenFn(func(_, _ string) (net.Listener, error) { return f.net.listen(takes) })
	cluster, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1), kfake.SeedTopics(3, "orders"), listen)...)
	if err != nil {
		f.t.Fatal(err)
	}
	cluster.Control(func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if a, ok := req.(*kmsg.SASLAuthenticateRequest); ok && s.SASL.Password == wrong {
			resp := a.ResponseKind().(*kmsg.SASLAuthenticateResponse)
			resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
			return resp, nil, true
		}
		return nil, nil, false
	})
	f.close = append(f.close, cluster.Close)
	f.watch(name, cluster.ListenAddrs(), s)
}

func (f *fleet) watch(name string, brokers []string, s Security) {
	f.t.Helper()
	c, err := New(Options{Cluster: name, Brokers: brokers, Security: s, dial: f.net.dial})
	if err != nil {
		f.t.Fatal(err)
	}
	f.close = append(f.close, c.Close)
	f.scheduler.Add(c, 15*time.Second, name)
}

// run watches for an hour and returns how many goroutines there were after ten minutes, and at the end.
func (f *fleet) run() (early, late int) {
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f.scheduler.Run(ctx); err != nil {
			f.t.Error(err)
		}
	}()
	time.Sleep(10*time.Minute - time.Second)
	synctest.Wait()
	early = runtime.NumGoroutine()
	time.Sleep(50 * time.Minute)
	synctest.Wait()
	late = runtime.NumGoroutine()
	cancel()
	<-done
	return early, late
}

func (f *fleet) stop() {
	for i := len(f.close) - 1; i >= 0; i-- {
		f.close[i]()
	}
	time.Sleep(time.Minute) // what sleeps in a slow cluster
}

func (f *fleet) Samples(_ context.Context, samples []streamkeeper.Sample) error {
	for _, s := range samples {
		if s.Metric == "streamkeeper_collector_round_seconds" {
			cluster := s.Labels["cluster"]
			f.net.mu.Lock()
			f.rounds[cluster] = append(f.rounds[cluster], s.Value)
			f.net.mu.Unlock()
		}
	}
	return nil
}

func (f *fleet) Events(context.Context, []streamkeeper.Event, streamkeeper.Watermark) error {
	return nil
}

func (f *fleet) Inventory(context.Context, streamkeeper.Inventory) error { return nil }

// healthy is how long the rounds of the healthy cluster took on average, and how many there were.
func (f *fleet) healthy() (seconds float64, rounds int) {
	for _, s := range f.rounds["healthy"] {
		seconds += s
	}
	return seconds / float64(len(f.rounds["healthy"])), len(f.rounds["healthy"])
}

// One cluster that nobody answers for, one that is slow and one that knows us not, beside a healthy one, for an hour: its
// rounds are as they are alone, the others' state is told, and nothing is left behind.
func TestClustersDoNotDisturbEachOther(t *testing.T) {
	var alone float64
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.add("healthy", 20*time.Millisecond, Security{})
		f.run()
		f.stop()
		alone, _ = f.healthy()
	})
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.add("healthy", 20*time.Millisecond, Security{})
		f.add("slow", 4*time.Second, Security{})
		f.add("stranger", 20*time.Millisecond, Security{SASL: SASL{Mechanism: "PLAIN", User: "reader", Password: wrong}},
			kfake.EnableSASL(), kfake.Superuser("PLAIN", "reader", "secret"))
		f.watch("unreachable", []string{"10.0.0.1:9092"}, Security{})
		early, late := f.run()
		defer f.stop()

		beside, rounds := f.healthy()
		t.Logf("a healthy round takes %.3f s alone, %.3f s beside the others; %d goroutines early, %d late", alone, beside, early, late)
		if beside < .9*alone || beside > 1.1*alone || rounds < 239 {
			t.Errorf("%d healthy rounds took %.3f s each, alone %.3f s", rounds, beside, alone)
		}
		if late > early+4 { // a connection may be on its way
			t.Errorf("%d goroutines after an hour, %d after ten minutes", late, early)
		}
		for address, n := range f.net.dials {
			if n > 2000 { // eight a round
				t.Errorf("%s was dialled %d times in an hour", address, n)
			}
		}
		var page strings.Builder
		if err := collectors.WritePages(&page, f.scheduler.Page()); err != nil {
			t.Fatal(err)
		}
		for cluster, want := range map[string]string{"healthy": "", "slow": "deadline", "stranger": "SASL_AUTHENTICATION_FAILED", "unreachable": "asking for metadata"} {
			got := f.scheduler.SourcesOf(cluster)[0]
			up := 0
			if want == "" {
				up = 1
			}
			if (got.Error == "") != (want == "") || !strings.Contains(strings.ToLower(got.Error), strings.ToLower(want)) || (got.FreshSeconds != nil) != (want == "") {
				t.Errorf("%s is told as %+v, want an error with %q", cluster, got, want)
			}
			if line := fmt.Sprintf("streamkeeper_collector_up{cluster=%q,collector=\"kafka\"} %d\n", cluster, up); !strings.Contains(page.String(), line) {
				t.Errorf("no %s in\n%s", line, page.String())
			}
			if len(f.rounds[cluster]) < 200 {
				t.Errorf("%s had %d rounds in an hour", cluster, len(f.rounds[cluster]))
			}
		}
	})
}

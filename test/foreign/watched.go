package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/test/server"
)

// Timings of a watched phase: the server is there before the faults, and is asked again and again.
const (
	watchedFor   = 150 * time.Second
	restartedFor = 75 * time.Second // what befalls a broker disturbs every group, so it comes last
	agedFor      = 11 * time.Minute // of history
	askEvery     = 5 * time.Second
)

// clusterName is what the watching server calls the cluster.
const clusterName = "foreign"

// watch plays scenarios side by side while a server watches the cluster and the logs of brokers and clients are pushed to
// it. A fault must be named at the end; what is harmless must have been called so, and never a fault.
func (l *lab) watch(ctx context.Context, scenarios []scenario) (right int, err error) {
	s, err := server.New(l.o.binary, "--cluster", clusterName+"="+l.cluster.Bootstrap())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Stop(), s.Remove()) }()
	defer l.endClients()
	clients, err := l.attend(ctx, s)
	if err != nil {
		return 0, err
	}
	if err := l.begin(clients, scenarios); err != nil {
		return 0, err
	}
	var first, last, aged []scenario
	for _, s := range scenarios {
		switch {
		case s.aged:
			aged = append(aged, s)
		case s.during:
			last = append(last, s)
		default:
			first = append(first, s)
		}
	}
	for _, part := range []struct {
		scenarios []scenario
		well      time.Duration
		long      time.Duration
	}{{first, 0, watchedFor}, {last, 0, restartedFor}, {aged, agedFor, watchedFor}} {
		if len(part.scenarios) == 0 {
			continue
		}
		if !pause(ctx, part.well) {
			return right, ctx.Err()
		}
		if err := l.inject(clients, part.scenarios, true); err != nil {
			return right, err
		}
		n, err := l.observe(ctx, s, part.scenarios, part.long)
		if err != nil {
			return right, err
		}
		right += n
	}
	return right, l.keep(ctx, s)
}

// attend starts a server that watches, and pushes logs to it until the clients end: with the context that it returns.
func (l *lab) attend(ctx context.Context, s *server.Server) (clients context.Context, err error) {
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	clients, stop := context.WithCancel(ctx)
	l.end = append(l.end, stop)
	l.tells = false
	if !l.o.blind {
		l.shipLogs(clients, s)
	}
	return clients, nil
}

func (l *lab) shipLogs(ctx context.Context, s *server.Server) {
	l.logs = &shipper{url: "http://" + s.HTTP + "/loki/api/v1/push?cluster=" + url.QueryEscape(clusterName), streams: map[string]*stream{}}
	l.wg.Go(func() { l.logs.run(ctx) })
	for id, path := range l.cluster.LogFiles() {
		l.wg.Go(func() {
			if err := l.logs.follow(ctx, path, map[string]string{"job": "kafka", "broker": strconv.Itoa(id)}); err != nil {
				logf("follow the log of broker %d: %v", id, err)
			}
		})
	}
}

// course is what was said of a scenario while it was watched.
type course struct {
	last   streamkeeper.Report
	given  *streamkeeper.Finding // at the end; of what is harmless, the best or worst thing ever said
	right  bool
	spoilt bool // something harmless was called a fault
}

func (c *course) take(l *lab, s *scenario, r streamkeeper.Report) {
	given, right := l.answer(s, &r)
	if l.o.blind || l.o.dark {
		if wrong := surelyWrong(s, given); !c.spoilt {
			c.last, c.given, c.right, c.spoilt = r, given, !wrong && (right || !s.plain), wrong
		}
		return
	}
	if !s.benign {
		c.last, c.given, c.right = r, given, right
		return
	}
	fault := given != nil && given.Verdict != streamkeeper.VerdictBenign
	switch {
	case c.spoilt, given == nil && c.given != nil:
	case fault, right, c.given == nil:
		c.last, c.given, c.right, c.spoilt = r, given, right, fault
	}
}

// sure is the confidence with which nothing wrong may be said, whatever is missing.
const sure = 0.9

func surelyWrong(s *scenario, given *streamkeeper.Finding) bool {
	return given != nil && given.Confidence >= sure && !s.names(given) && !(s.benign && given.Verdict == streamkeeper.VerdictBenign)
}

func (c *course) tell(l *lab, s *scenario) bool {
	l.tell(s, &c.last, c.given, c.right)
	return c.right
}

// reportOf is what the server says of its one cluster.
func reportOf(ctx context.Context, s *server.Server) (*streamkeeper.Report, error) {
	var all streamkeeper.Reports
	if err := s.Get(ctx, "/api/v1/reports", &all); err != nil {
		return nil, err
	}
	if len(all.Reports) != 1 {
		return nil, fmt.Errorf("it tells of %d clusters", len(all.Reports))
	}
	return &all.Reports[0], nil
}

// observe asks the server for its reports for some time and counts the scenarios that were named right.
func (l *lab) observe(ctx context.Context, s *server.Server, scenarios []scenario, long time.Duration) (right int, err error) {
	seen := make([]course, len(scenarios))
	for end := time.Now().Add(long); time.Now().Before(end); {
		if !pause(ctx, askEvery) {
			return 0, ctx.Err()
		}
		report, err := reportOf(ctx, s)
		if err != nil {
			continue // it is busy; the next may be answered
		}
		for i := range scenarios {
			seen[i].take(l, &scenarios[i], *report)
		}
	}
	for i := range scenarios {
		if seen[i].tell(l, &scenarios[i]) {
			right++
		}
	}
	return right, nil
}

// keep records what the server saw, where that is wanted.
func (l *lab) keep(ctx context.Context, s *server.Server) error {
	if l.o.record == "" {
		return nil
	}
	return l.recordFrom(ctx, s.HTTP, fmt.Sprintf("foreign-%d-watched.txtar.gz", os.Getpid()))
}

package probe

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// Probe sends records through one cluster and measures what becomes of them. It is a [collectors.Collector]: rounds must
// not overlap.
type Probe struct {
	o        Options
	cases    []Case
	client   *kgo.Client
	instance string // tells our records from other instances'
	metrics  *metrics
	stale    collectors.Staleness

	rounds int
	layout layout
	pinned bool // our topic has each partition's only copy on one broker
	refind bool // a group of ours has moved to another coordinator
	lanes  map[laneKey]*lane
	begun  time.Time
	mark   streamkeeper.Watermark
}

type laneKey struct {
	of     int // the case's index
	broker int32
}

// New makes a probe. It connects with the first round.
func New(o Options) (*Probe, error) {
	if o.Cluster == "" || len(o.Brokers) == 0 {
		return nil, errors.New("probing a cluster: a name and at least one broker are needed")
	}
	if err := ValidateCases(o.Cases); err != nil {
		return nil, fmt.Errorf("probing %s: %w", o.Cluster, err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(o.Brokers...),
		kgo.ClientID("streamkeeper-probe"),
		kgo.DialTimeout(ackWithin),
		kgo.RequestTimeoutOverhead(ackWithin),
		kgo.RequestRetries(0),
		kgo.RetryTimeout(ackWithin),
		kgo.MetadataMinAge(time.Second),
		kgo.DisableClientMetrics(),
	}, o.Client...)...)
	if err != nil {
		return nil, fmt.Errorf("probing %s: %w", o.Cluster, err)
	}
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	cases := append([]Case{{Name: builtIn, Topic: collectors.OwnPrefix, Size: 64}}, o.Cases...)
	for i := range cases {
		cases[i].Within = cmp.Or(cases[i].Within, DefaultWithin)
	}
	return &Probe{
		o: o, cases: cases, client: client, instance: hex.EncodeToString(id[:]), metrics: newMetrics(o.Cluster),
		lanes: map[laneKey]*lane{}, pinned: true,
	}, nil
}

// Close closes the connections. No round may be running.
func (p *Probe) Close() { p.client.Close() }

// Name is probe.
func (p *Probe) Name() string { return "probe" }

// Kind is probe.
func (p *Probe) Kind() string { return "probe" }

// Collect sends one record of each case through each broker, reads back what has come, and hands over what that shows. A
// path that is dead is what is measured here; the error is for when no path works, or when the probe cannot do its work.
func (p *Probe) Collect(ctx context.Context, now time.Time, sink collectors.Sink) error {
	if p.begun.IsZero() {
		p.begun = now
	}
	work, cancel := p.workTime(ctx)
	defer cancel()
	failed := p.look(work)
	if len(p.layout.topics) > 0 || failed == nil {
		failed = errors.Join(failed, p.settleIn(work))
	}
	p.rounds++
	lanes := p.open(now)
	p.run(work, now, lanes)
	works, events := p.conclude(now)
	if len(lanes) > 0 && !works {
		failed = errors.Join(failed, errors.New("no record comes through: "+p.why(lanes)))
	}
	return errors.Join(failed, p.tell(ctx, now, sink, failed == nil, events))
}

// workTime leaves some of a round for handing over.
func (p *Probe) workTime(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) > 2*storeGrace {
		return context.WithDeadline(ctx, deadline.Add(-storeGrace))
	}
	return context.WithCancel(ctx)
}

// open finds this round's lanes, and forgets those of brokers that are long gone.
func (p *Probe) open(now time.Time) []laneKey {
	var open []laneKey
	known := map[int32]bool{}
	for _, b := range p.layout.brokers {
		known[b] = true
	}
	for i, c := range p.cases {
		owners := map[int32]bool{}
		for _, b := range p.layout.topics[c.Topic].parts {
			owners[b] = true
		}
		for b := range owners {
			key := laneKey{i, b}
			if p.lanes[key] == nil && len(p.lanes) < maxLanes {
				p.lanes[key] = newLane(c.Within, c.Group != "")
			}
			l := p.lanes[key]
			if l == nil {
				continue
			}
			switch {
			case known[b] || b == nobody:
				l.gone = time.Time{}
			case l.gone.IsZero():
				l.gone = now
			}
			if l.gone.IsZero() || now.Sub(l.gone) < goneFor {
				open = append(open, key)
			}
		}
	}
	for key, l := range p.lanes {
		if !slices.Contains(open, key) && now.Sub(l.lastJudged()) > goneFor {
			delete(p.lanes, key)
		}
	}
	slices.SortFunc(open, func(a, b laneKey) int { return cmp.Or(cmp.Compare(a.of, b.of), cmp.Compare(a.broker, b.broker)) })
	return open
}

func (l *lane) lastJudged() (last time.Time) {
	for _, s := range l.stages {
		if s.judged.After(last) {
			last = s.judged
		}
	}
	return last
}

// run has all lanes do their round, side by side.
func (p *Probe) run(ctx context.Context, now time.Time, lanes []laneKey) {
	places := make(chan struct{}, maxAtOnce)
	var wg sync.WaitGroup
	for _, key := range lanes {
		l := p.lanes[key]
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			p.round(ctx, now, key, l)
		})
	}
	wg.Wait()
}

// round is one lane's.
func (p *Probe) round(ctx context.Context, now time.Time, key laneKey, l *lane) {
	c := p.cases[key.of]
	l.strayed = false
	place := p.layout.topics[c.Topic]
	parts := place.of(key.broker)
	if len(parts) == 0 {
		return
	}
	part := parts[l.turn%len(parts)]
	l.turn++
	committed := make(chan func(), 1)
	if group := p.layout.groups[key.broker]; key.of == 0 && group != "" {
		at := max(0, l.next[part])
		go func() { committed <- p.tryCommit(ctx, now, key, l, group, place.id, part, at) }()
	} else {
		committed <- func() {}
	}
	l.keep(parts)
	p.trySend(ctx, now, key, l, place.id, part)
	p.await(ctx, now, key, l, place.id)
	p.readAnswers(ctx, now, c, l, place.id)
	(<-committed)()
	lost, unanswered := l.settle(p.o.Now())
	if lost > 0 {
		l.judge(stageReturn, now, 0, fmt.Sprintf("acknowledged and not there after %s", l.within))
	}
	if unanswered > 0 {
		l.judge(stageAnswer, now, 0, fmt.Sprintf("group %s did not commit past it within %s", c.Group, l.within))
	}
}

// trySend sends one record and judges the acknowledgement.
func (p *Probe) trySend(ctx context.Context, now time.Time, key laneKey, l *lane, id [16]byte, part int32) {
	c, at := p.cases[key.of], p.o.Now()
	seq := l.send(part, at)
	if key.broker == nobody {
		l.failed()
		l.judge(stageAck, now, 0, fmt.Sprintf("partition %s-%d has no leader", c.Topic, part))
		return
	}
	offset, err := p.produce(ctx, key.broker, c, id, part, batch(c, markOf(p.instance, key, seq), at))
	took := p.o.Now().Sub(at)
	switch {
	case err == nil:
		l.acknowledged(seq, offset)
		l.judge(stageAck, now, took.Seconds(), "")
	case ctx.Err() != nil && took < ackWithin: // it had not the time it is allowed
		l.failed()
	default:
		l.failed()
		l.judge(stageAck, now, 0, reason(err, "not acknowledged within "+ackWithin.String()))
	}
}

// await reads back what is acknowledged, as far as the round leaves time. The built-in case reads all of its topic, which
// shows what is lost or there twice; a user's topic is read at the records' own offsets only.
func (p *Probe) await(ctx context.Context, now time.Time, key laneKey, l *lane, id [16]byte) {
	c := p.cases[key.of]
	for ctx.Err() == nil {
		s := l.waiting()
		if s == nil {
			return
		}
		from := s.offset
		if key.of == 0 {
			from = l.next[s.partition]
		}
		records, next, err := p.fetch(ctx, key.broker, c, id, s.partition, from)
		switch {
		case err != nil && ctx.Err() != nil:
			return // it may still come
		case err != nil && from < s.offset: // what lay before was deleted: go on at what is new
			l.next[s.partition] = s.offset
			continue
		case err != nil:
			l.judge(stageReturn, now, 0, reason(err, "not readable"))
			return
		}
		for _, r := range records {
			if n, mine := marked(r, p.instance, key); mine {
				if took, first := l.came(n, p.o.Now()); first {
					l.judge(stageReturn, now, took, "")
				}
			}
		}
		gone := next > s.offset && !s.returned
		if key.of == 0 || gone {
			l.read(s.partition, next)
		}
		if gone {
			l.judge(stageReturn, now, 0, "acknowledged, and reading steps over it")
		}
		if next == from {
			pause(ctx, fetchWait/10) // a broker that does not wait by itself
		}
	}
}

// readAnswers looks how far the user's group has committed.
func (p *Probe) readAnswers(ctx context.Context, now time.Time, c Case, l *lane, id [16]byte) {
	for ctx.Err() == nil {
		parts := l.awaited()
		if len(parts) == 0 {
			return
		}
		slices.Sort(parts)
		committed, err := p.committed(ctx, c.Group, c.Topic, id, slices.Compact(parts))
		if err != nil {
			return // it is not known whether it answered; what is overdue is told by settle
		}
		for part, offset := range committed {
			if took, any := l.answered(part, offset, p.o.Now()); any {
				l.judge(stageAnswer, now, took, "")
			}
		}
		pause(ctx, 2*fetchWait)
	}
}

func (p *Probe) tryCommit(ctx context.Context, now time.Time, key laneKey, l *lane, group string, id [16]byte, part int32, offset int64) func() {
	at := p.o.Now()
	err := p.commit(ctx, key.broker, group, p.cases[key.of].Topic, id, part, offset)
	took := p.o.Now().Sub(at)
	return func() {
		switch {
		case err == nil:
			l.judge(stageCommit, now, took.Seconds(), "")
		case errors.Is(err, kerr.NotCoordinator), errors.Is(err, kerr.CoordinatorNotAvailable), errors.Is(err, kerr.CoordinatorLoadInProgress):
			l.strayed = true // another broker looks after the group now
		case ctx.Err() != nil && took < commitWithin:
		default:
			l.judge(stageCommit, now, 0, reason(err, "not taken within "+commitWithin.String()))
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// reason words an error; one of time is said as such.
func reason(err error, late string) string {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return late
	}
	return err.Error()
}

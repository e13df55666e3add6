package drill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// clearTimeout is how long a run with UntilClear waits for the incident to end: windows of five minutes
// must empty first.
const clearTimeout = 8 * time.Minute

// Options of one run.
type Options struct {
	Seed       uint64
	UntilClear bool // after the fault, wait until the diagnosis is quiet again
	Hold       time.Duration
	Say        func(format string, args ...any) // progress; never nil
	// Seen is called with every report as it is read, for those who watch.
	Seen func(streamkeeper.Report)
	// CPU reads how long the machine's processors have worked and how long they exist, in any one unit; nil or
	// false: not known here.
	CPU func() (busy, all float64, ok bool)
	// Until ends the fault early when it returns true.
	Until func(Result) bool
}

// Run raises a workload on a fresh target, injects the fault, and measures what the diagnosis says of it.
// An error means the run does not count: the target, the workload or the fault did not work.
func Run(ctx context.Context, lab Lab, d Drill, o Options) (Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := rand.New(rand.NewPCG(o.Seed, 0x5eed))
	res := Result{ID: d.ID, Seed: o.Seed, Benign: d.Benign, FloorSeconds: d.Floor.Seconds(), Top: []Named{}, Wrong: []Named{}}
	o.Say("starting a broker and a diagnoser in processes of their own")
	site, err := lab.Open(ctx, Setup{Store: d.Store, Network: d.Network})
	if err != nil {
		return res, err
	}
	res.Target = site.Target
	s := &Stage{Lab: lab, Site: site, Layout: d.Layout(r), Random: r, Topic: "orders", Group: "orders", Say: o.Say}
	defer s.wg.Wait()
	defer s.watching.Wait()
	defer cancel()
	o.Say("workload: %d members, %d partitions, %.0f records/s", s.Layout.Members, s.Layout.Partitions, s.Layout.Rate)
	if err := s.raise(ctx); err != nil {
		return res, err
	}
	began := time.Now()
	cpu := startCPU(o.CPU)
	o.Say("healthy; watching for %s before the fault", d.Baseline)
	if !wait(ctx, d.Baseline) {
		return res, ctx.Err()
	}
	res.Injected = Injected{Cause: d.Cause, Entity: s.entity(d).Key(), At: time.Now().UTC(), Accept: d.Accept}
	o.Say("fault: %s", d.Title)
	s.expectPain(res.Injected.At)
	fault, stop := context.WithCancel(ctx)
	defer stop()
	if err := d.Inject(fault, s); err != nil {
		return res, fmt.Errorf("inject %s: %w", d.ID, err)
	}
	err = s.measure(ctx, d, o, &res)
	res.CPUShare = cpu.share()
	stop()
	s.wg.Wait()
	if err != nil {
		return res, err
	}
	if path, err := lab.Record(ctx, began.Add(-10*time.Second), &res); err == nil {
		res.Recording = path
	} else {
		o.Say("no recording: %v", err)
	}
	if o.UntilClear {
		cleared, err := s.clear(ctx, d)
		if err != nil {
			return res, err
		}
		res.Cleared = &cleared
	}
	return res, nil
}

// cpuMeter measures the share of the machine's CPU that is used.
type cpuMeter struct {
	read      func() (busy, all float64, ok bool)
	busy, all float64
	ok        bool
}

func startCPU(read func() (busy, all float64, ok bool)) cpuMeter {
	m := cpuMeter{read: read}
	if read != nil {
		m.busy, m.all, m.ok = read()
	}
	return m
}

// share is the part that was used since the start, nil when it is not known.
func (m cpuMeter) share() *float64 {
	if !m.ok {
		return nil
	}
	busy, all, ok := m.read()
	if !ok || all <= m.all {
		return nil
	}
	share := (busy - m.busy) / (all - m.all)
	return &share
}

// entity is the truth's entity.
func (s *Stage) entity(d Drill) streamkeeper.Entity {
	e := streamkeeper.Entity{Kind: d.EntityKind, Cluster: s.Site.Cluster}
	switch d.EntityKind {
	case streamkeeper.KindStore:
		e.Name = s.Site.StoreID
	case streamkeeper.KindBroker:
		e.Name = "0"
	case streamkeeper.KindTopic:
		e.Name = s.Topic
	default:
		e.Name = s.Group
	}
	return e
}

// measure reads the diagnoser every second while the fault lasts.
func (s *Stage) measure(ctx context.Context, d Drill, o Options, res *Result) error {
	hold := d.Hold
	if o.Hold > 0 {
		hold = o.Hold
	}
	end := res.Injected.At.Add(hold)
	var blindSince time.Time
	for time.Now().Before(end) {
		if !wait(ctx, time.Second) {
			return ctx.Err()
		}
		if res.Impact == nil && !d.Benign {
			res.Impact = d.hurt(ctx, s, time.Now())
		}
		report, err := fetch(ctx, s.Site)
		if err != nil {
			if blindSince.IsZero() {
				blindSince = time.Now()
			}
			if time.Since(blindSince) > 30*time.Second {
				return fmt.Errorf("the diagnoser does not answer: %w", err)
			}
			continue
		}
		blindSince = time.Time{}
		if report.GeneratedAt.Before(res.Injected.At) {
			continue
		}
		res.Judge(report)
		if o.Seen != nil {
			o.Seen(report)
		}
		if o.Until != nil && o.Until(*res) {
			return nil
		}
	}
	return nil
}

// clear ends the fault and waits until the diagnosis is quiet.
func (s *Stage) clear(ctx context.Context, d Drill) (bool, error) {
	if d.Clear != nil {
		if err := d.Clear(ctx, s); err != nil {
			return false, err
		}
	} else {
		for i, m := range s.member {
			start := m.spec.Start
			if err := s.set(i, func(b *Behaviour) { *b = start }); err != nil {
				return false, err
			}
		}
		if err := s.setProducer(func(p *Stream) { *p = s.stream() }); err != nil {
			return false, err
		}
	}
	for end := time.Now().Add(clearTimeout); time.Now().Before(end); {
		if !wait(ctx, 2*time.Second) {
			return false, ctx.Err()
		}
		if report, err := fetch(ctx, s.Site); err == nil && !loud(report) {
			return true, nil
		}
	}
	return false, nil
}

// fetch reads the report of the drill's cluster.
func fetch(ctx context.Context, site *Site) (streamkeeper.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+site.Diagnose+"/api/v1/reports?cluster="+site.Cluster, nil)
	if err != nil {
		return streamkeeper.Report{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return streamkeeper.Report{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return streamkeeper.Report{}, fmt.Errorf("reports: %s", resp.Status)
	}
	var out streamkeeper.Reports
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return streamkeeper.Report{}, err
	}
	if len(out.Reports) == 0 {
		return streamkeeper.Report{}, errors.New("no report yet")
	}
	return out.Reports[0], nil
}

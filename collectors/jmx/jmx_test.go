package jmx

import (
	"context"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

const every = 5 * time.Second

var start = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// exporters are what brokers tell at the moment, by metric and then by labels ("instance=a,topic=x").
type exporters map[fact]map[string]float64

func (x exporters) Read(_ context.Context, _ time.Time, qs []streamkeeper.Query) (streamkeeper.Answers, error) {
	out := streamkeeper.Answers{}
	for _, q := range qs {
		name, _, _ := strings.Cut(q.Expr, "{")
		var a streamkeeper.Answer
		for text, v := range x[fact(name)] {
			p := streamkeeper.Point{Labels: map[string]string{"cluster": "c"}, Value: v}
			for pair := range strings.SplitSeq(text, ",") {
				key, value, _ := strings.Cut(pair, "=")
				if key == "age" {
					p.Age = time.Minute
					continue
				}
				p.Labels[key] = value
			}
			a.Points = append(a.Points, p)
		}
		out[q.ID] = a
	}
	return out, nil
}

// kept is the newest value of each series, by its name and labels but the cluster and the store.
type kept map[string]float64

func (k kept) Samples(_ context.Context, samples []streamkeeper.Sample) error {
	for _, s := range samples {
		name := strings.TrimPrefix(s.Metric, "streamkeeper_")
		for _, l := range []string{"client", "api", "op"} {
			if v := s.Labels[l]; v != "" {
				name += " " + v
			}
		}
		if collectors.IsStale(s.Value) {
			delete(k, name)
			continue
		}
		k[name] = s.Value
	}
	return nil
}

func (kept) Events(context.Context, []streamkeeper.Event, streamkeeper.Watermark) error { return nil }

func (kept) Inventory(context.Context, streamkeeper.Inventory) error { return nil }

// scene is a collector with what it was told and what it tells.
type scene struct {
	t     *testing.T
	told  exporters
	tells kept
	c     *Collector
	round int
}

func newScene(t *testing.T) *scene {
	s := &scene{t: t, told: exporters{}, tells: kept{}}
	s.c = New(Options{Cluster: "c", Series: s.told, Every: every})
	return s
}

func (s *scene) set(f fact, labels string, v float64) {
	if s.told[f] == nil {
		s.told[f] = map[string]float64{}
	}
	s.told[f][labels] = v
}

func (s *scene) next() {
	s.t.Helper()
	if err := s.c.Collect(s.t.Context(), start.Add(time.Duration(s.round)*every), s.tells); err != nil {
		s.t.Fatal(err)
	}
	s.round++
}

func (s *scene) want(name string, v float64) {
	s.t.Helper()
	got, ok := s.tells[name]
	switch {
	case math.IsNaN(v) && ok:
		s.t.Errorf("round %d: %s is %v, want unknown", s.round, name, got)
	case !math.IsNaN(v) && (!ok || math.Abs(got-v) > 1e-9):
		s.t.Errorf("round %d: %s is %v (told: %v), want %v", s.round, name, got, ok, v)
	}
}

var unknown = math.NaN()

// broker tells of one broker's tier: calls begun, failed, bytes copied and waiting.
func (s *scene) broker(name string, copied, failed, bytes, waits float64) {
	at := "instance=" + name
	s.set(copies, at, copied)
	s.set(copyErrors, at, failed)
	s.set(copiedBytes, at, bytes)
	s.set(waiting, at, waits)
}

func TestTier_CountersAreSummedAndSurviveARestart(t *testing.T) {
	s := newScene(t)
	s.broker("a", 100, 3, 1000, 0)
	s.broker("b", 50, 0, 500, 0)
	s.next()
	s.want("tier_calls_total copy", 0) // what was before we came did not happen now
	s.want("tier_failures_total copy", 0)
	s.broker("a", 104, 5, 1400, 0)
	s.broker("b", 51, 0, 600, 0)
	s.next()
	s.want("tier_calls_total copy", 5)
	s.want("tier_failures_total copy", 2)
	s.want("tier_copied_bytes_total", 500)
	s.broker("a", 2, 1, 100, 0) // restarted
	s.next()
	s.want("tier_calls_total copy", 7)
	s.want("tier_failures_total copy", 3)
	s.want("tier_calls_total fetch", unknown)
}

func TestTier_TopicsAreSummedWhereNobodyTellsOfTheBroker(t *testing.T) {
	s := newScene(t)
	for _, n := range []float64{10, 14} {
		s.set(copies, "instance=a,topic=x", n)
		s.set(copies, "instance=a,topic=y", n)
		s.set(copies, "instance=b,topic=x", 7)
		s.set(copies, "instance=b", 2*n) // of the whole broker: its topics do not count besides
		s.next()
	}
	s.want("tier_calls_total copy", 16)
}

func TestTier_WhatStaysWaitingIsFrozenAndGetsOld(t *testing.T) {
	s := newScene(t)
	bytes := 0.0
	for range 5 { // a segment each second round
		s.broker("a", bytes, 0, bytes, 0)
		s.next()
		s.want("tier_oldest_seconds", 0)
		bytes += 100
		s.broker("a", bytes, 0, bytes-100, 100)
		s.next()
	}
	s.broker("a", bytes, 0, bytes, 0)
	s.next()
	s.want("tier_frozen_seconds", 0)
	for i := range 6 {
		s.broker("a", bytes, float64(i+1), bytes, float64(100*(i+1)))
		s.next()
	}
	s.want("tier_frozen_seconds", 30)
	s.want("tier_oldest_seconds", 25)
	s.want("tier_waiting_bytes", 600)
	s.broker("a", bytes, 6, bytes+250, 350) // it works again: the third is the oldest now
	s.next()
	s.want("tier_frozen_seconds", 0)
	s.want("tier_oldest_seconds", 20)
}

func TestTier_APauseLikeThoseBeforeIsNotFrozen(t *testing.T) {
	s := newScene(t)
	bytes := 0.0
	s.broker("a", 1, 0, bytes, 100)
	s.next()
	s.next()
	s.want("tier_frozen_seconds", unknown) // nobody knows yet how long a pause usually is
	for range 4 {
		bytes += 100
		for range 4 { // tasks run every four rounds, something always waits
			s.broker("a", 1, 0, bytes, 100)
			s.next()
		}
	}
	s.want("tier_frozen_seconds", 0)
	for range 8 {
		s.next()
	}
	s.want("tier_frozen_seconds", 35) // 55 s, of which 20 are usual
}

func TestTier_OneBrokerIsSilent(t *testing.T) {
	s := newScene(t)
	s.broker("a", 1, 0, 0, 10)
	s.broker("b", 1, 0, 0, 20)
	s.next()
	s.want("tier_waiting_bytes", 30)
	for f := range s.told {
		delete(s.told[f], "instance=b")
	}
	s.broker("a", 2, 1, 0, 10)
	s.next()
	s.want("tier_waiting_bytes", unknown)
	s.want("tier_frozen_seconds", unknown)
	s.want("tier_failures_total copy", 1) // what is told did happen
}

func TestTier_TimesAreThoseOfReadsThatSucceed(t *testing.T) {
	s := newScene(t)
	tell := func(count, mean, fails float64) {
		s.broker("a", 1, 0, 0, 0)
		s.set(fetches, "instance=a", count)
		s.set(fetchErrors, "instance=a", fails)
		s.set(reads, "instance=a", count)
		s.set(readMean, "instance=a", mean)
		s.next()
	}
	tell(1000, 20, 0)
	s.want("tier_reads_total", 0)
	tell(1010, (1000*20.0+10*2000)/1010, 0) // ten that took two seconds
	s.want("tier_reads_total", 10)
	s.want("tier_read_seconds_total", 20)
	tell(1020, (1000*20.0+10*2000+10*9000)/1020, 10) // and ten that failed
	s.want("tier_reads_total", 10)
	s.want("tier_read_seconds_total", 20)
	tell(4, 50, 0) // restarted
	s.want("tier_reads_total", 14)
	s.want("tier_read_seconds_total", 20.2)
}

func TestTier_CopiersAreBusy(t *testing.T) {
	s := newScene(t)
	for i := range 3 {
		s.broker("a", float64(i), 0, 0, 0)
		s.broker("b", float64(i), 0, 0, 0)
		s.set(copierIdle, "instance=a", 0.5)
		s.set(copierIdle, "instance=b", 1)
		s.next()
	}
	s.want("tier_copier_busy_ratio", 0.25)
	s.want("tier_copier_busy_seconds_total", 2.5)
	s.want("tier_copies_total", 4)
}

func TestNothingTold(t *testing.T) {
	s := newScene(t)
	s.next()
	if d := cmp.Diff(kept{}, s.tells); d != "" {
		t.Error(d)
	}
}

func TestThrottles_OnTheBrokerWhereItIsMost(t *testing.T) {
	s := newScene(t)
	s.set(throttleTime, "instance=a,resource=Fetch,client_id=slow", 10)
	s.set(throttleTime, "instance=b,resource=Fetch,client_id=slow", 750)
	s.set(throttleTime, "instance=b,resource=Produce,client_id=slow", math.NaN()) // none was held back lately
	s.set(byteRate, "instance=a,resource=Fetch,client_id=slow", 1000)
	s.set(byteRate, "instance=b,resource=Produce,user=alice", 5)
	s.set(throttleTime, `instance=b,resource=Request,user="a*b",client_id=x`, 20)
	s.set(byteRate, "instance=b,resource=Produce,client_id=old,age=1", 5)
	s.next()
	want := kept{
		"client_throttle_time_seconds slow produce": 0,
		"client_throttle_time_seconds slow fetch":   0.75, "client_bytes_per_second slow fetch": 1000,
		"client_bytes_per_second alice produce": 5, "client_throttle_time_seconds x request": 0.02,
	}
	if d := cmp.Diff(want, s.tells); d != "" {
		t.Error(d)
	}
}

// TestCapture reads what the exporter told, with our rules, of a broker of Apache Kafka 4.4 with tiered storage and quotas.
func TestCapture(t *testing.T) {
	file, err := os.Open("testdata/kafka-4.4.prom")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(file)
	if err != nil {
		t.Fatal(err)
	}
	s := newScene(t)
	for name, family := range families {
		for _, m := range family.GetMetric() {
			labels := []string{"instance=a"}
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			if f := fact(name); f != readTimes || slices.Contains(labels, "quantile=0.95") {
				s.set(f, strings.Join(labels, ","), m.GetUntyped().GetValue())
			}
		}
	}
	for _, f := range facts {
		if len(s.told[f]) == 0 {
			t.Errorf("nothing is told of %s", f)
		}
	}
	s.next()
	s.want("tier_calls_total fetch", 0)
	s.want("tier_waiting_bytes", 0)
	s.want("tier_read_p95_seconds", 0.03156841009999997)
	s.want("tier_copier_busy_ratio", 0)
	s.want("client_throttle_time_seconds quota-throttling-consumer-0 fetch", 9.460833333333334)
	s.want("client_bytes_per_second quota-throttling-consumer-0 fetch", 27676.101788677854)
	s.want("client_throttle_time_seconds tiered-0 fetch", 0) // NaN, as no request was held back lately
}

package probe

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// conclude feeds the metrics, and tells what began to fail or is well again. works is whether any path does.
func (p *Probe) conclude(now time.Time) (works bool, events []streamkeeper.Event) {
	p.metrics.begin()
	defer p.metrics.end()
	for key, l := range p.lanes {
		c, broker := p.cases[key.of], brokerName(key.broker)
		p.metrics.fates(broker, c, l)
		if l.strayed {
			delete(p.layout.groups, key.broker)
			p.refind = true
		}
		for i := range l.stages {
			s := &l.stages[i]
			if !s.known || now.Sub(s.judged) > goneFor {
				continue
			}
			works = works || s.ok && s.judged.Equal(now)
			p.metrics.stage(broker, c, i, s, now)
			s.observed = s.observed[:0]
			if s.ok == l.told[i] { // a change
				l.told[i] = !s.ok
				events = append(events, p.event(key, c, i, s, now))
			}
		}
	}
	return works, events
}

// why is the first reason that a lane has for not working.
func (p *Probe) why(lanes []laneKey) string {
	for _, key := range lanes {
		for i, s := range p.lanes[key].stages {
			if s.known && !s.ok {
				return fmt.Sprintf("broker %s: %s: %s", brokerName(key.broker), stageNames[i], s.why)
			}
		}
	}
	return "the round ended first"
}

func (p *Probe) event(key laneKey, c Case, i int, s *stage, now time.Time) streamkeeper.Event {
	broker := brokerName(key.broker)
	e := streamkeeper.Event{
		At: now.UTC(), Kind: "probe_failed", Source: "probe",
		Entity: streamkeeper.Entity{Kind: streamkeeper.KindBroker, Name: broker, Cluster: p.o.Cluster},
		Attrs:  map[string]any{"broker": broker, "case": c.Name, "stage": stageNames[i]},
	}
	if key.of > 0 {
		e.Entity.Kind, e.Entity.Name = streamkeeper.KindTopic, c.Topic
		e.Attrs["topic"] = c.Topic
	}
	if c.Group != "" {
		e.Attrs["group"] = c.Group
	}
	if s.ok {
		e.Kind, e.Text = "probe_recovered", fmt.Sprintf("probe %s: broker %s: %s works again", c.Name, broker, stageNames[i])
		return e
	}
	e.Attrs["reason"] = s.why
	e.Text = fmt.Sprintf("probe %s: broker %s: %s: %s", c.Name, broker, stageNames[i], s.why)
	return e
}

// tell hands over a round. The watermark moves only when the probe could work.
func (p *Probe) tell(ctx context.Context, now time.Time, sink collectors.Sink, worked bool, events []streamkeeper.Event) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	samples, err := p.metrics.samples(now)
	if serr := sink.Samples(ctx, p.stale.Mark(now, samples)); serr != nil {
		err = errors.Join(err, fmt.Errorf("storing samples of the probe: %w", serr))
	}
	if worked {
		p.mark = streamkeeper.Watermark{Source: "probe", Cluster: p.o.Cluster, From: p.begun.UTC(), Through: now.UTC(), Heartbeat: now.UTC()}
	}
	if len(events) > 0 || worked {
		if serr := sink.Events(ctx, events, p.mark); serr != nil {
			err = errors.Join(err, fmt.Errorf("storing events of the probe: %w", serr))
		}
	}
	return err
}

func brokerName(id int32) string {
	if id == nobody {
		return "none"
	}
	return strconv.Itoa(int(id))
}

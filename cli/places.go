package cli

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors/events"
	"github.com/streamkeeper-io/streamkeeper/collectors/inventory"
	"github.com/streamkeeper-io/streamkeeper/collectors/series"
)

// places is where collected data lies, and the collectors' Sink. It also remembers, for a bounded time, in
// which rounds events and inventories came, so that a recording replays exactly what the diagnosis saw.
type places struct {
	series *series.Store
	events *events.Log
	world  *inventory.World
	now    func() time.Time

	mu          sync.Mutex
	rounds      []round
	inventories []streamkeeper.Inventory
	inventoried int // the size of all of them
}

// round is what one round of an event source brought.
type round struct {
	At        time.Time              `json:"at"`
	Watermark streamkeeper.Watermark `json:"watermark"`
	Events    []streamkeeper.Event   `json:"events,omitempty"`
}

// Bounds of what is remembered for recordings: an hour of a few sources at 5 s.
const (
	maxRounds      = 5000
	maxInventories = 500
	maxInventoried = 50_000 // topics, groups and members in all of them: a fleet's inventory changes each round
)

// openPlaces opens the measurements at a folder, or in a temporary one when dir is empty.
func openPlaces(o series.Options, now func() time.Time) (*places, error) {
	open := series.Open
	if o.Dir == "" {
		open = series.Memory
	}
	o.Now = now
	store, err := open(o)
	if err != nil {
		return nil, err
	}
	return &places{series: store, events: events.NewLog(events.Options{}), world: inventory.NewWorld(0), now: now}, nil
}

// Close closes the measurements.
func (p *places) Close() error { return p.series.Close() }

// Samples keeps measurements.
func (p *places) Samples(ctx context.Context, s []streamkeeper.Sample) error {
	p.world.Learn(s)
	return p.series.Append(ctx, s)
}

// Events keeps dated facts.
func (p *places) Events(_ context.Context, ev []streamkeeper.Event, w streamkeeper.Watermark) error {
	p.events.Add(ev, w)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rounds = append(p.rounds, round{At: p.now().UTC(), Watermark: w, Events: ev})
	if extra := len(p.rounds) - maxRounds; extra > 0 {
		p.rounds = slices.Delete(p.rounds, 0, extra)
	}
	return nil
}

// Inventory keeps what a collector saw of a cluster.
func (p *places) Inventory(_ context.Context, inv streamkeeper.Inventory) error {
	p.world.Add(inv)
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.inventories) - 1; i >= 0; i-- {
		last := p.inventories[i]
		if last.Cluster == inv.Cluster && last.Source == inv.Source {
			if sameBut(last, inv) {
				return nil // a change is what a recording needs, not every look
			}
			break
		}
	}
	p.inventories = append(p.inventories, inv)
	p.inventoried += inventorySize(inv)
	drop := 0
	for len(p.inventories)-drop > maxInventories || p.inventoried > maxInventoried && len(p.inventories)-drop > 1 {
		p.inventoried -= inventorySize(p.inventories[drop])
		drop++
	}
	p.inventories = slices.Delete(p.inventories, 0, drop)
	return nil
}

func inventorySize(inv streamkeeper.Inventory) int {
	n := len(inv.Brokers) + len(inv.Topics) + len(inv.Stores)
	for _, g := range inv.Groups {
		n += 1 + len(g.Members)
	}
	return n
}

// sameBut reports whether two inventories differ in their time only.
func sameBut(a, b streamkeeper.Inventory) bool {
	a.At, b.At = time.Time{}, time.Time{}
	return reflect.DeepEqual(a, b)
}

// remembered returns what came from since to to, and the newest inventory of each source before it.
func (p *places) remembered(cluster string, since, to time.Time) ([]round, []streamkeeper.Inventory) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var rounds []round
	for _, r := range p.rounds {
		if r.Watermark.Cluster == cluster && !r.At.Before(since) && !r.At.After(to) {
			rounds = append(rounds, r)
		}
	}
	var inventories []streamkeeper.Inventory
	before := map[string]streamkeeper.Inventory{}
	for _, inv := range p.inventories {
		switch {
		case inv.Cluster.Name != cluster || inv.At.After(to):
		case inv.At.Before(since):
			inv.At = since
			before[inv.Source] = inv
		default:
			inventories = append(inventories, inv)
		}
	}
	for _, inv := range before {
		inventories = append(inventories, inv)
	}
	slices.SortStableFunc(inventories, func(a, b streamkeeper.Inventory) int { return a.At.Compare(b.At) })
	return rounds, inventories
}

package drill

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// When the clients count as hurt. Rebalances and restarts happen in healthy groups too: one is no impact.
const (
	hurtBehind      = 10 * time.Second
	hurtRevocations = 3 // of one member's partitions
	hurtDeaths      = 2
	hurtStoreErrors = 3
	hurtStoreSilent = 10 * time.Second
)

// pain is what is kept to tell whether a fault hurt.
type pain struct {
	injected time.Time
	revoked  []int64 // by member, before the injection
	deaths   int
	first    map[string]float64 // seconds after the injection of the first sign, by kind

	store      Stats // before the injection
	storeMoved time.Time

	looked time.Time // at the committed offsets
}

// expectPain remembers how things stood when the fault was injected.
func (s *Stage) expectPain(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pain = pain{injected: now, deaths: s.deaths, first: map[string]float64{}, storeMoved: now}
	for _, m := range s.member {
		s.pain.revoked = append(s.pain.revoked, m.revoked+m.w.Stats().Revoked)
	}
	if store := s.Lab.Store(); store != nil {
		s.pain.store = store.Stats()
	}
}

// clientsHurt tells how the clients are hurt, nil while they are not: a partition is processed late, a member lost
// its partitions again and again, or processes died. The moment is the first sign's.
func (s *Stage) clientsHurt(now time.Time) *Impact {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.pain
	after := now.Sub(p.injected).Seconds()
	sign := func(kind string) float64 {
		if _, ok := p.first[kind]; !ok {
			p.first[kind] = after
		}
		return p.first[kind]
	}
	if part, behind := s.meter.worst(now); behind >= hurtBehind {
		return &Impact{fmt.Sprintf("partition %d is processed %.0f s late", part, behind.Seconds()), after}
	}
	if n := s.deaths - p.deaths; n > 0 {
		if at := sign("deaths"); n >= hurtDeaths {
			return &Impact{fmt.Sprintf("%d processes died", n), at}
		}
	}
	for i, m := range s.member {
		before := int64(0)
		if i < len(p.revoked) {
			before = p.revoked[i]
		}
		n := m.revoked + m.w.Stats().Revoked - before
		if n <= 0 {
			continue
		}
		if at := sign("revoked"); n >= hurtRevocations {
			return &Impact{fmt.Sprintf("%s lost its partitions %d times", m.spec.ClientID, n), at}
		}
	}
	return nil
}

// storeHurt tells how the object store fails its callers: it answers them badly, or nobody reaches it although
// there is something to store.
func storeHurt(_ context.Context, s *Stage, now time.Time) *Impact {
	stats := s.Lab.Store().Stats()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.pain
	after := now.Sub(p.injected).Seconds()
	if n := stats.Errors - p.store.Errors; n >= hurtStoreErrors {
		return &Impact{fmt.Sprintf("the object store failed %d calls", n), after}
	}
	if stats.Records > p.store.Records {
		p.store.Records, p.storeMoved = stats.Records, now
	}
	if silent := now.Sub(p.storeMoved); silent >= hurtStoreSilent {
		return &Impact{fmt.Sprintf("no call has reached the object store for %.0f s", silent.Seconds()), after}
	}
	return nil
}

// commitsHurt tells that a restart would process again what was processed long ago: the committed offsets stay
// ten seconds and more behind.
func commitsHurt(ctx context.Context, s *Stage, now time.Time) *Impact {
	s.mu.Lock()
	looked := s.pain.looked
	s.mu.Unlock()
	if now.Sub(looked) < 5*time.Second {
		return nil
	}
	committed, err := s.committed(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pain.looked = now
	if err != nil {
		return nil // not known is not hurt; the next look may know
	}
	if open := s.meter.done() - committed; float64(open) >= hurtBehind.Seconds()*s.Layout.Rate {
		return &Impact{fmt.Sprintf("%d records were processed and not committed", open), now.Sub(s.pain.injected).Seconds()}
	}
	return nil
}

// committed is the sum of the group's committed offsets.
func (s *Stage) committed(ctx context.Context) (int64, error) {
	var offsets kadm.OffsetResponses
	err := admin(ctx, s.Site, func(ctx context.Context, a *kadm.Client) (err error) {
		offsets, err = a.FetchOffsets(ctx, s.Group)
		return err
	})
	if err != nil {
		return 0, err
	}
	n := int64(0)
	for _, o := range offsets[s.Topic] {
		if o.Err != nil {
			return 0, o.Err
		}
		n += max(o.At, 0)
	}
	return n, nil
}

package broker

import (
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/streamkeeper-io/streamkeeper/engine"
)

// Describe implements prometheus.Collector. The collector is unchecked: which series exist follows the data.
func (t *Telemetry) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector. It calls nothing that leaves the process.
func (t *Telemetry) Collect(ch chan<- prometheus.Metric) {
	s, d, now := sink(ch), t.descs, t.o.Now()
	b := t.broker.Load()
	s.gauge(d.up, truth(b != nil))
	s.gauge(d.start, float64(t.started.UnixNano())/1e9)
	s.gauge(d.build, 1, buildVersion(), runtime.Version())
	s.counter(d.events, float64(t.ring.told()))
	t.collectAPIs(s)
	t.collectStore(s)
	s <- t.flushTime.metric(d.flushSeconds)
	s <- t.flushSize.metric(d.flushBytes)
	t.refusals.each(func(reason string, n float64) { s.counter(d.refused, n, reason) })
	t.full.each(func(outcome string, n float64) { s.counter(d.full, n, outcome) })
	t.throttles.each(func(k throttleKey, n float64) { s.counter(d.throttled, n, k.client, k.reason) })
	t.pushes.each(func(code string, n float64) { s.counter(t.clients.pushes, n, code) })
	if b == nil {
		return
	}
	b.clientMetrics.collect(s, t.clients)
	txns := undecided(b.engine.OpenTransactions(), now)
	t.collectTransactions(s, b, now)
	t.collectTopics(s, b, now, txns)
	t.collectBroker(s, b)
	e := b.engine.Stats()
	t.collectEngine(s, e, now)
	t.collectUpkeep(s, e)
	b.groups.collect(ch)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// collectAPIs tells the announced APIs from the start, and errors once they happened.
func (t *Telemetry) collectAPIs(s sink) {
	b := t.broker.Load()
	for key := range int16(maxAPIKey) {
		m := &t.apis[key]
		if n := m.requests.Load(); n > 0 || b != nil && b.apis[key] != nil {
			s.counter(t.descs.requests, float64(n), apiName(key))
		}
		for p := range phases {
			if h := m.seconds[p].Load(); h != nil {
				s <- h.metric(t.descs.requestSeconds, apiName(key), phaseNames[p])
			}
		}
	}
	t.errors.each(func(k errorKey, n float64) {
		s.counter(t.descs.requestErrors, n, apiName(k.key), codeName(k.code))
	})
}

func (t *Telemetry) collectStore(s sink) {
	d, store := t.descs, t.o.Store
	t.calls.each(func(k callKey, n float64) {
		s.counter(d.storeCalls, n, store, k.op, k.class, strconv.FormatBool(k.answered))
	})
	for i, op := range storeOps {
		s <- t.callTimes[i][0].metric(d.storeSeconds, store, op, "ok")
		s <- t.callTimes[i][1].metric(d.storeSeconds, store, op, "failed")
	}
	s.counter(d.offloaded, float64(t.offloaded.Load()), store)
	s <- t.cold.metric(d.coldSeconds, store)
}

func (t *Telemetry) collectTopics(s sink, b *Broker, now time.Time, txns map[string]*topicTxns) {
	topics := b.engine.Topics()
	for i, topic := range topics {
		if i >= maxTopicSeries {
			break
		}
		t.topic(topic.Name)
	}
	exists := func(name string) bool {
		_, ok := slices.BinarySearchFunc(topics, name, func(t engine.Topic, name string) int {
			switch {
			case t.Name < name:
				return -1
			case t.Name > name:
				return 1
			}
			return 0
		})
		return ok
	}
	d := t.descs
	for _, m := range t.sweep(now, exists) {
		s.counter(d.messagesIn, float64(m.messagesIn.Load()), m.name)
		s.counter(d.bytesIn, float64(m.bytesIn.Load()), m.name)
		s.counter(d.bytesOut, float64(m.bytesOut.Load()), m.name)
		s.counter(d.produces, float64(m.produceRequests.Load()), m.name)
		s.gauge(d.producers, float64(m.producing(now)), m.name)
		s <- m.endToEnd.metric(d.endToEnd, m.name)
		if m.name != otherName {
			txns[m.name].collect(s, d, m.name)
			delete(txns, m.name)
		}
		m.mu.Lock()
		for code, n := range m.errors {
			s.counter(d.produceErrors, float64(n), m.name, codeName(code))
		}
		m.mu.Unlock()
	}
	rest := &topicTxns{}
	for _, x := range txns {
		rest.add(x)
	}
	rest.collect(s, d, otherName)
}

func (t *Telemetry) collectBroker(s sink, b *Broker) {
	d := t.descs
	s.gauge(d.connections, float64(b.conns.count()))
	sessions, _ := b.sessions.count()
	s.gauge(d.sessions, float64(sessions))
	small, large, _ := b.budget.usage()
	for _, m := range []struct {
		owner       string
		used, limit int64
	}{
		{"requests", small, b.budget.common + smallReserve},
		{"large_requests", large, b.budget.largePart + b.budget.maxLarge},
		{"fetch_answers", b.budget.pinned.used.Load(), b.budget.pinned.limit},
	} {
		s.gauge(d.memory, float64(m.used), m.owner, "used")
		s.gauge(d.memory, float64(m.limit), m.owner, "limit")
	}
}

// collectUpkeep tells of rewriting and compaction.
func (t *Telemetry) collectUpkeep(s sink, e engine.Stats) {
	d, store := t.descs, t.o.Store
	s.gauge(d.objectBytes, float64(e.LiveObjectBytes), store, "live")
	s.gauge(d.objectBytes, float64(e.ObjectBytes-e.LiveObjectBytes), store, "dead")
	s.gauge(d.orphans, float64(e.Orphans), store)
	s.gauge(d.untold, float64(e.Untold), store)
	s.counter(d.rewrites, float64(e.Rewrites), store)
	s.counter(d.rewriteBytes, float64(e.RewriteBytes), store)
	s.counter(d.compactions, float64(e.Compactions))
	if e.UncompactedBytes >= 0 {
		s.gauge(d.uncompacted, float64(e.UncompactedBytes))
	}
}

func (t *Telemetry) collectEngine(s sink, e engine.Stats, now time.Time) {
	d, store := t.descs, t.o.Store
	s.gauge(d.queueDepth, float64(e.QueueBatches))
	s.gauge(d.localBytes, float64(e.LocalBytes), "used")
	s.gauge(d.localBytes, float64(e.LocalSoftBytes), "soft")
	s.gauge(d.localBytes, float64(e.LocalHardBytes), "hard")
	for _, p := range []engine.Pressure{engine.PressureNormal, engine.PressureStretched, engine.PressureThrottling, engine.PressureRefusing} {
		s.gauge(d.pressure, truth(e.Pressure == p), string(p))
	}
	s.gauge(d.indexLag, float64(e.IndexLagBytes))
	s.gauge(d.logFailed, truth(e.LogFailed))
	s.gauge(d.partitions, float64(e.Partitions))
	s.gauge(d.objects, float64(e.Objects))
	s.gauge(d.probeFailures, float64(e.ProbeFailures), store)
	if !e.LastProbeOK.IsZero() {
		s.gauge(d.probeAge, max(now.Sub(e.LastProbeOK).Seconds(), 0), store)
	}
	s.gauge(d.uploads, float64(e.UploadsInFlight), store)
	s.gauge(d.uploadsAllowed, float64(e.UploadsAllowed), store)
	s.gauge(d.uploadOldest, max(e.OldestUploadAge, 0), store)
	s.gauge(d.offloadPending, float64(e.ClosedBytes), store)
	s.gauge(d.offloadOldest, max(e.OldestClosedAge, 0), store)
	s.gauge(d.offloadFrozen, max(e.FrozenSeconds, 0), store)
	s.counter(d.coldWaits, float64(e.PoolWaits), store)
	s.gauge(d.slicePool, float64(e.PoolUsed), store, "used")
	s.gauge(d.slicePool, float64(e.PoolLimit), store, "limit")
	s.counter(d.sliceHits, float64(e.PoolHits), store)
	s.counter(d.sliceMisses, float64(e.PoolMisses), store)
	s.counter(d.evicted, float64(e.PoolEvictions), store)
}

package deploys

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// Bounds of what comes in.
const (
	maxBody     = 1 << 20
	bodyTimeout = 10 * time.Second
	maxWaiting  = 1000           // marks of one cluster between two of its rounds
	maxAge      = 24 * time.Hour // of a mark
	maxAhead    = 10 * time.Minute
	onceWithin  = 15 * time.Minute // a rollout is told again and again while it runs: one event
	maxMemory   = 5000
)

// World is what is known of a cluster's groups. It must be safe for concurrent use.
type World interface {
	Inventory(cluster string) streamkeeper.Inventory
}

// Receiver takes deploys for all clusters. It is an http.Handler, safe for concurrent use.
type Receiver struct {
	world World
	now   func() time.Time

	mu      sync.Mutex
	sources map[string]*Source
	sets    map[string]string    // Deployment to its newest replica set
	pods    map[string]time.Time // stateful sets' pods, when they were deleted
	told    map[string]time.Time // rollouts
}

// NewReceiver makes a receiver without clusters; add them with Source.
func NewReceiver(world World, now func() time.Time) *Receiver {
	return &Receiver{
		world: world, now: now, sources: map[string]*Source{}, sets: map[string]string{}, pods: map[string]time.Time{}, told: map[string]time.Time{},
	}
}

// ServeHTTP takes one body; cluster and group may be named in the address, for senders whose body nobody can change. The answer
// is 202 with how many deploys were taken and how much told of none.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	// A sender that stalls must not stay. Recorders in tests know no deadlines.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		fail(w, http.StatusRequestEntityTooLarge, err)
		return
	}
	marks, ignored, err := Parse(body)
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	q := req.URL.Query()
	taken := 0
	for _, m := range marks {
		m.Cluster, m.Group = first(q.Get("cluster"), m.Cluster), first(q.Get("group"), m.Group)
		ok, err := r.add(m)
		if err != nil {
			fail(w, http.StatusBadRequest, err)
			return
		}
		if ok {
			taken++
		} else {
			ignored++
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(map[string]int{"taken": taken, "ignored": ignored})
}

func fail(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}

// add queues a mark for the rounds of its cluster; false when it is a rollout that was told already.
func (r *Receiver) add(m Mark) (bool, error) {
	now := r.now()
	if m.At.IsZero() {
		m.At = now
	}
	if now.Sub(m.At) > maxAge || m.At.Sub(now) > maxAhead {
		return false, fmt.Errorf("a deploy at %s is %s from now: want one of the last 24 h", m.At.Format(time.RFC3339), m.At.Sub(now).Round(time.Minute))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.Cluster != "" && r.sources[m.Cluster] == nil {
		return false, fmt.Errorf("cluster %q is not watched here", m.Cluster)
	}
	if m = r.settle(m, now); r.again(m, now) {
		return false, nil
	}
	queued := false
	for name, s := range r.sources {
		if m.Cluster == "" || m.Cluster == name {
			queued = s.queue(m, len(r.sources) == 1 || m.Cluster != "") || queued
		}
	}
	return queued, nil
}

// settle tells a Deployment's rollout from a change of its scale, and a stateful set's from new pods: by what came before.
// The caller holds mu.
func (r *Receiver) settle(m Mark, now time.Time) Mark {
	key := m.Namespace + "/" + m.App
	switch {
	case m.set != "":
		if m.size == "" && r.sets[key] == m.set {
			m.size = "1" // up from nothing again, the same version: scaled to zero before
		}
		if len(r.sets) < maxMemory || r.sets[key] != "" {
			r.sets[key] = m.set
		}
	case m.pod != "":
		pod := m.Namespace + "/" + m.pod
		if m.gone {
			if len(r.pods) < maxMemory {
				r.pods[pod] = now
			}
			m.silent = true
			return m
		}
		at, ok := r.pods[pod]
		delete(r.pods, pod)
		m.silent = !ok || now.Sub(at) > onceWithin
	}
	return m
}

// again reports whether the mark tells of a rollout that is known, or of none. A failure is news. The caller holds mu.
func (r *Receiver) again(m Mark, now time.Time) bool {
	for key, at := range r.told {
		if now.Sub(at) > onceWithin {
			delete(r.told, key)
		}
	}
	for pod, at := range r.pods {
		if now.Sub(at) > onceWithin {
			delete(r.pods, pod)
		}
	}
	if m.silent {
		return true
	}
	if m.Tool == "mark" {
		return false // whoever says it twice means it
	}
	key := m.Tool + "/" + m.Cluster + "/" + m.Namespace + "/" + m.App + "/" + m.Version + "/" + m.size
	if m.Phase == "failed" {
		key += "/failed"
	}
	if _, ok := r.told[key]; ok || len(r.told) >= maxMemory {
		return ok
	}
	r.told[key] = now
	return false
}

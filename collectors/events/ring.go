package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

const (
	pageSize  = 1000
	maxPages  = 20       // of one round: a ring that refills faster than it is read is read on next round
	maxPage   = 16 << 20 // bytes of one answer
	epochBits = 40       // a sequence number is epoch<<40 | the ring's own number
)

// RingOptions configure a Ring.
type RingOptions struct {
	Cluster string
	// Source is the name events and watermarks are stored under; "" means broker. A cluster with several
	// brokers needs one name each.
	Source string
	URL    string       // of the ring: http://host:port/api/v1/broker/events
	Client *http.Client // nil means a client with its own connection pool and no redirects abroad
}

// Ring reads a broker's event ring over HTTP, from where it stopped the round before. It is a
// [collectors.Collector].
type Ring struct {
	o     RingOptions
	after uint64 // the ring's sequence number to continue from
	epoch uint64 // how many times the ring started over, so that its numbers stay unique
	mark  streamkeeper.Watermark
	boot  string
	// restarted is set until the first page of a new process is read: what the old one had still to tell is lost.
	restarted bool
}

// NewRing makes a collector for one ring.
func NewRing(o RingOptions) *Ring {
	if o.Source == "" {
		o.Source = "broker"
	}
	if o.Client == nil {
		o.Client = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	}
	return &Ring{o: o}
}

// Name is the source's name.
func (r *Ring) Name() string { return "events-" + r.o.Source }

// Kind is events.
func (r *Ring) Kind() string { return "events" }

// page is the ring's answer; see docs/telemetry.md.
type page struct {
	Events    []streamkeeper.Event   `json:"events"`
	Watermark streamkeeper.Watermark `json:"watermark"`
	Next      uint64                 `json:"next"`
	Lost      uint64                 `json:"lost"`
	Boot      string                 `json:"boot"` // differs for each start of the process
}

// Collect reads what the ring has gained and hands it over with the watermark. The watermark's From stays
// where it was as long as nothing was missed; lost events and a restarted source move it to what the
// source still covers.
func (r *Ring) Collect(ctx context.Context, _ time.Time, s collectors.Sink) error {
	for range maxPages {
		p, err := r.read(ctx, r.after)
		if err != nil {
			return err
		}
		if r.isOther(p) {
			r.boot = p.Boot
			r.epoch++
			r.after = 0
			r.restarted = true
			continue
		}
		complete := len(p.Events) < pageSize
		r.stamp(&p)
		if err := s.Events(ctx, p.Events, r.advance(p, complete)); err != nil {
			return fmt.Errorf("storing events of %s: %w", r.o.URL, err)
		}
		r.after = p.Next
		if complete {
			return nil
		}
	}
	return fmt.Errorf("reading events from %s: more than %d in one round, the rest follows", r.o.URL, maxPages*pageSize)
}

// isOther reports whether another process answers now, whose ring starts over: it says so, or its numbers
// went back.
func (r *Ring) isOther(p page) bool {
	if r.boot == "" {
		r.boot = p.Boot
	}
	return p.Next < r.after || p.Boot != r.boot
}

// advance merges the page's watermark into ours. An incomplete page covers only up to its last event.
func (r *Ring) advance(p page, complete bool) streamkeeper.Watermark {
	w := p.Watermark
	w.Source, w.Cluster = r.o.Source, r.o.Cluster
	switch {
	case r.restarted:
		w.From = startOf(p)
	case !r.mark.Through.IsZero() && p.Lost == 0:
		w.From = r.mark.From
	}
	r.restarted = false
	if !complete {
		w.Through = p.Events[len(p.Events)-1].At
	}
	r.mark = w
	return w
}

// startOf is when the process that answered began to tell. Its own word counts, unless it claims all the
// past: it cannot speak for the process before it.
func startOf(p page) time.Time {
	if !p.Watermark.From.IsZero() {
		return p.Watermark.From
	}
	for _, e := range p.Events {
		if e.Kind == "broker_started" {
			return e.At
		}
	}
	return p.Watermark.Through
}

func (r *Ring) stamp(p *page) {
	for i := range p.Events {
		e := &p.Events[i]
		e.Source = r.o.Source
		e.Entity.Cluster = r.o.Cluster
		if e.Seq != 0 {
			e.Seq = r.epoch<<epochBits | e.Seq
		}
		e.At = e.At.UTC()
	}
}

func (r *Ring) read(ctx context.Context, after uint64) (page, error) {
	target, err := url.Parse(r.o.URL)
	if err != nil {
		return page{}, fmt.Errorf("reading events: %w", err)
	}
	query := target.Query()
	query.Set("after", strconv.FormatUint(after, 10))
	query.Set("limit", strconv.Itoa(pageSize))
	target.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return page{}, fmt.Errorf("reading events: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	res, err := r.o.Client.Do(req)
	if err != nil {
		return page{}, fmt.Errorf("reading events: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxPage+1))
	switch {
	case err != nil:
		return page{}, fmt.Errorf("reading events from %s: %w", r.o.URL, err)
	case res.StatusCode != http.StatusOK:
		return page{}, fmt.Errorf("reading events from %s: HTTP %s", r.o.URL, res.Status)
	case len(body) > maxPage:
		return page{}, fmt.Errorf("reading events from %s: the answer is over %d bytes", r.o.URL, maxPage)
	}
	return decodePage(body)
}

// decodePage reads an answer of the ring and refuses one that promises nothing.
func decodePage(body []byte) (page, error) {
	var p page
	if err := json.Unmarshal(body, &p); err != nil {
		return page{}, fmt.Errorf("reading events: %w", err)
	}
	if p.Watermark.Through.IsZero() {
		return page{}, errors.New("reading events: the answer has no watermark")
	}
	return p, nil
}

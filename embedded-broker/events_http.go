package broker

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	pageDefault = 500
	pageMax     = 5000
	heartbeat   = 2 * time.Second // how often a stream tells its watermark
	sseWrite    = 10 * time.Second
)

// Events serves the ring: GET ?after=SEQ&limit=N answers a page as JSON; with "Accept: text/event-stream" it streams
// events ("event: event", data an event) and watermarks ("event: watermark", data a page without events) until the client
// leaves. Last-Event-ID stands for after.
func (t *Telemetry) Events() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			http.Error(w, "only GET is served here", http.StatusMethodNotAllowed)
			return
		}
		after, limit, err := position(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
			t.ring.stream(w, r, after)
			return
		}
		p, _ := t.ring.read(after, limit)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		// An error here means that the client left.
		_ = json.NewEncoder(w).Encode(p)
	})
}

func position(r *http.Request) (after uint64, limit int, err error) {
	q := r.URL.Query()
	text := q.Get("after")
	if id := r.Header.Get("Last-Event-ID"); id != "" && text == "" {
		text = id
	}
	if text != "" {
		if after, err = strconv.ParseUint(text, 10, 63); err != nil {
			return 0, 0, fmt.Errorf("after=%q: want the next of an earlier answer", text)
		}
	}
	limit = pageDefault
	if s := q.Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 {
			return 0, 0, fmt.Errorf("limit=%q: want a number from 1 to %d", s, pageMax)
		}
	}
	return after, min(limit, pageMax), nil
}

// stream sends events as they come. A client that does not read for sseWrite is left.
func (r *ring) stream(w http.ResponseWriter, req *http.Request, after uint64) {
	ctl := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		p, grown := r.read(after, pageDefault)
		after = p.Next
		// A writer without deadlines is one of a test; the write itself tells.
		_ = ctl.SetWriteDeadline(time.Now().Add(sseWrite))
		for _, ev := range p.Events {
			b, err := json.Marshal(ev)
			if err != nil {
				continue
			}
			fmt.Fprintf(w, "id: %d\nevent: event\ndata: %s\n\n", ev.Seq, b)
		}
		full := len(p.Events) == pageDefault
		p.Events = p.Events[:0]
		b, err := json.Marshal(p)
		if err != nil {
			return
		}
		fmt.Fprintf(w, "event: watermark\ndata: %s\n\n", b)
		if ctl.Flush() != nil {
			return
		}
		if full {
			continue
		}
		select {
		case <-req.Context().Done():
			return
		case <-grown:
		case <-tick.C:
		}
	}
}

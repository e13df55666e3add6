package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// What the road to an object store can do.
const (
	StoreRefuse    = "refuse"     // nobody listens: connections are refused
	StoreBlackHole = "black_hole" // connections open, nothing is answered
	StoreThrottle  = "throttle"   // 503 SlowDown to a share of the calls
	StoreDeny      = "deny"       // 403 AccessDenied to all calls
	StoreSlow      = "slow"       // answers come late
)

// serveStore stands in front of a real S3 server and breaks the road to it on command. The signature stays
// valid because the host header is passed on.
func serveStore(ctx context.Context, spec Spec, behave *atomic.Pointer[Behaviour], count *counters) error {
	backend, err := url.Parse(spec.Backend)
	if err != nil {
		return fmt.Errorf("store backend: %w", err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(backend)
			r.Out.Host = r.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			count.failed(err)
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	d := &door{address: spec.Listen, handler: faults(proxy, behave, count)}
	every := time.NewTicker(50 * time.Millisecond)
	defer every.Stop()
	defer d.shut()
	for {
		if err := d.set(behave.Load().Store != StoreRefuse); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}

// faults answers as the behaviour of the moment says.
func faults(next http.Handler, behave *atomic.Pointer[Behaviour], count *counters) http.Handler {
	var calls atomic.Uint64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := behave.Load()
		if b.Store == StoreBlackHole || b.Store == StoreSlow {
			count.failed(fmt.Errorf("%s %s: %s", r.Method, r.URL.Path, b.Store))
		}
		switch b.Store {
		case StoreBlackHole:
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		case StoreThrottle:
			// A low-discrepancy sequence: the share holds over any few calls.
			if frac(float64(calls.Add(1))*0.6180339887498949) < b.StoreShare {
				count.failed(errors.New("SlowDown"))
				refuse(w, r, http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
				return
			}
		case StoreDeny:
			count.failed(errors.New("AccessDenied"))
			refuse(w, r, http.StatusForbidden, "AccessDenied", "Access Denied")
			return
		case StoreSlow:
			if !wait(r.Context(), time.Duration(b.StoreMillis*float64(time.Millisecond))) {
				panic(http.ErrAbortHandler)
			}
		}
		count.records.Add(1)
		next.ServeHTTP(w, r)
	})
}

func frac(x float64) float64 { return x - float64(int64(x)) }

func refuse(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, 64<<20)) // S3 reads the body before it answers a PUT
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message></Error>`, code, message)
	}
}

// door is a listener that can be shut, so that connections are refused, and opened again on the same port.
type door struct {
	address string
	handler http.Handler
	mu      sync.Mutex
	server  *http.Server
}

func (d *door) set(open bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if open == (d.server != nil) {
		return nil
	}
	if !open {
		err := d.server.Close()
		d.server = nil
		return err
	}
	l, err := net.Listen("tcp", d.address)
	if err != nil {
		return fmt.Errorf("open the store's port: %w", err)
	}
	server := &http.Server{Handler: d.handler, ReadHeaderTimeout: 10 * time.Second}
	d.server = server
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			panic(err)
		}
	}()
	return nil
}

func (d *door) shut() { _ = d.set(false) }

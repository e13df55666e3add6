package cli

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// metricsPage is /metrics: what the process counts of itself and what it found, by client_golang, and after it what its
// sources measured in their last rounds. A scrape reads memory only, whatever the clusters do.
type metricsPage struct {
	own     prometheus.Gatherer
	sources []func() *collectors.Page
}

// ServeHTTP answers in the text format, which every scraper takes.
func (m *metricsPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	families, err := m.own.Gather()
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	var own bytes.Buffer
	for _, family := range families {
		if err == nil {
			err = expfmt.NewEncoder(&own, format).Encode(family)
		}
	}
	if err != nil {
		http.Error(w, "gathering metrics: "+err.Error(), http.StatusInternalServerError)
		return
	}
	pages := make([]*collectors.Page, len(m.sources))
	for i, source := range m.sources {
		pages[i] = source()
	}
	w.Header().Set("Content-Type", string(format))
	w.Header().Set("Vary", "Accept-Encoding")
	to := bufio.NewWriterSize(w, 64<<10)
	defer to.Flush() // an error says that whoever asked is gone
	if takesGzip(r) {
		w.Header().Set("Content-Encoding", "gzip")
		_ = collectors.WriteGzip(to, own.Bytes(), pages...)
		return
	}
	_, _ = to.Write(own.Bytes())
	_ = collectors.WritePages(to, pages...)
}

// takesGzip reports whether the request asks for it.
func takesGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		coding, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.TrimSpace(coding) == "gzip" && strings.TrimSpace(weight) != "q=0" {
			return true
		}
	}
	return false
}

package scrape

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// Bounds of one series: what is over them is a mistake or an attack, not a label.
const (
	maxLabels      = 64
	maxLabelLength = 4096
)

// parser turns bodies into samples. It remembers each exposed series by its text, so that a round of known
// series builds no labels, and so that it knows what is gone. Its memory is bounded by max.
type parser struct {
	fixed map[string]string
	max   int
	n     uint64 // rounds
	live  map[string]*series
}

// series is one exposed series; its labels map is shared by its samples and never written again.
type series struct {
	metric string // empty: it is left out
	labels map[string]string
	seen   uint64 // the round that had it last
}

// round parses one body. After an error the remembered series are as before: the caller ends them.
func (p *parser) round(body []byte, contentType string, now time.Time) ([]streamkeeper.Sample, error) {
	text, err := textparse.New(body, contentType, labels.NewSymbolTable(), textparse.ParserOptions{
		FallbackContentType: "text/plain", IgnoreNativeHistograms: true, OpenMetricsSkipSTSeries: true,
	})
	if text == nil {
		return nil, fmt.Errorf("format %q: %w", contentType, err)
	}
	if p.live == nil {
		p.live = map[string]*series{}
	}
	p.n++
	samples := make([]streamkeeper.Sample, 0, len(p.live)+16)
	for exposed := 0; ; {
		entry, err := text.Next()
		if errors.Is(err, io.EOF) {
			return append(samples, p.endUnseen(now)...), nil
		}
		if err != nil {
			return nil, fmt.Errorf("after %d samples: %w", len(samples), err)
		}
		if entry != textparse.EntrySeries {
			continue
		}
		if exposed++; exposed > p.max {
			return nil, fmt.Errorf("more than %d samples", p.max)
		}
		name, _, v := text.Series()
		known := p.live[string(name)]
		if known == nil {
			if known, err = p.learn(text); err != nil {
				return nil, err
			}
			p.live[string(name)] = known
		} else if known.seen == p.n {
			continue // exposed twice: the first one counts, as in Prometheus
		}
		known.seen = p.n
		if known.metric == "" {
			continue
		}
		samples = append(samples, streamkeeper.Sample{Metric: known.metric, Labels: known.labels, At: now, Value: v})
	}
}

// learn reads the labels of the current series and adds the fixed ones.
func (p *parser) learn(text textparse.Parser) (*series, error) {
	var exposed labels.Labels
	text.Labels(&exposed)
	if exposed.Len() > maxLabels {
		return nil, fmt.Errorf("a series of %s has %d labels, more than %d", exposed.Get(model.MetricNameLabel), exposed.Len(), maxLabels)
	}
	s := &series{labels: make(map[string]string, exposed.Len()+len(p.fixed))}
	var err error
	exposed.Range(func(l labels.Label) {
		if len(l.Name) > maxLabelLength || len(l.Value) > maxLabelLength {
			err = fmt.Errorf("a label of %s is longer than %d bytes", exposed.Get(model.MetricNameLabel), maxLabelLength)
		}
		name := strings.Clone(l.Name)
		if name == model.MetricNameLabel {
			s.metric = strings.Clone(l.Value)
			return
		}
		if _, taken := p.fixed[name]; taken {
			name = "exported_" + name
		}
		s.labels[name] = strings.Clone(l.Value)
	})
	if strings.HasPrefix(s.metric, ownPrefix) && exposed.Has("cluster") {
		s.metric, s.labels = "", nil
		return s, err
	}
	for name, value := range p.fixed {
		s.labels[name] = value
	}
	return s, err
}

// ownPrefix starts the names of the product's metrics. Those that name a cluster are what another Streamkeeper measured or
// found there: of the target itself they say nothing, and a finding must not be evidence of itself.
const ownPrefix = "streamkeeper_"

// endUnseen forgets the series that this round did not have and returns their staleness markers.
func (p *parser) endUnseen(now time.Time) []streamkeeper.Sample {
	var ended []string
	for text, s := range p.live {
		if s.seen != p.n {
			ended = append(ended, text)
		}
	}
	slices.Sort(ended)
	markers := make([]streamkeeper.Sample, 0, len(ended))
	for _, text := range ended {
		s := p.live[text]
		delete(p.live, text)
		if s.metric != "" {
			markers = append(markers, streamkeeper.Sample{Metric: s.metric, Labels: s.labels, At: now, Value: collectors.Stale()})
		}
	}
	return markers
}

// endAll ends every series, those of a round that failed midway included.
func (p *parser) endAll(now time.Time) []streamkeeper.Sample {
	p.n++
	return p.endUnseen(now)
}

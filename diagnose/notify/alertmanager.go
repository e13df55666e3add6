package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// Alertmanager posts incidents as alerts to an Alertmanager (POST /api/v2/alerts). An alert lives for as
// long as it is re-sent: Every says how often, and each one ends by itself after three times that, so
// that alerts do not outlive a diagnosis that died.
type Alertmanager struct {
	url    string
	client *http.Client
	header http.Header
	every  time.Duration
	now    func() time.Time
}

// NewAlertmanager makes a sender for the Alertmanager at a base URL. every 0 means one minute.
func NewAlertmanager(base string, header http.Header, client *http.Client, every time.Duration, now func() time.Time) (*Alertmanager, error) {
	if err := checkURL(base); err != nil {
		return nil, fmt.Errorf("alertmanager: %w", err)
	}
	if client == nil {
		client = &http.Client{CheckRedirect: sameHost}
	}
	if every <= 0 {
		every = time.Minute
	}
	return &Alertmanager{url: strings.TrimSuffix(base, "/") + "/api/v2/alerts", client: client, header: header, every: every, now: now}, nil
}

// Name is alertmanager and the host.
func (a *Alertmanager) Name() string { return "alertmanager " + host(a.url) }

// Every is how often open incidents are re-sent.
func (a *Alertmanager) Every() time.Duration { return a.every }

// alert is one element of the body of POST /api/v2/alerts.
type alert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// Send posts one incident as one alert. Its labels are its identity for the Alertmanager, so the cause,
// which may change, is an annotation. Severity and owner are labels because routes need them: an
// escalation begins a new alert, and the quieter one ends by itself.
func (a *Alertmanager) Send(ctx context.Context, i streamkeeper.Incident) error {
	body, err := json.Marshal([]alert{a.alert(i)})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPermanent, err)
	}
	key := fmt.Sprintf("%s-%s-%d", i.ID, i.State, i.UpdatedAt.UnixMilli())
	return post(ctx, a.client, a.url, body, a.header, key)
}

// SendRollup posts a roll-up as one alert that ends by itself when the next one may come.
func (a *Alertmanager) SendRollup(ctx context.Context, r streamkeeper.Rollup) error {
	var lines []string
	for _, h := range r.Held {
		line := fmt.Sprintf("%d × %s", h.Count, h.Cause)
		if h.Owner != "" {
			line += ", owner " + h.Owner
		}
		for _, i := range h.Incidents {
			line += "\n  " + i.Headline
		}
		lines = append(lines, line)
	}
	body, err := json.Marshal([]alert{{
		Labels: map[string]string{
			"alertname": "StreamkeeperRollup", "rollup": r.ID, "cluster": r.Cluster, "reason": string(r.Reason), "severity": string(r.Severity),
		},
		Annotations: map[string]string{"summary": r.Headline, "description": strings.Join(lines, "\n")},
		StartsAt:    r.At.UTC(), EndsAt: r.Next.UTC(), GeneratorURL: r.URL,
	}})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPermanent, err)
	}
	return post(ctx, a.client, a.url, body, a.header, r.ID)
}

func (a *Alertmanager) alert(i streamkeeper.Incident) alert {
	out := alert{
		Labels: map[string]string{
			"alertname": "StreamkeeperIncident", "incident": i.ID, "cluster": i.Cluster, "severity": string(i.Severity),
		},
		Annotations: map[string]string{
			"summary": i.Headline, "cause": i.Root.Cause, "title": i.Root.Title, "description": i.Root.Summary,
			"entity": i.Root.Entity.Key(), "verdict": string(i.Root.Verdict),
			"confidence": fmt.Sprintf("%.0f %%", 100*i.Root.Confidence),
		},
		StartsAt: i.OpenedAt.UTC(), EndsAt: a.now().Add(3 * a.every).UTC(), GeneratorURL: i.URL,
	}
	if i.Owner != "" {
		out.Labels["owner"] = i.Owner
	}
	if len(i.Owners) > 0 {
		out.Annotations["owners"] = strings.Join(i.Owners, ", ")
	}
	if i.ResolvedAt != nil {
		out.EndsAt = i.ResolvedAt.UTC()
	}
	var do []string
	for n, advice := range i.Advice {
		do = append(do, fmt.Sprintf("%d. %s", n+1, advice.Do))
	}
	if len(do) > 0 {
		out.Annotations["advice"] = strings.Join(do, "\n")
	}
	for name, value := range out.Annotations {
		if value == "" {
			delete(out.Annotations, name)
		}
	}
	return out
}

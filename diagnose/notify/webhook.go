package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// Webhook posts each incident as JSON (streamkeeper.incident/v1) when it opens, changes and is resolved, and roll-ups of
// those that are not told one by one (streamkeeper.rollup/v1).
// The header Idempotency-Key is the same for every try of one update.
type Webhook struct {
	url    string
	client *http.Client
	header http.Header
}

// NewWebhook makes a webhook. header is added to every request (authorization); client nil means
// http.DefaultClient without following redirects to other hosts.
func NewWebhook(rawURL string, header http.Header, client *http.Client) (*Webhook, error) {
	if err := checkURL(rawURL); err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	if client == nil {
		client = &http.Client{CheckRedirect: sameHost}
	}
	return &Webhook{url: rawURL, client: client, header: header}, nil
}

// Name is webhook and the host, without path and credentials.
func (w *Webhook) Name() string { return "webhook " + host(w.url) }

// Send posts one incident.
func (w *Webhook) Send(ctx context.Context, i streamkeeper.Incident) error {
	body, err := json.Marshal(i)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPermanent, err)
	}
	key := fmt.Sprintf("%s-%s-%d", i.ID, i.State, i.UpdatedAt.UnixMilli())
	return post(ctx, w.client, w.url, body, w.header, key)
}

// SendRollup posts a roll-up as JSON (streamkeeper.rollup/v1).
func (w *Webhook) SendRollup(ctx context.Context, r streamkeeper.Rollup) error {
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPermanent, err)
	}
	return post(ctx, w.client, w.url, body, w.header, r.ID)
}

func post(ctx context.Context, client *http.Client, target string, body []byte, header http.Header, key string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPermanent, err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "streamkeeper")
	req.Header.Set("Idempotency-Key", key)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 512)) // enough to say why; the rest is dropped with the connection
	if resp.StatusCode/100 != 2 {
		return refused(resp.StatusCode, strings.TrimSpace(string(answer)))
	}
	return nil
}

func checkURL(rawURL string) error {
	u, err := url.Parse(rawURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("url %q: want http://host/path or https://host/path", host(rawURL))
	}
	return nil
}

func host(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "(unreadable URL)"
	}
	return u.Host
}

// sameHost keeps bodies and credentials from being sent elsewhere by a redirect.
func sameHost(req *http.Request, via []*http.Request) error {
	if len(via) > 5 || req.URL.Host != via[0].URL.Host {
		return http.ErrUseLastResponse
	}
	return nil
}

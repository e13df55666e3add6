package cli

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/diagnose/notify"
)

// openNotifier builds the receivers of the config; nil when there are none.
func openNotifier(c NotifyConfig, log *slog.Logger) (*notify.Notifier, error) {
	var senders []notify.Sender
	for _, r := range c.Webhooks {
		w, err := notify.NewWebhook(r.URL, nil, nil)
		if err != nil {
			return nil, fmt.Errorf("notify.webhooks: %w", err)
		}
		senders = append(senders, w)
	}
	for _, r := range c.Alertmanagers {
		a, err := notify.NewAlertmanager(r.URL, nil, nil, 0, time.Now)
		if err != nil {
			return nil, fmt.Errorf("notify.alertmanagers: %w", err)
		}
		senders = append(senders, a)
	}
	if len(senders) == 0 {
		return nil, nil
	}
	return notify.New(notify.Options{Jitter: rand.Float64, Logger: log}, senders...)
}

// linked gives each incident that is told the address of its page.
type linked struct {
	next    *notify.Notifier
	address string // HOST:PORT of the dashboard
}

// Publish hands on.
func (l linked) Publish(ctx context.Context, r streamkeeper.Report, incidents []streamkeeper.Incident) error {
	told := make([]streamkeeper.Incident, len(incidents))
	for i, in := range incidents {
		in.URL = "http://" + l.address + "/#/incidents/" + url.PathEscape(in.ID)
		told[i] = in
	}
	return l.next.Publish(ctx, r, told)
}

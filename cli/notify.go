package cli

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

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

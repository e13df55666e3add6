package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// deployCommand is the family for what a pipeline tells.
func deployCommand(p Process) *cobra.Command {
	c := &cobra.Command{Use: "deploy", Short: "Tell a running server of a deploy"}
	c.AddCommand(deployMarkCommand(p))
	return c
}

// deployMark is the body of a mark, as POST /api/v1/deploys takes it.
type deployMark struct {
	At      *time.Time `json:"at,omitempty"`
	Cluster string     `json:"cluster,omitempty"`
	Group   string     `json:"group,omitempty"`
	App     string     `json:"app,omitempty"`
	Version string     `json:"version,omitempty"`
	Phase   string     `json:"phase,omitempty"`
	Text    string     `json:"text,omitempty"`
}

func deployMarkCommand(p Process) *cobra.Command {
	var m deployMark
	var server string
	var at pastMoment
	c := &cobra.Command{
		Use:   "mark [TEXT]",
		Short: "Say that something was deployed, so that what goes wrong after it names it",
		Long: `Says that something was deployed. A group that reads for it is named by --group, or found by the name of the
workload (--app): the group of that name, or those whose members are called like its pods.

Argo CD, Flux and Kubernetes need no command: their webhooks are taken as they are at POST /api/v1/deploys.`,
		Example: `  streamkeeper deploy mark --app orders --version 1.4.2
  streamkeeper deploy mark --group billing --at 20m "feature flag new-pricing on"`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				m.Text = args[0]
			}
			if m.Group == "" && m.App == "" && m.Text == "" && m.Version == "" {
				return usage(errors.New("say what was deployed: --app, --group or a text"))
			}
			if !at.at.IsZero() {
				m.At = &at.at
			}
			return sendMark(c.Context(), p, server, m)
		},
	}
	fl := c.Flags()
	fl.StringVar(&server, "server", "127.0.0.1:8080", "address of a running `streamkeeper up`")
	fl.StringVar(&m.Cluster, "cluster", "", "the cluster; may be left out when one is watched, or when one has such a group")
	fl.StringVar(&m.Group, "group", "", "the consumer group that was deployed")
	fl.StringVar(&m.App, "app", "", "the workload that was deployed")
	fl.StringVar(&m.Version, "version", "", "its version")
	fl.StringVar(&m.Phase, "phase", "", "started, finished or failed")
	fl.Var(&at, "at", "when: how long ago (20m) or a moment (RFC 3339); left out, now")
	return c
}

// sendMark posts a mark and says what became of it.
func sendMark(ctx context.Context, p Process, server string, m deployMark) error {
	body, err := tellServer(ctx, server, "/api/v1/deploys", m, http.StatusAccepted)
	if err != nil {
		return err
	}
	var answer struct{ Taken int }
	if err := json.Unmarshal(body, &answer); err != nil || answer.Taken == 0 {
		return blind(fmt.Errorf("%s had no room for it, try again", server))
	}
	_, err = fmt.Fprintln(p.Stdout, "marked")
	return err
}

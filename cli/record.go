package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func recordCommand(p Process) *cobra.Command {
	var server, cluster, out string
	var since, until pastMoment
	since.at = time.Now().Add(-defaultRecording)
	c := &cobra.Command{
		Use:   "record",
		Short: "Save what was seen around an incident to a file",
		Long: `Saves measurements, events and topology of the last minutes from a running server. The file replays with
"streamkeeper diagnose --recording FILE": a bug report is a recording. It holds names of hosts, clients,
topics and groups, and no records.`,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), 2*time.Minute)
			defer cancel()
			if err := fetchRecording(ctx, server, cluster, since.at, until.at, out); err != nil {
				return blind(err)
			}
			_, err := fmt.Fprintln(p.Stdout, out)
			return err
		},
	}
	c.Flags().StringVar(&server, "server", "127.0.0.1:8080", "address of a running `streamkeeper up`")
	c.Flags().StringVar(&cluster, "cluster", "", "the cluster; may be left out when there is only one")
	c.Flags().Var(&since, "since", "from when: how long ago (10m) or a moment (RFC 3339)")
	c.Flags().Var(&until, "until", "to when, likewise; left out, now")
	c.Flags().StringVar(&out, "out", "recording.txtar.gz", "the file to write")
	return c
}

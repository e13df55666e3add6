package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
)

func recordCommand(p Process) *cobra.Command {
	var server, cluster, out string
	var redact bool
	var since, until pastMoment
	since.at = time.Now().Add(-defaultRecording)
	c := &cobra.Command{
		Use:   "record",
		Short: "Save what was seen around an incident to a file",
		Long: `Saves measurements, events and topology of the last minutes from a running server. The file replays with
"streamkeeper diagnose --recording FILE": a bug report is a recording. It holds names of hosts, clients,
topics and groups, and no records. With --redact it holds none of these: each has a pseudonym, the same one
wherever it stood, free text is left out, and the file replays to the same answer.`,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), 2*time.Minute)
			defer cancel()
			fetch := fetchRecording
			if redact {
				fetch = fetchRedacted
			}
			if err := fetch(ctx, server, cluster, since.at, until.at, out); err != nil {
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
	c.Flags().BoolVar(&redact, "redact", false, "replace the names of hosts, clients, topics and groups by pseudonyms")
	c.Flags().StringVar(&out, "out", "recording.txtar.gz", "the file to write")
	return c
}

// fetchRedacted saves a recording under pseudonyms. The names never come to the folder of the file.
func fetchRedacted(ctx context.Context, server, cluster string, since, until time.Time, path string) error {
	dir, err := os.MkdirTemp("", "streamkeeper-record-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	named := filepath.Join(dir, "recording")
	if err := fetchRecording(ctx, server, cluster, since, until, named); err != nil {
		return err
	}
	r, err := readRecording(named)
	if err != nil {
		return err
	}
	if r, err = r.redact(); err != nil {
		return err
	}
	return writeRecording(path, r)
}

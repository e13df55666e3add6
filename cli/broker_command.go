package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/tier"
)

// brokerCommand is the family for a bundled broker that does not run.
func brokerCommand(p Process) *cobra.Command {
	c := &cobra.Command{Use: "broker", Short: "The data of a bundled broker that does not run: inspect, verify, dump, restore"}
	c.AddCommand(brokerInspectCommand(p), brokerVerifyCommand(p), brokerDumpCommand(p), brokerRestoreCommand(p))
	return c
}

// brokerPlace is where a broker's data lies.
type brokerPlace struct{ data, store string }

func (l *brokerPlace) flags(c *cobra.Command) {
	c.Flags().StringVar(&l.data, "data", Defaults().Data, "data folder, as given to `up`")
	c.Flags().StringVar(&l.store, "object-store", "", "object store, file:///dir or s3://bucket/prefix?endpoint=… (default: objects/ in the data folder)")
}

// options are an engine's on the place.
func (l *brokerPlace) options(p Process) (engine.Options, error) {
	url := l.store
	if url == "" {
		abs, err := filepath.Abs(filepath.Join(l.data, "objects"))
		if err != nil {
			return engine.Options{}, err
		}
		url = "file://" + abs
	}
	store, err := tier.OpenStore(url, p.Getenv)
	if err != nil {
		return engine.Options{}, usage(fmt.Errorf("object store: %w", err))
	}
	return engine.Options{Dir: filepath.Join(l.data, "broker"), Store: store}, nil
}

func brokerRestoreCommand(p Process) *cobra.Command {
	var place brokerPlace
	var skip bool
	c := &cobra.Command{
		Use: "restore", Short: "Make a new data folder from the object store alone",
		Long: `Brings back topics, configs, all records that were offloaded and the groups' offsets, after the disk was lost.
Records that only the lost log held are lost. The bucket is not copied: the new broker goes on with it, and an
old instance that still runs stops writing to it.`,
		RunE: func(c *cobra.Command, _ []string) error { return brokerRestore(c.Context(), p, place, skip) },
	}
	place.flags(c)
	c.Flags().BoolVar(&skip, "skip-damaged", false, "leave out objects that are missing or damaged")
	return c
}

func brokerRestore(ctx context.Context, p Process, place brokerPlace, skip bool) error {
	o, err := place.options(p)
	if err != nil {
		return err
	}
	last := -1
	sum, err := engine.Restore(ctx, o, engine.RestoreOptions{SkipDamaged: skip, Progress: func(done, total int) {
		if percent := 100 * done / total; percent/10 != last/10 || done == total {
			last = percent
			p.progress("looked at %d of %d objects", done, total)
		}
	}})
	if err != nil {
		return err
	}
	fmt.Fprintf(p.Stdout, "restored cluster %s to %s: %d topics, %d partitions, %d objects with %d bytes of records, offsets of %d groups\n",
		sum.Cluster, o.Dir, sum.Topics, sum.Partitions, sum.Objects, sum.Bytes, sum.Groups)
	if sum.Found > 0 {
		fmt.Fprintf(p.Stdout, "%d of the objects were newer than the last manifest\n", sum.Found)
	}
	if len(sum.Damaged) > 0 {
		return fmt.Errorf("%d objects are damaged or missing and were left out: %s", len(sum.Damaged), strings.Join(sum.Damaged, ", "))
	}
	return nil
}

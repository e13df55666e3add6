package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/streamkeeper-io/streamkeeper/cli/drill"
)

func drillQuietCommand(p Process) *cobra.Command {
	var f drillFlags
	o := drill.QuietOptions{CPU: machineCPU}
	c := &cobra.Command{
		Use:   "quiet",
		Short: "Let benign things happen to many healthy groups, and count the warnings: none are wanted",
		Long: `Runs twenty healthy groups on one broker, watched by one diagnoser, and lets deploys, bursts, backfills, lost
members, a broker restart and more happen to them, some at a time. None of it is a fault: every warning is a
false alarm. Thirty episodes take about twenty minutes. Exits with 1 when there were warnings.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Episodes < 1 {
				return usage(fmt.Errorf("--episodes %d: want 1 or more", o.Episodes))
			}
			if err := f.prepare(); err != nil {
				return err
			}
			dir := f.dir + "/" + seedName("quiet", f.seed)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			l := &lab{dir: dir, httpListen: "127.0.0.1:0", keep: f.keep}
			o.Seed = f.seed
			o.Say = func(format string, a ...any) { fmt.Fprintf(p.Stderr, format+"\n", a...) }
			out, err := drill.Quiet(c.Context(), l, o)
			if err != nil {
				out.Run.ID, out.Run.Seed, out.Run.Benign, out.Run.Error = "quiet", f.seed, true, err.Error()
			}
			if err := errors.Join(err, l.saveResult(out.Run), l.Close()); err != nil {
				return blind(err)
			}
			return printQuiet(p, f.output, out)
		},
	}
	f.add(c)
	c.Flags().Uint64Var(&f.seed, "seed", 1, "varies the groups and the episodes")
	c.Flags().IntVar(&o.Episodes, "episodes", 30, "how many benign things happen")
	c.Flags().DurationVar(&o.Pace, "pace", 0, "from one episode to the next (default 30s)")
	_ = c.Flags().MarkHidden("hold")
	_ = c.Flags().MarkHidden("s3-server")
	return c
}

func printQuiet(p Process, output string, out drill.QuietResult) error {
	if output == "json" {
		if err := json.NewEncoder(p.Stdout).Encode(out); err != nil {
			return err
		}
	} else {
		for _, e := range out.Episodes {
			line := fmt.Sprintf("%s  %-17s %-10s %3.0f s, at most %2.0f s behind", e.At.Format("15:04:05"), e.Kind, e.Group, e.Seconds, e.BehindBy)
			if e.Problem != "" {
				line += ", " + e.Problem
			}
			fmt.Fprintln(p.Stdout, line)
		}
		for _, w := range out.Warnings {
			fmt.Fprintf(p.Stdout, "\nWARNING %s to %s  %s on %s: %s %s (%s), the group was %.0f s behind\n", w.At.Format("15:04:05"), w.Until.Format("15:04:05"),
				w.Cause, w.Entity, w.Verdict, percentText(w.Confidence), w.Title, w.BehindSeconds)
			for _, e := range w.Evidence {
				fmt.Fprintln(p.Stdout, "  "+e)
			}
			fmt.Fprintf(p.Stdout, "  during %v\n", w.During)
		}
		cpu := "unknown"
		if out.CPUShare != nil {
			cpu = percentText(*out.CPUShare)
		}
		fmt.Fprintf(p.Stdout, "\n%d episodes on %d groups in %.0f minutes, %d warnings; CPU %s, %d of %d ticks late\n%s\n", len(out.Episodes), out.Groups,
			out.Minutes, len(out.Warnings), cpu, out.LateTicks, out.Ticks, out.Recording)
	}
	if len(out.Warnings) > 0 {
		return exitError{code: exitFindings}
	}
	return nil
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/cli/drill"
)

// How long the demo waits once the right answer is there: evidence that comes some ticks later makes a probable
// cause a root cause.
const (
	demoSure   = 10 * time.Second // as root cause
	demoUnsure = time.Minute      // worded more carefully
	demoDrill  = "max_poll_interval_exceeded"
)

func demoCommand(p Process) *cobra.Command {
	var exit bool
	var s3 string
	var seed uint64
	c := &cobra.Command{
		Use:   "demo [DRILL]",
		Short: "Watch a real fault being told apart from its look-alikes",
		Long: `Starts a broker and a diagnoser in a temporary folder on free ports, runs a real workload, injects a
fault, and prints the diagnosis as it forms. The dashboard stays until Ctrl-C; without a terminal, or with
--exit, the demo ends after the diagnosis. DRILL is one of "streamkeeper drill list".`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id := demoDrill
			if len(args) == 1 {
				id = args[0]
			}
			d, ok := drill.Find(id)
			if !ok {
				return usage(fmt.Errorf("no drill %q; `streamkeeper drill list` lists them", id))
			}
			return runDemo(c.Context(), p, d, seed, s3, exit || !terminal(p.Stdout))
		},
	}
	c.Flags().BoolVar(&exit, "exit", false, "end after the diagnosis")
	c.Flags().StringVar(&s3, "s3-server", "", "path of the versitygw binary for store drills")
	c.Flags().Uint64Var(&seed, "seed", 1, "varies the workload and the fault")
	return c
}

func runDemo(ctx context.Context, p Process, d drill.Drill, seed uint64, s3 string, exit bool) (err error) {
	dir, err := os.MkdirTemp("", "streamkeeper-demo-")
	if err != nil {
		return err
	}
	l := &lab{dir: dir, s3: findS3(s3), httpListen: "127.0.0.1:0"}
	defer func() { err = errors.Join(err, l.Close(), os.RemoveAll(dir)) }()
	show := &demo{p: p, drill: d, began: time.Now()}
	res, err := drill.Run(ctx, l, d, drill.Options{Seed: seed, Say: show.say(l), Seen: show.seen, Until: show.settled})
	if ctx.Err() != nil {
		return nil // Ctrl-C ends a demo; that is no failure
	}
	if err != nil {
		return blind(err)
	}
	show.finish(res)
	if !exit {
		fmt.Fprintf(p.Stdout, "\nThe dashboard stays at http://%s until Ctrl-C.\n", l.site.Diagnose)
		<-ctx.Done()
		return nil
	}
	if !res.Right {
		return exitError{exitFindings, fmt.Errorf("the injected cause %s was not the first finding", d.Cause)}
	}
	return nil
}

// demo prints one run.
type demo struct {
	p       Process
	drill   drill.Drill
	began   time.Time
	last    string // the line printed last
	key     string // of the report seen last
	report  streamkeeper.Report
	rightAt time.Time // since when the right cause is first; zero while it is not
	sureAt  time.Time // since when it is worded as root cause
}

func (d *demo) line(text string) {
	fmt.Fprintf(d.p.Stdout, "%s  %s\n", d.p.painter().dim(fmt.Sprintf("%3.0f s", time.Since(d.began).Seconds())), text)
}

func (d *demo) say(l *lab) func(string, ...any) {
	told := false
	return func(format string, args ...any) {
		d.line(fmt.Sprintf(format, args...))
		if !told && l.site != nil {
			told = true
			d.line("dashboard: http://" + l.site.Diagnose)
		}
	}
}

// seen prints each change of the answer in one line.
func (d *demo) seen(r streamkeeper.Report) {
	d.report = r
	now := "no finding yet"
	switch {
	case len(r.Findings) > 0:
		f := r.Findings[0]
		now = fmt.Sprintf("%s %s: %s · %s", verdictWord(f, d.p.painter()), causeName(f), f.Title, f.Entity)
	case len(r.Symptoms) > 0:
		now = "symptom: " + r.Symptoms[0].Text
	}
	// A symptom's numbers move every tick; that alone is no news.
	key := changeKey([]streamkeeper.Report{r}) + fmt.Sprint(len(r.Symptoms))
	if key != d.key && now != d.last {
		d.last = now
		d.line(now)
	}
	d.key = key
}

// settled ends the fault once the answer has stood for a while.
func (d *demo) settled(r drill.Result) bool {
	right := r.Right && !d.drill.Benign
	sure := right && d.report.Findings[0].Verdict == streamkeeper.VerdictRootCause
	now := time.Now()
	d.rightAt, d.sureAt = holdsSince(d.rightAt, right, now), holdsSince(d.sureAt, sure, now)
	return right && (now.Sub(d.rightAt) > demoUnsure || sure && now.Sub(d.sureAt) > demoSure)
}

// holdsSince is from when on something holds without a break; zero while it does not.
func holdsSince(began time.Time, holds bool, now time.Time) time.Time {
	switch {
	case !holds:
		return time.Time{}
	case began.IsZero():
		return now
	}
	return began
}

func (d *demo) finish(r drill.Result) {
	fmt.Fprintln(d.p.Stdout)
	writeReports(d.p.Stdout, []streamkeeper.Report{d.report}, d.p.painter())
	fmt.Fprintln(d.p.Stdout)
	switch {
	case d.drill.Benign && r.Right:
		d.line("nothing was raised: " + d.drill.Title + " is benign")
	case r.Right:
		d.line(fmt.Sprintf("injected: %s on %s; named after %s", r.Injected.Cause, r.Injected.Entity, secondsText(r.SecondsToCause)))
	default:
		d.line(fmt.Sprintf("injected: %s on %s; it was not named first", r.Injected.Cause, r.Injected.Entity))
	}
}

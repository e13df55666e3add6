package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamkeeper-io/streamkeeper/cli/drill"
	"github.com/streamkeeper-io/streamkeeper/web"
)

func drillCommand(p Process) *cobra.Command {
	c := &cobra.Command{Use: "drill", Short: "Inject faults with known truth and measure the diagnosis"}
	c.AddCommand(drillListCommand(p), drillRunCommand(p), drillScoreCommand(p), drillRescoreCommand(p), drillQuietCommand(p), drillWorkerCommand(p))
	return c
}

// drillInfos is the list that scripts and the API read.
func drillInfos() []web.DrillInfo {
	var out []web.DrillInfo
	for _, d := range drill.All() {
		out = append(out, web.DrillInfo{
			ID: d.ID, Cause: d.Cause, EntityKind: string(d.EntityKind), Targets: d.Targets, Benign: d.Benign,
			Seconds: (d.Baseline + d.Hold).Seconds(),
		})
	}
	return out
}

func drillListCommand(p Process) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "list",
		Short: "List the drills",
		RunE: func(*cobra.Command, []string) error {
			if output == "json" {
				return json.NewEncoder(p.Stdout).Encode(drillInfos())
			}
			w := tabwriter.NewWriter(p.Stdout, 0, 0, 3, ' ', 0)
			fmt.Fprintln(w, "DRILL\tTAKES\tKIND\tWHAT HAPPENS")
			for _, d := range drill.All() {
				kind := "fault"
				if d.Benign {
					kind = "benign"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", d.ID, span(d.Baseline+d.Hold), kind, d.Title)
			}
			return w.Flush()
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

type drillFlags struct {
	target, output, dir, s3  string
	seed, firstSeed          uint64
	seeds, parallel          int
	untilClear, keep, benign bool
	allowBusy                bool
	hold                     time.Duration
}

func (f *drillFlags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.target, "target", "embedded", "engine to run on: embedded")
	fl.StringVarP(&f.output, "output", "o", "text", "text or json")
	fl.StringVar(&f.dir, "dir", "", "folder for recordings (default: a temporary one)")
	fl.StringVar(&f.s3, "s3-server", "", "path of the versitygw binary for store drills")
	fl.BoolVar(&f.keep, "keep", false, "keep the data of brokers and diagnosers")
	fl.DurationVar(&f.hold, "hold", 0, "how long the fault lasts (default: the drill's own)")
}

func (f *drillFlags) prepare() error {
	if f.target != "embedded" {
		return usage(fmt.Errorf("--target %q: want embedded", f.target))
	}
	if f.output != "text" && f.output != "json" {
		return usage(fmt.Errorf("--output %q: want text or json", f.output))
	}
	if f.dir == "" {
		dir, err := os.MkdirTemp("", "streamkeeper-drill-")
		if err != nil {
			return err
		}
		f.dir = dir
	}
	return os.MkdirAll(f.dir, 0o755)
}

func drillRunCommand(p Process) *cobra.Command {
	var f drillFlags
	c := &cobra.Command{
		Use:   "run DRILL",
		Short: "Run one drill and say how the diagnosis did",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			d, ok := drill.Find(args[0])
			if !ok {
				return usage(fmt.Errorf("no drill %q; `streamkeeper drill list` lists them", args[0]))
			}
			if err := f.prepare(); err != nil {
				return err
			}
			res, err := runDrill(c.Context(), p, d, f, f.seed, func(format string, a ...any) {
				fmt.Fprintf(p.Stderr, format+"\n", a...)
			})
			if err != nil {
				return blind(err)
			}
			if f.output == "json" {
				return json.NewEncoder(p.Stdout).Encode(res)
			}
			writeResults(p, []drill.Result{res})
			return nil
		},
	}
	f.add(c)
	c.Flags().Uint64Var(&f.seed, "seed", 1, "varies the workload and the fault")
	c.Flags().BoolVar(&f.untilClear, "until-clear", false, "end the fault and wait until the diagnosis is quiet again")
	return c
}

func runDrill(ctx context.Context, _ Process, d drill.Drill, f drillFlags, seed uint64, say func(string, ...any)) (drill.Result, error) {
	dir := f.dir + "/" + seedName(d.ID, seed)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return drill.Result{}, err
	}
	l := &lab{dir: dir, s3: findS3(f.s3), httpListen: "127.0.0.1:0", keep: f.keep}
	res, err := drill.Run(ctx, l, d, drill.Options{Seed: seed, UntilClear: f.untilClear, Hold: f.hold, Say: say, CPU: machineCPU})
	if err != nil {
		res.ID, res.Seed, res.Benign, res.Error = d.ID, seed, d.Benign, err.Error()
	}
	return res, errors.Join(err, l.saveResult(res), l.Close())
}

func drillScoreCommand(p Process) *cobra.Command {
	var f drillFlags
	c := &cobra.Command{
		Use:   "score [DRILL...]",
		Short: "Run drills over several seeds and sum up how the diagnosis did",
		Args:  cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			drills, err := chosen(args, f.benign)
			if err != nil {
				return usage(err)
			}
			if err := f.prepare(); err != nil {
				return err
			}
			results := scoreDrills(c.Context(), p, drills, f)
			score := drill.Score(results, f.allowBusy)
			if f.output == "json" {
				return json.NewEncoder(p.Stdout).Encode(map[string]any{"results": results, "score": score})
			}
			writeResults(p, results)
			fmt.Fprintln(p.Stdout)
			writeScore(p, score)
			return nil
		},
	}
	f.add(c)
	c.Flags().IntVar(&f.seeds, "seeds", 5, "runs of each drill")
	c.Flags().Uint64Var(&f.firstSeed, "first-seed", 1, "the first seed; a claim wants seeds that nothing was tuned on")
	c.Flags().IntVar(&f.parallel, "parallel", 3, "runs side by side; keep the machine under 70 % of its CPU")
	c.Flags().BoolVar(&f.allowBusy, "allow-busy", false, "count runs on a busy machine too")
	c.Flags().BoolVar(&f.benign, "benign", false, "the benign episodes instead of the faults")
	return c
}

func chosen(ids []string, benign bool) ([]drill.Drill, error) {
	var out []drill.Drill
	for _, id := range ids {
		d, ok := drill.Find(id)
		if !ok {
			return nil, fmt.Errorf("no drill %q; `streamkeeper drill list` lists them", id)
		}
		out = append(out, d)
	}
	if len(ids) == 0 {
		for _, d := range drill.All() {
			if d.Benign == benign {
				out = append(out, d)
			}
		}
	}
	return out, nil
}

// scoreDrills runs every drill with every seed, some side by side. A run that fails is part of the result, with
// its error: it is neither right nor wrong.
func scoreDrills(ctx context.Context, p Process, drills []drill.Drill, f drillFlags) []drill.Result {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var results []drill.Result
	slots := make(chan struct{}, max(f.parallel, 1))
	for n := range f.seeds {
		seed := f.firstSeed + uint64(n)
		for _, d := range drills {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				continue
			}
			wg.Go(func() {
				defer func() { <-slots }()
				res, err := runDrill(ctx, p, d, f, seed, func(string, ...any) {})
				if err != nil {
					res.ID, res.Seed, res.Benign, res.Error = d.ID, seed, d.Benign, err.Error()
				}
				mu.Lock()
				defer mu.Unlock()
				results = append(results, res)
				fmt.Fprintln(p.Stderr, resultLine(res))
			})
		}
	}
	wg.Wait()
	slices.SortFunc(results, func(a, b drill.Result) int {
		if c := strings.Compare(a.ID, b.ID); c != 0 {
			return c
		}
		return int(a.Seed) - int(b.Seed)
	})
	return results
}

func resultLine(r drill.Result) string {
	mark := "wrong"
	switch {
	case r.Error != "":
		return fmt.Sprintf("%-28s seed %d   failed: %s", r.ID, r.Seed, firstLine(r.Error))
	case r.Right:
		mark = "right"
	case r.InSet:
		mark = "in a set"
	}
	line := fmt.Sprintf("%-28s seed %d   %s   symptom %s   cause %s", r.ID, r.Seed, mark, secondsText(r.SecondsToSymptom), secondsText(r.SecondsToCause))
	if r.Impact != nil {
		line += fmt.Sprintf("   impact %.0f s", r.Impact.Seconds)
	}
	if why := r.NotCounted(false); why != "" {
		line += "   not counted: " + why
	}
	for _, n := range r.Top {
		line += fmt.Sprintf("   %s %s %s", n.Cause, percentText(n.Confidence), n.Verdict)
	}
	for _, n := range r.Wrong {
		line += fmt.Sprintf("   WRONG AT %s: %s on %s", percentText(n.Confidence), n.Cause, n.Entity)
	}
	return line
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func secondsText(s *float64) string {
	if s == nil {
		return "never"
	}
	return fmt.Sprintf("%.0f s", *s)
}

func writeResults(p Process, results []drill.Result) {
	for _, r := range results {
		fmt.Fprintln(p.Stdout, resultLine(r))
		if r.Recording != "" {
			fmt.Fprintln(p.Stdout, "  recording "+r.Recording)
		}
	}
}

func writeScore(p Process, score map[string]map[string]drill.Family) {
	w := tabwriter.NewWriter(p.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "FAMILY\tTARGET\tRUNS\tFIRST\tIN A SET\tTOP 3\tFALSE ALARMS\tWRONG AT .9\tNOT COUNTED\tP50\tP95\tIN TIME\tLOWER BOUND")
	for _, name := range slices.Sorted(maps.Keys(score)) {
		for _, target := range slices.Sorted(maps.Keys(score[name])) {
			f := score[name][target]
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%v\t%.2f\n", name, target, f.Runs, f.Top1, f.InSet, f.Top3,
				f.FalseAlarms, f.ConfidentWrong, f.Failed, secondsText(f.SecondsToCause.P50), secondsText(f.SecondsToCause.P95), f.InTime, f.LowerBound)
		}
	}
	_ = w.Flush()
}

// drillWorkerCommand is what the lab starts as child processes; people have no use for it.
func drillWorkerCommand(p Process) *cobra.Command {
	return &cobra.Command{
		Use: "worker", Hidden: true, Short: "Be a client that misbehaves on command",
		RunE: func(c *cobra.Command, _ []string) error { return drill.Work(c.Context(), p.Stdin, p.Stdout) },
	}
}

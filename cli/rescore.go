package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/streamkeeper-io/streamkeeper/cli/drill"
	"github.com/streamkeeper-io/streamkeeper/rules"
)

// asRecorded is the variant that withholds nothing.
const asRecorded = "as recorded"

// variant is one way to play the recordings again.
type variant struct {
	name   string
	change func(recording, drill.Result) (recording, error)
}

// bundle is a recording with the truth of its run.
type bundle struct {
	path  string
	rec   recording
	truth drill.Result
}

// setAside is a file that is not scored, and why.
type setAside struct {
	File string `json:"file"`
	Why  string `json:"why"`
}

// disagreement is a recording whose unmodified replay came out otherwise than the live run.
type disagreement struct {
	File string `json:"file"`
	How  string `json:"how"`
}

// rescored is what `drill rescore` tells.
type rescored struct {
	Recordings int                                           `json:"recordings"`
	Skipped    []setAside                                    `json:"skipped"`
	Disagree   []disagreement                                `json:"disagree"` // with what the live run published
	Score      map[string]map[string]map[string]drill.Family `json:"score"`    // by variant, family and target
	Results    map[string][]drill.Result                     `json:"results,omitempty"`
}

type rescoreFlags struct {
	without   []string
	drop      float64
	seed      uint64
	rules     []string
	output    string
	allowBusy bool
}

func drillRescoreCommand(p Process) *cobra.Command {
	var f rescoreFlags
	c := &cobra.Command{
		Use:   "rescore DIR...",
		Short: "Play the recordings of drills again, with telemetry withheld, and score the answers",
		Long: `Plays every recording of a drill below the folders through the very tick that ran live, and scores the answers
as a live run is scored: once as recorded, which must come out as the live run did, and once for each thing
withheld. Without flags it withholds leave reasons, the broker's own telemetry, and a fifth of all series.
The last line is JSON.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			variants, err := f.variants()
			if err != nil {
				return usage(err)
			}
			rulebook, err := loadCatalog(f.rules)
			if err != nil {
				return usage(err)
			}
			bundles, skipped, err := findBundles(args)
			if err != nil {
				return usage(err)
			}
			if len(bundles) == 0 {
				return blind(fmt.Errorf("no recording with its truth below %s: `streamkeeper drill run` and `score` leave them with --dir", strings.Join(args, ", ")))
			}
			out, err := rescore(c.Context(), p, rulebook, bundles, variants, f.allowBusy)
			if err != nil {
				return err
			}
			out.Skipped = append(out.Skipped, skipped...)
			if f.output != "json" {
				writeRescored(p, variants, out)
				out.Results = nil
			}
			return json.NewEncoder(p.Stdout).Encode(out)
		},
	}
	c.Flags().StringSliceVar(&f.without, "without", nil, "withhold leave_reasons, broker_metrics, broker (its metrics and its events), or logs; repeatable")
	c.Flags().Float64Var(&f.drop, "drop", 0, "withhold this share of all series, as 0.2")
	c.Flags().Uint64Var(&f.seed, "drop-seed", 1, "varies which series are dropped")
	c.Flags().StringArrayVar(&f.rules, "rules", nil, "folder with more rules (repeatable)")
	c.Flags().BoolVar(&f.allowBusy, "allow-busy", false, "count runs on a busy machine too")
	c.Flags().StringVarP(&f.output, "output", "o", "text", "text or json")
	return c
}

// variants are the ways to play, the unmodified one first.
func (f rescoreFlags) variants() ([]variant, error) {
	if f.output != "text" && f.output != "json" {
		return nil, fmt.Errorf("--output %q: want text or json", f.output)
	}
	if f.drop < 0 || f.drop >= 1 {
		return nil, fmt.Errorf("--drop %g: want a share from 0 to below 1", f.drop)
	}
	if len(f.without) == 0 && f.drop == 0 {
		f.without, f.drop = []string{withoutLeaveReasons, withoutBroker}, 0.2
	}
	out := []variant{{asRecorded, func(r recording, _ drill.Result) (recording, error) { return r, nil }}}
	for _, what := range f.without {
		if _, err := (recording{}).without(what); err != nil {
			return nil, fmt.Errorf("--without: %w", err)
		}
		out = append(out, variant{"without " + what, func(r recording, _ drill.Result) (recording, error) { return r.without(what) }})
	}
	if f.drop > 0 {
		out = append(out, variant{fmt.Sprintf("without %.0f %% of the series", 100*f.drop), func(r recording, t drill.Result) (recording, error) {
			return r.dropping(f.drop, f.seed<<32^t.Seed), nil
		}})
	}
	return out, nil
}

// findBundles reads the recordings below folders that hold the truth of their run, inside or in a file of the
// same name beside them.
func findBundles(dirs []string) (bundles []bundle, skipped []setAside, err error) {
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(path, ".txtar.gz") {
				return err
			}
			b, err := readBundle(path)
			if err == nil && b.truth.Error != "" {
				err = fmt.Errorf("the run failed: %s", firstLine(b.truth.Error))
			}
			if err != nil {
				skipped = append(skipped, setAside{path, err.Error()})
				return nil
			}
			bundles = append(bundles, b)
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	slices.SortFunc(bundles, func(a, b bundle) int { return strings.Compare(a.path, b.path) })
	return bundles, skipped, nil
}

func readBundle(path string) (bundle, error) {
	b := bundle{path: path}
	var err error
	if b.rec, err = readRecording(path); err != nil {
		return b, err
	}
	truth := b.rec.truth
	if beside, err := os.ReadFile(strings.TrimSuffix(path, ".txtar.gz") + ".json"); err == nil {
		truth = beside // written at the end of the run: it knows more
	}
	if truth == nil {
		return b, errors.New("nobody wrote down what was injected")
	}
	if err := json.Unmarshal(truth, &b.truth); err != nil {
		return b, fmt.Errorf("truth: %w", err)
	}
	if b.truth.ID == "" || b.truth.Error == "" && b.truth.Injected.At.IsZero() {
		return b, errors.New("the truth names no drill, or not when the fault was injected")
	}
	b.truth.Recording = path
	return b, nil
}

// rescore plays every bundle in every variant.
func rescore(ctx context.Context, p Process, rulebook *rules.Catalog, bundles []bundle, variants []variant, allowBusy bool) (rescored, error) {
	out := rescored{
		Recordings: len(bundles), Skipped: []setAside{}, Disagree: []disagreement{},
		Score: map[string]map[string]map[string]drill.Family{}, Results: map[string][]drill.Result{},
	}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for _, v := range variants {
		results := make([]drill.Result, len(bundles))
		out.Results[v.name] = results
		for i, b := range bundles {
			g.Go(func() error {
				res, err := b.play(ctx, rulebook, v)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", b.path, v.name, err)
				}
				results[i] = res
				p.progress("%-28s %s", v.name, resultLine(res))
				mu.Lock()
				defer mu.Unlock()
				if how := b.truth.Differs(res); v.name == asRecorded && b.truth.Ticks > 0 && how != "" {
					out.Disagree = append(out.Disagree, disagreement{b.path, how})
				}
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		return out, err
	}
	slices.SortFunc(out.Disagree, func(a, b disagreement) int { return strings.Compare(a.File, b.File) })
	for name, results := range out.Results {
		out.Score[name] = drill.Score(results, allowBusy)
	}
	return out, nil
}

// play judges a replay as the live run was judged.
func (b bundle) play(ctx context.Context, rulebook *rules.Catalog, v variant) (drill.Result, error) {
	res := b.truth.Unjudged()
	rec, err := v.change(b.rec, b.truth)
	if err != nil {
		return res, err
	}
	_, err = rec.replay(ctx, rulebook, b.truth.TickedAt, res.Judge)
	res.LateTicks = b.truth.LateTicks // a replay is never late; whether the run counts is the live run's
	return res, err
}

func writeRescored(p Process, variants []variant, out rescored) {
	for _, s := range out.Skipped {
		fmt.Fprintf(p.Stdout, "skipped %s: %s\n", s.File, s.Why)
	}
	base := out.Score[asRecorded]
	for _, v := range variants {
		if v.name == asRecorded && len(variants) > 1 {
			continue
		}
		fmt.Fprintf(p.Stdout, "\n%s (as recorded → now)\n", v.name)
		writeBeside(p, base, out.Score[v.name])
		for i, r := range out.Results[v.name] {
			if was := out.Results[asRecorded][i]; was.Right != r.Right || len(was.Wrong) != len(r.Wrong) {
				fmt.Fprintln(p.Stdout, "  "+resultLine(r))
			}
		}
	}
	fmt.Fprintf(p.Stdout, "\n%d recordings; played as recorded, %d came out otherwise than live\n", out.Recordings, len(out.Disagree))
	for _, d := range out.Disagree {
		fmt.Fprintf(p.Stdout, "  %s: live and replay: %s\n", d.File, d.How)
	}
}

// writeBeside prints two scores as one table.
func writeBeside(p Process, base, now map[string]map[string]drill.Family) {
	w := tabwriter.NewWriter(p.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "FAMILY\tTARGET\tRUNS\tFIRST\tIN A SET\tTOP 3\tFALSE ALARMS\tWRONG AT .9\tNOT COUNTED")
	for _, name := range slices.Sorted(maps.Keys(now)) {
		for _, target := range slices.Sorted(maps.Keys(now[name])) {
			a, b := base[name][target], now[name][target]
			fmt.Fprintf(w, "%s\t%s\t%d\t%d → %d\t%d → %d\t%d → %d\t%d → %d\t%d → %d\t%d\n", name, target, b.Runs,
				a.Top1, b.Top1, a.InSet, b.InSet, a.Top3, b.Top3, a.FalseAlarms, b.FalseAlarms, a.ConfidentWrong, b.ConfidentWrong, b.Failed)
		}
	}
	_ = w.Flush()
}

package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/streamkeeper-io/streamkeeper/collectors/series"
	"github.com/streamkeeper-io/streamkeeper/rules"
)

func rulesCommand(p Process) *cobra.Command {
	var folders []string
	c := &cobra.Command{Use: "rules", Short: "The catalog: list, show, lint and test rules"}
	c.PersistentFlags().StringArrayVar(&folders, "rules", nil, "folder with more rules (repeatable)")
	with := func(run func(*rules.Catalog, []string) error) func(*cobra.Command, []string) error {
		return func(_ *cobra.Command, args []string) error {
			rulebook, err := loadCatalog(folders)
			if err != nil {
				return usage(err)
			}
			return run(rulebook, args)
		}
	}
	var output string
	list := &cobra.Command{Use: "list", Short: "List causes, symptoms and evidence", RunE: with(func(r *rules.Catalog, _ []string) error { return listRules(p, r, output) })}
	list.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	show := &cobra.Command{Use: "show ID", Short: "Show a rule and what it hangs on", Args: cobra.ExactArgs(1), RunE: with(func(r *rules.Catalog, args []string) error { return showRule(p, r, args[0]) })}
	lint := &cobra.Command{Use: "lint", Short: "Check that rules are sound and can be told apart", RunE: with(func(r *rules.Catalog, _ []string) error { return lintRules(p, r) })}
	test := &cobra.Command{Use: "test", Short: "Run the examples that each rule carries", RunE: with(func(r *rules.Catalog, _ []string) error { return testRules(p, r) })}
	c.AddCommand(list, show, lint, test)
	return c
}

func listRules(p Process, r *rules.Catalog, output string) error {
	all := rulebookView{r}.Rules()
	if output == "json" {
		return json.NewEncoder(p.Stdout).Encode(all)
	}
	w := tabwriter.NewWriter(p.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "KIND\tID\tON\tTITLE")
	for _, rule := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", rule.Kind, rule.ID, rule.Entity, rule.Title)
	}
	return w.Flush()
}

func showRule(p Process, r *rules.Catalog, id string) error {
	if c, ok := r.Cause(id); ok {
		fmt.Fprintf(p.Stdout, "%s (cause on a %s)\n%s\n\n", c.ID, c.Entity, c.Title)
		w := tabwriter.NewWriter(p.Stdout, 0, 0, 3, ' ', 0)
		for _, e := range c.Edges {
			n, _ := r.Node(e.Node)
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", e.Word, e.Node, n.Title, e.AppliesWhen)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if len(c.References) > 0 {
			fmt.Fprintln(p.Stdout, "\nreferences: "+strings.Join(c.References, ", "))
		}
		return nil
	}
	n, ok := r.Node(id)
	if !ok {
		return usage(fmt.Errorf("no rule %q; `streamkeeper rules list` lists them", id))
	}
	fmt.Fprintf(p.Stdout, "%s (on a %s)\n%s\n%s\n\nspeaks for:\n", n.ID, n.Entity, n.Title, n.Why)
	for _, c := range r.Causes() {
		for _, e := range c.Edges {
			if e.Node == id {
				fmt.Fprintf(p.Stdout, "  %-34s %s\n", c.ID, e.Word)
			}
		}
	}
	return nil
}

func lintRules(p Process, r *rules.Catalog) error {
	failed := 0
	for _, remark := range r.Lint(rules.LintOptions{CheckQuery: series.CheckQuery}) {
		fmt.Fprintln(p.Stdout, remark)
		if remark.Severity == rules.RemarkError {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d errors in the rules", failed)
	}
	return nil
}

func testRules(p Process, r *rules.Catalog) error {
	passed, failed := 0, 0
	for _, e := range r.Test() {
		if e.Passed {
			passed++
			continue
		}
		failed++
		fmt.Fprintf(p.Stdout, "FAIL  %s:%d: %s: %s: %s\n", e.File, e.Line, e.Node, e.Name, e.Text)
	}
	fmt.Fprintf(p.Stdout, "%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		return errors.New("examples failed")
	}
	return nil
}

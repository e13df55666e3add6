package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/test/answers"
)

const diagnoseTimeout = 3 * time.Minute

// diagnose runs the command as a user would.
func (l *lab) diagnose(ctx context.Context, more ...string) ([]streamkeeper.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, diagnoseTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, l.o.binary, append([]string{"diagnose", "--prometheus", l.prometheus.url, "-o", "json"}, more...)...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	began := time.Now()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() > 1) {
		return nil, fmt.Errorf("diagnose: %w: %s", err, log.String())
	}
	var answer streamkeeper.Reports
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return nil, fmt.Errorf("diagnose printed no report: %w", err)
	}
	fmt.Printf("      diagnose %s took %.1f s, %d clusters\n", strings.Join(more, " "), time.Since(began).Seconds(), len(answer.Reports))
	if l.o.show {
		_, _ = os.Stdout.Write(out.Bytes())
	}
	return answer.Reports, nil
}

// judge prints what was said of each group in each dialect, and counts what is right.
func (l *lab) judge(reports []streamkeeper.Report) (right, of int) {
	for i := range reports {
		r := &reports[i]
		fmt.Printf("-- %s: %s\n", r.Cluster.Name, r.Headline)
		for _, g := range l.groups {
			of++
			if judgeGroup(g, r) {
				right++
			}
		}
		for _, n := range r.NotJudged {
			fmt.Printf("      not judged: %s (needs %s)\n", n.What, n.Needs)
		}
	}
	return right, of
}

func judgeGroup(g *group, r *streamkeeper.Report) bool {
	var first *streamkeeper.Finding
	for i := range r.Findings {
		if f := &r.Findings[i]; first == nil && f.Entity.Kind == streamkeeper.KindGroup && f.Entity.Name == g.name && f.Verdict != streamkeeper.VerdictBenign {
			first = f
		}
	}
	ok := g.fault.cause == ""
	if first != nil {
		ok = first.Cause == g.fault.cause || slices.Contains(first.Causes, g.fault.cause)
	}
	mark := "ok   "
	if !ok {
		mark = "FAIL "
	}
	fmt.Printf("%s %-32s given %s\n", mark, g.name, answers.Said(first))
	if !ok {
		explain(g, r)
	}
	return ok
}

// explain prints what was seen of the group.
func explain(g *group, r *streamkeeper.Report) {
	for _, s := range r.Symptoms {
		if s.Entity.Name == g.name {
			fmt.Printf("        symptom %s on %s: %s\n", s.ID, s.Entity, s.Text)
		}
	}
	answers.Explain(r, g.name)
}

// sameAt asks again for the moment of the reports, and reports whether the answer is the same in every word.
func (l *lab) sameAt(ctx context.Context, then []streamkeeper.Report) (bool, error) {
	if len(then) == 0 {
		return false, errors.New("there was no report")
	}
	same := true
	for _, r := range then {
		again, err := l.diagnose(ctx, "--cluster", r.Cluster.Name, "--at", r.GeneratedAt.Format(time.RFC3339Nano))
		if err != nil {
			return false, err
		}
		if len(again) != 1 || !reflect.DeepEqual(again[0], r) {
			same = false
			fmt.Printf("FAIL  %s: then %q, now %q\n", r.Cluster.Name, r.Headline, again[0].Headline)
		}
	}
	return same, nil
}

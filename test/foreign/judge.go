package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/test/answers"
)

// diagnose runs the command as a user would.
func (l *lab) diagnose(ctx context.Context) (*streamkeeper.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, l.o.window+diagnoseGrace)
	defer cancel()
	access := l.access
	if access == nil {
		access = []string{"--brokers", l.cluster.Bootstrap()}
	}
	args := append([]string{"diagnose", "--for", l.o.window.String(), "-o", "json"}, access...)
	if l.o.record != "" {
		l.recorded++
		args = append(args, "--record", filepath.Join(l.o.record, fmt.Sprintf("foreign-%d-%d.txtar.gz", os.Getpid(), l.recorded)))
	}
	cmd := exec.CommandContext(ctx, l.o.binary, args...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() > 1) {
		return nil, fmt.Errorf("diagnose: %w: %s", err, log.String())
	}
	var answer streamkeeper.Reports
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return nil, fmt.Errorf("diagnose printed no report: %w", err)
	}
	if len(answer.Reports) != 1 {
		return nil, fmt.Errorf("diagnose told of %d clusters", len(answer.Reports))
	}
	if l.o.show {
		_, _ = os.Stdout.Write(out.Bytes())
	}
	return &answer.Reports[0], nil
}

// recordFrom keeps what a watching server saw.
func (l *lab) recordFrom(ctx context.Context, address, name string) error {
	ctx, cancel := context.WithTimeout(ctx, diagnoseGrace)
	defer cancel()
	out, err := exec.CommandContext(ctx, l.o.binary, "record", "--server", address, "--out", filepath.Join(l.o.record, name)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("record: %w: %s", err, out)
	}
	return nil
}

// judge prints what was expected and what was said first, and reports whether that is right.
func (l *lab) judge(s *scenario, r *streamkeeper.Report) bool {
	given, right := l.answer(s, r)
	l.tell(s, r, given, right)
	return right
}

// check lets a scenario judge what was said of it itself.
func (l *lab) check(ctx context.Context, s *scenario, r *streamkeeper.Report) (right bool, err error) {
	said, right, err := s.check(ctx, l, l.work[s.name], r)
	if err != nil {
		return false, err
	}
	fmt.Printf("%s %-28s want %s, %s\n", marked(right), s.name, strings.Join(s.want(), " | "), said)
	if !right || l.o.why {
		l.explain(s, r)
	}
	return right, nil
}

func marked(right bool) string {
	if right {
		return "ok   "
	}
	return "FAIL "
}

func (l *lab) tell(s *scenario, r *streamkeeper.Report, given *streamkeeper.Finding, right bool) {
	fmt.Printf("%s %-28s want %s, given %s\n", marked(right), s.name, strings.Join(s.want(), " | "), answers.Said(given))
	if !right || l.o.why {
		l.explain(s, r)
	}
}

// answer is what is said first of a scenario, a fault before what is harmless; nil when nothing is.
func (l *lab) answer(s *scenario, r *streamkeeper.Report) (given *streamkeeper.Finding, right bool) {
	find := s.entity
	if find == nil {
		find = group
	}
	about := find(l, l.work[s.name])
	var first, harmless *streamkeeper.Finding
	for i := range r.Findings {
		f := &r.Findings[i]
		switch {
		case about.Kind == "" && f.Entity.Name != s.name, about.Kind != "" && (f.Entity.Kind != about.Kind || f.Entity.Name != about.Name):
		case f.Verdict == streamkeeper.VerdictBenign:
			harmless = cmp.Or(harmless, f)
		default:
			first = cmp.Or(first, f)
		}
	}
	switch {
	case s.cause() == "healthy":
		right = first == nil
	case s.benign:
		right = first == nil && harmless != nil && harmless.Cause == s.cause()
	default:
		right = first != nil && s.names(first)
	}
	return cmp.Or(first, harmless), right
}

func (s *scenario) want() []string {
	if len(s.causes) > 0 {
		return s.causes
	}
	return []string{s.cause()}
}

func (s *scenario) names(f *streamkeeper.Finding) bool {
	if s.apart != "" && (f.Cause == s.apart || slices.Contains(f.Causes, s.apart)) {
		return false
	}
	return slices.ContainsFunc(s.want(), func(c string) bool { return c == f.Cause || slices.Contains(f.Causes, c) })
}

// explain prints what was seen of the scenario's topic and group.
func (l *lab) explain(s *scenario, r *streamkeeper.Report) {
	about := s.name
	if s.entity != nil {
		about = cmp.Or(s.entity(l, l.work[s.name]).Name, about)
	}
	for _, x := range r.Symptoms {
		if x.Entity.Name == s.name || x.Entity.Name == about || x.Entity.Kind == streamkeeper.KindBroker {
			fmt.Printf("        symptom %s on %s: %s\n", x.ID, x.Entity, x.Text)
		}
	}
	for _, name := range slices.Compact([]string{about, s.name}) {
		answers.Explain(r, name)
	}
}

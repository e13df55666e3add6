package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Exit codes of every command; those of `diagnose` are a contract with scripts.
const (
	exitOK       = 0
	exitFindings = 1 // findings at or above --fail-on; any other failure of other commands
	exitUsage    = 2 // bad usage or configuration
	exitBlind    = 3 // could not observe
)

// exitError is an error with its exit code. A nil err exits without a message.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

func usage(err error) error {
	if err == nil {
		return nil
	}
	return exitError{exitUsage, err}
}

func blind(err error) error { return exitError{exitBlind, err} }

// Process is what the program has of the outside: tests give their own.
type Process struct {
	Args           []string
	Getenv         func(string) string
	Environ        func() []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// terminal reports whether w is a terminal: colour and progress are for those only.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (p Process) painter() painter {
	return painter(terminal(p.Stdout) && p.Getenv("NO_COLOR") == "")
}

// progress writes a line about long work to stderr, if that is a terminal.
func (p Process) progress(format string, args ...any) {
	if terminal(p.Stderr) {
		fmt.Fprintf(p.Stderr, format+"\n", args...)
	}
}

// Run runs one command and returns its exit code. It returns soon after ctx ends.
func Run(ctx context.Context, p Process) int {
	root := rootCommand(p)
	root.SetArgs(p.Args)
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var e exitError
	switch {
	case errors.As(err, &e):
	case strings.HasPrefix(err.Error(), "unknown command"): // cobra has no type for it
		e = exitError{exitUsage, err}
	default:
		e = exitError{exitFindings, err}
	}
	if e.err != nil {
		fmt.Fprintln(p.Stderr, "streamkeeper: "+e.err.Error())
	}
	return e.code
}

func rootCommand(p Process) *cobra.Command {
	root := &cobra.Command{
		Use:           "streamkeeper",
		Short:         "Says why a message-streaming platform is late, and what to change",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       Version(),
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage(fmt.Errorf("%w; see `%s --help`", err, c.CommandPath()))
	})
	for _, add := range commands {
		root.AddCommand(add(p))
	}
	forUsage(root)
	return root
}

// commands is every command, in the order of the help page.
var commands = []func(Process) *cobra.Command{
	upCommand,
	demoCommand,
	diagnoseCommand,
	drillCommand,
	rulesCommand,
	recordCommand,
	deployCommand,
	incidentCommand,
	brokerCommand,
	versionCommand,
}

// forUsage makes wrong arguments exit with the usage code in every command.
func forUsage(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error { return usage(check(c, args)) }
	} else if !c.HasSubCommands() {
		c.Args = func(c *cobra.Command, args []string) error { return usage(cobra.NoArgs(c, args)) }
	}
	for _, sub := range c.Commands() {
		forUsage(sub)
	}
}

// Version is the module's version and commit, as the Go toolchain recorded them.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 && v == "devel" {
			v += "-" + s.Value[:12]
		}
	}
	return v
}

func versionCommand(p Process) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(p.Stdout, "streamkeeper "+Version())
			return err
		},
	}
}

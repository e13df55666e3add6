// Command streamkeeper says why a message-streaming platform is late and what to change. Everything
// is in package cli; this file only hands over the process.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/streamkeeper-io/streamkeeper/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(cli.Run(ctx, cli.Process{
		Args:   os.Args[1:],
		Getenv: os.Getenv, Environ: os.Environ,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}))
}

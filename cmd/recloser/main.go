// Command recloser is one MCP endpoint in front of many MCP servers. It keeps
// answering when their credentials expire, are revoked or rotated, and when they
// hang, crash or come back.
//
// Rules of its screen: results go to standard output, everything else to
// standard error. Each error says what happened and what to do. Colors and
// redrawn lines are for terminals only; --json is for programs.
//
// Exit codes: 0 fine, 1 a run failed or what was asked for is not well, 2 wrong
// usage or configuration, 3 authentication, 4 unreachable, 5 a tool reports an
// error.
package main

//go:generate go test . -run TestCommandsPage -update

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

const (
	exitFailed         = 1
	exitUsage          = 2
	exitAuthentication = 3
	exitUnreachable    = 4
	exitTool           = 5
)

// exitError is an error with the exit code it stands for. Without a text of its
// own everything has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	tuneRuntime()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	asked, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	var e *exitError
	if errors.As(err, &e) {
		if e.err != nil {
			fmt.Fprintln(os.Stderr, e.err)
		}
		return e.code
	}
	fmt.Fprintf(os.Stderr, "recloser: %v\nSee %s --help.\n", err, asked.CommandPath())
	return exitUsage
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "recloser",
		Short: "One MCP endpoint in front of many, that keeps answering when credentials fail",
		Long: "Recloser is one MCP endpoint in front of many MCP servers. It keeps answering when their\n" +
			"credentials expire, are revoked or rotated, and when they hang, crash or come back.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSuchCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	for _, g := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"Run a gateway:", []*cobra.Command{newDemo(), newServe(), newStdio(), newValidate(), newConfig()}},
		{"Look after one that runs:", []*cobra.Command{newStatus(), newDoctor(), newEvents(), newTools(), newBackend(), newReload()}},
		{"Understand it:", []*cobra.Command{newExplain(), newVersion()}},
	} {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.title
			root.AddCommand(c)
		}
		root.SetHelpCommandGroupID(g.title) // the last one
		root.SetCompletionCommandGroupID(g.title)
	}
	return root
}

// noSuchCommand refuses what is no command of another, with the one that was meant.
func noSuchCommand(of *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range of.Commands() {
		names = append(names, c.Name())
	}
	return fmt.Errorf("unknown command %q%s", args[0], meant(args[0], names))
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// tuneRuntime lets the collector run less often: a gateway's live heap is small.
// The environment wins.
func tuneRuntime() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(2 << 30)
	}
}

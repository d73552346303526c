package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/recloser-mcp/recloser/config"
	"github.com/recloser-mcp/recloser/server"
)

const configHelp = "the configuration: YAML, or the JSON file of an MCP client"

func newServe() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Serve all backends of a configuration at one MCP endpoint",
		Long: "Serves the backends of a configuration at /mcp, and each of them alone at /mcp/NAME.\n" +
			"The admin listener has the console, /api/v1/status, /healthz, /readyz and /metrics.\n" +
			"A changed file, SIGHUP or `recloser reload` puts a new configuration into effect, if it is\n" +
			"valid; what did not change keeps its connections, sessions and breakers.\n" +
			"SIGTERM or an interrupt drains: calls in flight are let end, within drainTimeout.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			doc, err := load(file, c.ErrOrStderr(), "; nothing was started")
			if err != nil {
				return err
			}
			level := &slog.LevelVar{}
			level.Set(doc.Log.SlogLevel())
			log := slog.New(logHandler(c.ErrOrStderr(), doc.Log, level))
			s, err := server.New(c.Context(), doc, server.Options{Version: version, Logger: log, Level: level, Watch: file, Load: loader(file)})
			if err != nil {
				return &exitError{exitUsage, fmt.Errorf("recloser: %w", err)}
			}
			defer reloadOnHangup(c.Context(), s)()
			if err := s.Run(c.Context()); err != nil {
				return &exitError{exitFailed, fmt.Errorf("recloser: %w", err)}
			}
			return nil
		},
	}
	addConfigFlag(c, &file)
	return c
}

func newValidate() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "validate --config FILE",
		Short: "Check a configuration; print every mistake with its place and its fix",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			doc, err := load(file, c.ErrOrStderr(), "")
			if err != nil {
				return err
			}
			n := 0
			for _, b := range doc.Backends {
				if !b.Disabled {
					n++
				}
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s is valid: %s, MCP on %s, admin on %s\n", file, count(n, "backend"), doc.Listen, doc.Admin.Listen)
			return err
		},
	}
	addConfigFlag(c, &file)
	return c
}

func addConfigFlag(c *cobra.Command, file *string) {
	c.Flags().StringVarP(file, "config", "c", "", configHelp)
	_ = c.MarkFlagRequired("config")
}

// load reads a configuration. Warnings are printed; an error stands for exit code
// 2, lists every problem and ends with what follows from them.
func load(file string, errOut io.Writer, follows string) (*config.Document, error) {
	doc, warnings, err := config.Load(file, config.LoadOptions{Env: os.LookupEnv})
	for _, w := range warnings {
		_, _ = fmt.Fprintln(errOut, "warning:", w)
	}
	if err == nil {
		return doc, nil
	}
	var problems config.Problems
	if errors.As(err, &problems) {
		return nil, &exitError{exitUsage, fmt.Errorf("%w\nrecloser: %s has %s%s", err, file, count(len(problems), "mistake"), follows)}
	}
	return nil, &exitError{exitUsage, fmt.Errorf("recloser: %w", err)}
}

// loader reads the configuration again.
func loader(file string) func() (*config.Document, []config.Warning, error) {
	return func() (*config.Document, []config.Warning, error) {
		return config.Load(file, config.LoadOptions{Env: os.LookupEnv})
	}
}

// reloadOnHangup reloads at each SIGHUP until stop is called.
func reloadOnHangup(ctx context.Context, s *server.Server) (stop func()) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-hangup:
				_, _ = s.Reload(ctx) // the log says what became of it
			case <-done:
				return
			}
		}
	})
	return func() {
		signal.Stop(hangup)
		close(done)
		wg.Wait()
	}
}

// logHandler writes text on a terminal and JSON elsewhere, unless told otherwise.
func logHandler(w io.Writer, o config.Log, level slog.Leveler) slog.Handler {
	h := &slog.HandlerOptions{Level: level}
	if o.Format == "text" || o.Format != "json" && isTerminal(w) {
		return slog.NewTextHandler(w, h)
	}
	return slog.NewJSONHandler(w, h)
}

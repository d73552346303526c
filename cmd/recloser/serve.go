package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

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
			"The admin listener has /api/v1/status, /healthz, /readyz and /metrics.\n" +
			"SIGTERM or an interrupt drains: calls in flight are let end, within drainTimeout.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			doc, err := load(file, c.ErrOrStderr(), "; nothing was started")
			if err != nil {
				return err
			}
			log := slog.New(logHandler(c.ErrOrStderr(), doc.Log))
			s, err := server.New(c.Context(), doc, server.Options{Version: version, Logger: log})
			if err != nil {
				return &exitError{exitUsage, fmt.Errorf("recloser: %w", err)}
			}
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

// logHandler writes text on a terminal and JSON elsewhere, unless told otherwise.
func logHandler(w io.Writer, o config.Log) slog.Handler {
	h := &slog.HandlerOptions{Level: o.SlogLevel()}
	if o.Format == "text" || o.Format != "json" && isTerminal(w) {
		return slog.NewTextHandler(w, h)
	}
	return slog.NewJSONHandler(w, h)
}

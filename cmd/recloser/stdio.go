package main

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recloser-mcp/recloser/server"
)

func newStdio() *cobra.Command {
	var file, only string
	c := &cobra.Command{
		Use:   "stdio --config FILE",
		Short: "Serve one client over standard input and output, for clients that only speak stdio",
		Long: "Serves all backends of a configuration to the one client that starts this command, over\n" +
			"standard input and output. Nothing listens on the network. The log goes to standard error.\n\n" +
			"In the client's own configuration:\n\n" +
			`  {"mcpServers": {"all": {"command": "recloser", "args": ["stdio", "--config", "/path/to/mcp.json"]}}}`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			doc, err := load(file, c.ErrOrStderr(), "; nothing was started")
			if err != nil {
				return err
			}
			path := "/mcp"
			if only != "" {
				var slugs []string
				for _, b := range doc.Backends {
					if b.Name == only || b.Slug == only {
						path = "/mcp/" + b.Slug
					}
					slugs = append(slugs, b.Name)
				}
				if path == "/mcp" {
					return &exitError{exitUsage, fmt.Errorf("recloser: --backend %s: there is no such backend in %s: use one of %s", only, file, strings.Join(slugs, ", "))}
				}
			}
			level := &slog.LevelVar{}
			level.Set(doc.Log.SlogLevel())
			log := slog.New(logHandler(c.ErrOrStderr(), doc.Log, level))
			s, err := server.New(c.Context(), doc, server.Options{Version: version, Logger: log, Level: level, Watch: file, Load: loader(file), Listen: server.NoListener})
			if err != nil {
				return &exitError{exitUsage, fmt.Errorf("recloser: %w", err)}
			}
			if err := s.RunStdio(c.Context(), path, c.InOrStdin(), c.OutOrStdout()); err != nil {
				return &exitError{exitFailed, fmt.Errorf("recloser: %w", err)}
			}
			return nil
		},
	}
	addConfigFlag(c, &file)
	c.Flags().StringVar(&only, "backend", "", "serve only this backend, under its own names")
	return c
}

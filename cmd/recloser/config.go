package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/recloser-mcp/recloser/config"
)

func newConfig() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Show the configuration as it is in effect, or its JSON Schema",
		Args:  noSuchCommand,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newConfigShow(), newConfigSchema())
	return c
}

func newConfigSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration, for editors",
		Long: "Prints the JSON Schema of the configuration. Editors complete and check a file with it, for instance one\n" +
			"that begins with\n\n" +
			"  # yaml-language-server: $schema=recloser.schema.json\n\n" +
			"or, in JSON, with the key \"$schema\".",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(config.Schema())
			return err
		},
	}
}

func newConfigShow() *cobra.Command {
	var at access
	c := &cobra.Command{
		Use:   "show",
		Short: "Print the configuration with every default, without its secrets",
		Long: "Prints a configuration as it is in effect, as YAML: with every default, without what has no effect.\n" +
			"With --config that of the file, without that of the running gateway. Secrets are left out; variables\n" +
			"and files are named as they are written, and not replaced.\n\n" +
			"Without --config the gateway is asked as by status: see `recloser status --help`.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if at.file != "" {
				doc, err := load(at.file, c.ErrOrStderr(), "")
				if err != nil {
					return err
				}
				_, err = io.WriteString(c.OutOrStdout(), doc.YAML())
				return err
			}
			client, err := at.client()
			if err != nil {
				return err
			}
			ctx, cancel := within(c, askLimit)
			defer cancel()
			loaded, err := client.Config(ctx)
			if err != nil {
				return refused(err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "# %s, in effect since %s\n%s", printable(loaded.File), loaded.LoadedAt.Format(time.RFC3339), loaded.Config)
			return err
		},
	}
	at.flags(c)
	c.Flags().Lookup("config").Usage = "show this file, and ask no gateway"
	return c
}

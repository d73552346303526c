package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/recloser-mcp/recloser/admin"
)

func newBackend() *cobra.Command {
	c := &cobra.Command{
		Use:   "backend",
		Short: "Act on one backend of a running gateway: probe, renew, reset, pause, resume",
		Args:  noSuchCommand,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	for _, a := range []struct {
		action      admin.Action
		short, more string
	}{
		{admin.Probe, "Ask a backend now whether it answers", "The gateway probes by itself every health.interval; this one is made at once, and waited for."},
		{admin.Renew, "Renew the credential of a backend now", "A given token cannot be renewed: put a new one into its file, which is taken up by itself."},
		{admin.Reset, "Close the breaker of a backend", "The next calls are sent as if nothing had been refused before."},
		{admin.Pause, "Take a backend out of service", "Its tools are not listed until it is resumed, or the gateway is started again."},
		{admin.Resume, "Put a paused backend back into service", "Its tools are listed again."},
	} {
		c.AddCommand(newAct(a.action, a.short, a.more))
	}
	return c
}

func newAct(action admin.Action, short, more string) *cobra.Command {
	var (
		at     access
		asJSON bool
	)
	c := &cobra.Command{
		Use:   string(action) + " NAME",
		Short: short,
		Long:  short + ". " + more + "\n\n" + accessHelp,
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := at.client()
			if err != nil {
				return err
			}
			ctx, cancel := within(c, actLimit)
			defer cancel()
			done, err := client.Act(ctx, args[0], action)
			if err != nil {
				return refused(err)
			}
			return printDone(c, done, asJSON)
		},
	}
	at.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON, with the status afterwards")
	return c
}

func newReload() *cobra.Command {
	var (
		at     access
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "reload",
		Short: "Have a running gateway read its configuration again",
		Long: "Has the running gateway read its configuration again. What did not change keeps its connections, sessions\n" +
			"and breakers. A configuration with mistakes is not taken up: they are printed as validate prints them,\n" +
			"nothing changes, and the exit code is 2.\n\n" + accessHelp,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := at.client()
			if err != nil {
				return err
			}
			ctx, cancel := within(c, actLimit)
			defer cancel()
			done, err := client.Reload(ctx)
			var e *admin.Error
			if errors.As(err, &e) && len(e.Problems) > 0 {
				for _, p := range e.Problems {
					_, _ = fmt.Fprintln(c.ErrOrStderr(), printable(p.String()))
				}
				return &exitError{exitUsage, fmt.Errorf("recloser: %s; %s, and what ran before goes on", e.Message, count(len(e.Problems), "mistake"))}
			}
			if errors.As(err, &e) && e.Kind == admin.Refused {
				return &exitError{exitUsage, fmt.Errorf("recloser: %s", e.Message)}
			}
			if err != nil {
				return refused(err)
			}
			return printDone(c, done, asJSON)
		},
	}
	at.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}

// printDone prints what an action did.
func printDone(c *cobra.Command, done *admin.Done, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(c.OutOrStdout())
		e.SetIndent("", "  ")
		return e.Encode(done)
	}
	_, err := fmt.Fprintln(c.OutOrStdout(), printable(done.Message))
	return err
}

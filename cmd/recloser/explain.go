package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recloser-mcp/recloser/status"
)

func newExplain() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "explain [CODE]",
		Short: "Explain a reason: its cause, what the gateway does, what you do, what clients see",
		Long: "Explains a reason that a status or an error names. Without one all reasons are listed.\n" +
			"NAME in a text stands for the name of a backend, FILE for the configuration.",
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: codes(),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return list(c.OutOrStdout(), asJSON)
			}
			e, ok := status.Explain(status.Reason(args[0]))
			if !ok {
				return &exitError{exitUsage, fmt.Errorf("recloser: there is no reason %q%s\nSee `recloser explain` for all of them", args[0], meant(args[0], codes()))}
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(spelled(e))
			}
			_, err := io.WriteString(c.OutOrStdout(), e.Text())
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}

func codes() []string {
	var all []string
	for _, r := range status.Reasons() {
		all = append(all, string(r))
	}
	return all
}

// list prints every reason with its cause.
func list(out io.Writer, asJSON bool) error {
	var b strings.Builder
	var all []any
	for _, r := range status.Reasons() {
		e, _ := status.Explain(r)
		all = append(all, spelled(e))
		fmt.Fprintf(&b, "%-20s %s\n", r, e.Cause)
	}
	if asJSON {
		return json.NewEncoder(out).Encode(all)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// spelled is an explanation with the names that the status has for its parts.
func spelled(e status.Explanation) map[string]string {
	return map[string]string{"reason": string(e.Reason), "message": e.Cause, "tried": e.Did, "fix": e.Do, "clientsSee": e.Clients}
}

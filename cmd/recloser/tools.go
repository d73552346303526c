package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/recloser-mcp/recloser/admin"
	"github.com/recloser-mcp/recloser/status"
)

func newTools() *cobra.Command {
	c := &cobra.Command{
		Use:   "tools",
		Short: "List the tools of a running gateway, or try one",
		Args:  noSuchCommand,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newToolsList(), newToolsCall())
	return c
}

// tool is one tool as `tools list --json` prints it.
type tool struct {
	Name        string          `json:"name"` // as clients of /mcp see it
	Backend     string          `json:"backend"`
	Original    string          `json:"original"` // the backend's own name
	Served      bool            `json:"served"`   // a call can be expected to succeed
	Description string          `json:"description,omitempty"`
	Definition  json.RawMessage `json:"definition"`
}

func newToolsList() *cobra.Command {
	var (
		at     access
		only   string
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "list",
		Short: "List the tools under the names that clients see",
		Long: "Lists the tools of all backends under the names that clients of /mcp see. Those of a backend in\n" +
			"trouble stay listed; they are marked, because calls to them fail.\n\n" + accessHelp,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := at.client()
			if err != nil {
				return err
			}
			ctx, cancel := within(c, askLimit)
			defer cancel()
			tools, err := listTools(ctx, client, only)
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(c.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(tools)
			}
			return newScreen(c.OutOrStdout()).tools(tools)
		},
	}
	at.flags(c)
	c.Flags().StringVar(&only, "backend", "", "only the tools of this backend")
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON, with the whole definitions")
	return c
}

// listTools reads the catalogs of the backends.
func listTools(ctx context.Context, client *admin.Client, only string) ([]tool, error) {
	st, err := client.Status(ctx)
	if err != nil {
		return nil, refused(err)
	}
	tools, names, found := []tool{}, []string{}, false
	for _, b := range st.Backends {
		names = append(names, b.Name)
		if only != "" && only != b.Name {
			continue
		}
		found = true
		detail, err := client.Backend(ctx, b.Name)
		if err != nil {
			return nil, refused(err)
		}
		for _, e := range detail.Catalog {
			if e.Kind != "tool" {
				continue
			}
			var d struct{ Description string }
			_ = json.Unmarshal(e.Definition, &d) // without one there is none to show
			tools = append(tools, tool{e.Public, b.Name, e.Name, b.Status.Serves() && !b.Paused, d.Description, e.Definition})
		}
	}
	if only != "" && !found {
		return nil, noSuchBackend(only, names)
	}
	return tools, nil
}

func (s *screen) tools(tools []tool) error {
	var rows [][]cell
	for _, t := range tools {
		sign := signs[status.BackendStatusReady]
		if !t.Served {
			sign = signs[status.BackendStatusUnavailable]
		}
		about, _, _ := strings.Cut(strings.TrimSpace(t.Description), "\n")
		if n := []rune(about); len(n) > 100 {
			about = string(n[:99]) + "…"
		}
		rows = append(rows, []cell{{sign.shape, sign.color}, {text: printable(t.Name)}, {text: printable(t.Backend)}, {text: printable(about)}})
	}
	var b strings.Builder
	s.table(&b, []column{{head: " "}, {head: "NAME"}, {head: "BACKEND", drop: 2}, {head: "ABOUT", drop: 3}}, rows)
	_, err := io.WriteString(s, b.String())
	return err
}

func newToolsCall() *cobra.Command {
	var (
		at     access
		values []string
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "call NAME [JSON]",
		Short: "Call a tool through the gateway, as a client would",
		Long: "Calls a tool by the name that clients of /mcp see, through the running gateway and just as a client\n" +
			"would: with its recovery, its limits and its rules. The arguments are a JSON object, or are given one\n" +
			"by one with --arg; a value that is JSON is taken as such (5, true, [1,2]), everything else as a text.\n\n" +
			accessHelp + "\n\n" +
			"Exit codes: 5 when the tool reports an error, 3 when its backend or the gateway refuses the credential,\n" +
			"4 when one of them cannot be reached, 1 when the call fails otherwise.",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			arguments, err := argumentsOf(args[1:], values)
			if err != nil {
				return &exitError{exitUsage, fmt.Errorf("recloser: %w", err)}
			}
			client, err := at.client()
			if err != nil {
				return err
			}
			called, err := client.CallTool(c.Context(), args[0], arguments)
			if err != nil {
				return refused(err)
			}
			return showCall(c.OutOrStdout(), called, asJSON)
		},
	}
	at.flags(c)
	c.Flags().StringArrayVar(&values, "arg", nil, "an argument, as NAME=VALUE; may be repeated")
	c.Flags().BoolVar(&asJSON, "json", false, "print the result or the error as it came")
	return c
}

// argumentsOf makes the object of arguments.
func argumentsOf(text, values []string) (json.RawMessage, error) {
	if len(text) > 0 {
		var object map[string]json.RawMessage
		switch err := json.Unmarshal([]byte(text[0]), &object); {
		case len(values) > 0:
			return nil, fmt.Errorf("arguments are given as JSON and with --arg: keep one of the two")
		case err != nil || object == nil:
			return nil, fmt.Errorf("the arguments are not a JSON object: write them as '{\"name\": \"value\"}'")
		}
		return json.RawMessage(text[0]), nil
	}
	object := map[string]json.RawMessage{}
	for _, v := range values {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--arg %q: write it as NAME=VALUE", v)
		}
		if _, twice := object[name]; twice {
			return nil, fmt.Errorf("--arg %s is given twice", name)
		}
		if json.Valid([]byte(value)) {
			object[name] = json.RawMessage(value)
			continue
		}
		object[name], _ = json.Marshal(value) // a text can be written
	}
	return json.Marshal(object)
}

// showCall prints the answer to a call. Its error has the exit code.
func showCall(out io.Writer, called *admin.Called, asJSON bool) error {
	if asJSON {
		raw := called.Result
		if len(called.Error) > 0 {
			raw = called.Error
		}
		var b bytes.Buffer
		if json.Indent(&b, raw, "", "  ") != nil {
			b.Reset()
			b.Write(raw)
		}
		if _, err := fmt.Fprintln(out, b.String()); err != nil {
			return err
		}
	}
	if len(called.Error) > 0 {
		return callError(called.Error, asJSON)
	}
	var result struct {
		IsError           bool              `json:"isError"`
		Content           []json.RawMessage `json:"content"`
		StructuredContent json.RawMessage   `json:"structuredContent"`
	}
	if err := json.Unmarshal(called.Result, &result); err != nil {
		return &exitError{exitFailed, fmt.Errorf("recloser: the tool answered something that is no result: %w", err)}
	}
	if !asJSON {
		if err := showContent(out, result.Content, result.StructuredContent); err != nil {
			return err
		}
	}
	if result.IsError {
		return &exitError{exitTool, fmt.Errorf("recloser: the tool reports an error")}
	}
	return nil
}

// showContent prints texts as they are and everything else as JSON.
func showContent(out io.Writer, content []json.RawMessage, structured json.RawMessage) error {
	if len(content) == 0 && len(structured) > 0 {
		content = []json.RawMessage{structured}
	}
	s := newScreen(out)
	for _, raw := range content {
		var part struct{ Type, Text string }
		text := string(raw)
		if json.Unmarshal(raw, &part) == nil && part.Type == "text" {
			text = part.Text
			if s.terminal { // nobody's tool steers a terminal
				lines := strings.Split(text, "\n")
				for i := range lines {
					lines[i] = printable(lines[i])
				}
				text = strings.Join(lines, "\n")
			}
		}
		if _, err := fmt.Fprintln(out, text); err != nil {
			return err
		}
	}
	return nil
}

// callError is the error of a call that was not answered by the tool.
func callError(raw json.RawMessage, said bool) error {
	var e struct {
		Code    int
		Message string
		Data    struct{ Reason, Hint string }
	}
	_ = json.Unmarshal(raw, &e) // what it does not say stays empty
	code := exitTool            // the backend's own error
	switch status.Reason(e.Data.Reason) {
	case "":
	case status.ReasonAuthRefused, status.ReasonAuthForbidden, status.ReasonScopeMissing, status.ReasonGrantExpired,
		status.ReasonRenewalUnavailable, status.ReasonBreakerOpen:
		code = exitAuthentication
	case status.ReasonUnreachable, status.ReasonTLSFailed, status.ReasonProcessExited:
		code = exitUnreachable
	default:
		code = exitFailed
	}
	if said {
		return &exitError{code: code}
	}
	text := printable(e.Message)
	if e.Data.Reason != "" {
		text += " [" + printable(e.Data.Reason) + "]"
	}
	if e.Data.Hint != "" {
		text += "\n" + printable(e.Data.Hint)
	}
	if _, known := status.Explain(status.Reason(e.Data.Reason)); known {
		text += "\nSee `recloser explain " + e.Data.Reason + "`"
	}
	return &exitError{code, fmt.Errorf("recloser: %s", text)}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// scenario is what the client does in a scenario of the suite, by the suite's
// description of it.
type scenario struct {
	// elicit is what the user answers; nil: the client has no elicitation.
	elicit map[string]any
	run    func(ctx context.Context, s *mcp.ClientSession, calls []mcp.CallToolParams) error
}

var scenarios = map[string]scenario{
	"initialize":                          {run: list},
	"request-metadata":                    {run: list},
	"json-schema-ref-no-deref":            {run: list},
	"json-schema-2020-12-preservation":    {run: echoSchema},
	"tools_call":                          {run: add},
	"elicitation-sep1034-client-defaults": {run: call("test_client_elicitation_defaults"), elicit: map[string]any{}},
	"sep-2322-client-request-state":       {run: severalRounds, elicit: map[string]any{"confirmed": true}},
	"sse-retry":                           {run: call("test_reconnection")},
	"http-standard-headers":               {run: oneOfEach},
	"http-custom-headers":                 {run: givenCalls},
	"http-invalid-tool-headers":           {run: callAll},
}

// list asks for the tools, of which there may be none.
func list(ctx context.Context, s *mcp.ClientSession, _ []mcp.CallToolParams) error {
	_, err := tools(ctx, s)
	return err
}

func tools(ctx context.Context, s *mcp.ClientSession) ([]*mcp.Tool, error) {
	res, err := s.ListTools(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("tools/list: %w", err)
	}
	return res.Tools, nil
}

// use calls a tool, which has to succeed.
func use(ctx context.Context, s *mcp.ClientSession, name string, arguments any) (*mcp.CallToolResult, error) {
	res, err := s.CallTool(ctx, &mcp.CallToolParams{Name: name, Arguments: arguments})
	switch {
	case err != nil:
		return nil, fmt.Errorf("tools/call %s: %w", name, err)
	case res.IsError:
		return nil, fmt.Errorf("tools/call %s: the tool failed: %v", name, text(res))
	}
	fmt.Fprintf(os.Stderr, "client: %s answered %q\n", name, text(res))
	return res, nil
}

func text(res *mcp.CallToolResult) (out string) {
	for _, c := range res.Content {
		if t, ok := c.(*mcp.TextContent); ok {
			out += t.Text
		}
	}
	return out
}

func call(name string) func(context.Context, *mcp.ClientSession, []mcp.CallToolParams) error {
	return func(ctx context.Context, s *mcp.ClientSession, _ []mcp.CallToolParams) error {
		if _, err := tools(ctx, s); err != nil {
			return err
		}
		_, err := use(ctx, s, name, map[string]any{})
		return err
	}
}

func add(ctx context.Context, s *mcp.ClientSession, _ []mcp.CallToolParams) error {
	if _, err := tools(ctx, s); err != nil {
		return err
	}
	_, err := use(ctx, s, "add_numbers", map[string]any{"a": 5, "b": 3})
	return err
}

// echoSchema sends back the schema of a tool as it has arrived.
func echoSchema(ctx context.Context, s *mcp.ClientSession, _ []mcp.CallToolParams) error {
	all, err := tools(ctx, s)
	if err != nil {
		return err
	}
	for _, t := range all {
		if t.Name == "json_schema_2020_12_tool" {
			_, err := use(ctx, s, "json_schema_echo", map[string]any{"schema": t.InputSchema})
			return err
		}
	}
	return errors.New("the tool with the schema is not listed")
}

// severalRounds calls tools that ask back. One of them answers without a result
// type, which a client may refuse.
func severalRounds(ctx context.Context, s *mcp.ClientSession, _ []mcp.CallToolParams) error {
	for _, name := range []string{"test_mrtr_echo_state", "test_mrtr_no_state", "test_mrtr_unrelated"} {
		if _, err := use(ctx, s, name, map[string]any{}); err != nil {
			return err
		}
	}
	if _, err := use(ctx, s, "test_mrtr_no_result_type", map[string]any{}); err != nil {
		fmt.Fprintln(os.Stderr, "client: refused:", err)
	}
	return nil
}

// oneOfEach lists tools, resources and prompts and uses the first of each.
func oneOfEach(ctx context.Context, s *mcp.ClientSession, _ []mcp.CallToolParams) error {
	all, err := tools(ctx, s)
	if err != nil {
		return err
	}
	resources, err := s.ListResources(ctx, nil)
	if err != nil {
		return fmt.Errorf("resources/list: %w", err)
	}
	prompts, err := s.ListPrompts(ctx, nil)
	if err != nil {
		return fmt.Errorf("prompts/list: %w", err)
	}
	if len(all) == 0 || len(resources.Resources) == 0 || len(prompts.Prompts) == 0 {
		return fmt.Errorf("%d tools, %d resources, %d prompts", len(all), len(resources.Resources), len(prompts.Prompts))
	}
	if _, err := use(ctx, s, all[0].Name, map[string]any{}); err != nil {
		return err
	}
	if _, err := s.ReadResource(ctx, &mcp.ReadResourceParams{URI: resources.Resources[0].URI}); err != nil {
		return fmt.Errorf("resources/read: %w", err)
	}
	if _, err := s.GetPrompt(ctx, &mcp.GetPromptParams{Name: prompts.Prompts[0].Name}); err != nil {
		return fmt.Errorf("prompts/get: %w", err)
	}
	return nil
}

// givenCalls makes the calls that the suite wants.
func givenCalls(ctx context.Context, s *mcp.ClientSession, calls []mcp.CallToolParams) error {
	if _, err := tools(ctx, s); err != nil {
		return err
	}
	if len(calls) == 0 {
		return errors.New("the suite gave no calls")
	}
	for _, c := range calls {
		if _, err := use(ctx, s, c.Name, c.Arguments); err != nil {
			return err
		}
	}
	return nil
}

// callAll calls every tool that is listed. Those with definitions that a client
// has to reject must not be.
func callAll(ctx context.Context, s *mcp.ClientSession, _ []mcp.CallToolParams) error {
	all, err := tools(ctx, s)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return errors.New("not even the sound tool is listed")
	}
	for _, t := range all {
		if _, err := use(ctx, s, t.Name, map[string]any{"region": "us-west1"}); err != nil {
			return err
		}
	}
	return nil
}

package backendtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ToolFunc is what a tool does. Args is the arguments object as the client sent
// it, "{}" when it sent none.
//
// A string becomes text content; json.RawMessage or any other value becomes
// structured content, with the same JSON as text; nil becomes an empty result.
// An error becomes a result with isError set, or a JSON-RPC error when it is an
// [*RPCError]. The context ends when the server closes and, where the SDK and
// the revision allow it, when the client leaves.
type ToolFunc func(ctx context.Context, args json.RawMessage) (any, error)

// Tool is a tool of a server.
type Tool struct {
	Name        string
	Title       string
	Description string
	// InputSchema is a JSON Schema of type object. Default: any object.
	InputSchema json.RawMessage
	// OutputSchema is optional.
	OutputSchema json.RawMessage
	// Func answers calls. Default [Echo].
	Func ToolFunc
}

// anyObject is the input schema of a tool that takes anything.
var anyObject = json.RawMessage(`{"type":"object"}`)

func (t Tool) check() error {
	if t.Name == "" {
		return errors.New("backendtest: a tool without a name")
	}
	if t.InputSchema == nil {
		return nil
	}
	var schema struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(t.InputSchema, &schema); err != nil || schema.Type != "object" {
		return fmt.Errorf("backendtest: tool %q: the input schema is no JSON schema of type object", t.Name)
	}
	return nil
}

func (t Tool) inputSchema() json.RawMessage {
	if t.InputSchema == nil {
		return anyObject
	}
	return t.InputSchema
}

// RPCError is an error that a tool answers as a JSON-RPC error. Under mcp-go
// its code is always -32603 and its data are lost.
type RPCError struct {
	Code    int
	Message string
	Data    json.RawMessage
}

// Error implements error.
func (e *RPCError) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }

// Echo is a tool that returns its arguments as text.
func Echo(_ context.Context, args json.RawMessage) (any, error) { return string(args), nil }

// Slow makes a tool that takes its time, then returns its arguments as text.
func Slow(d time.Duration) ToolFunc {
	return func(ctx context.Context, args json.RawMessage) (any, error) {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return string(args), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Text makes a tool that always returns the same text.
func Text(text string) ToolFunc {
	return func(context.Context, json.RawMessage) (any, error) { return text, nil }
}

// Failing makes a tool that always answers with isError and this text.
func Failing(text string) ToolFunc {
	return func(context.Context, json.RawMessage) (any, error) { return nil, errors.New(text) }
}

// toolResult is what both SDKs make their results from.
type toolResult struct {
	text       string
	structured json.RawMessage // nil: text alone
	empty      bool
	isError    bool
	more       *inputRequired // the tool runs again: nothing else is set
}

// run calls the tool's function under a context that ends with the server.
func (s *Server) run(ctx context.Context, t Tool, args json.RawMessage) (toolResult, error) {
	s.counts.execution(t.Name)
	ctx, cancel := s.host.bound(ctx)
	defer cancel()
	fn := t.Func
	if fn == nil {
		fn = Echo
	}
	if len(args) == 0 || string(args) == "null" {
		args = json.RawMessage("{}")
	}
	v, err := fn(ctx, args)
	var rpc *RPCError
	var more *inputRequired
	switch {
	case errors.As(err, &more):
		return toolResult{more: more}, nil
	case errors.As(err, &rpc):
		return toolResult{}, rpc
	case err != nil:
		return toolResult{text: err.Error(), isError: true}, nil
	case v == nil:
		return toolResult{empty: true}, nil
	}
	if text, ok := v.(string); ok {
		return toolResult{text: text}, nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return toolResult{text: "the tool's result is no JSON: " + err.Error(), isError: true}, nil
	}
	return toolResult{text: string(b), structured: b}, nil
}

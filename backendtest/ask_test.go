package backendtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backendtest"
)

// answering is a client that answers questions with their own words.
type answering struct {
	*mcp.ClientSession
	mu   sync.Mutex
	logs []string
}

func (a *answering) logged() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.logs
}

func dialAnswering(t *testing.T, srv *backendtest.Server, revision string, dumb bool) *answering {
	t.Helper()
	a := &answering{}
	o := &mcp.ClientOptions{
		ElicitationHandler: func(_ context.Context, r *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			switch {
			case strings.HasPrefix(r.Params.Message, "fail"):
				return nil, &jsonrpc.Error{Code: -32099, Message: "no"}
			case r.Params.Mode == "url":
				return &mcp.ElicitResult{Action: "accept"}, nil
			}
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"said": r.Params.Message}}, nil
		},
		CreateMessageHandler: func(_ context.Context, r *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			text := "model of " + r.Params.Messages[0].Content.(*mcp.TextContent).Text
			return &mcp.CreateMessageResult{Model: "m", Role: "assistant", Content: &mcp.TextContent{Text: text}}, nil
		},
		LoggingMessageHandler: func(_ context.Context, r *mcp.LoggingMessageRequest) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.logs = append(a.logs, fmt.Sprint(r.Params.Level, " ", r.Params.Logger, " ", r.Params.Data))
		},
		Capabilities: &mcp.ClientCapabilities{RootsV2: &mcp.RootCapabilities{}, Elicitation: &mcp.ElicitationCapabilities{
			Form: &mcp.FormElicitationCapabilities{}, URL: &mcp.URLElicitationCapabilities{},
		}},
	}
	if dumb {
		o = &mcp.ClientOptions{Capabilities: &mcp.ClientCapabilities{}}
	}
	c := mcp.NewClient(&mcp.Implementation{Name: "t", Version: "1"}, o)
	c.AddRoots(&mcp.Root{URI: "file:///r"})
	s, err := c.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: srv.URL, HTTPClient: srv.Client(), MaxRetries: -1},
		&mcp.ClientSessionOptions{ProtocolVersion: revision})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	a.ClientSession = s
	return a
}

func (a *answering) say(ctx context.Context, tool string, meta mcp.Meta) (string, error) {
	res, err := a.CallTool(ctx, &mcp.CallToolParams{Name: tool, Meta: meta})
	if err != nil {
		return "", err
	}
	text := res.Content[0].(*mcp.TextContent).Text
	if res.IsError {
		return text, errors.New(text)
	}
	return text, nil
}

var form = json.RawMessage(`{"type":"object","properties":{"said":{"type":"string"}}}`)

// most asks one thing after the other.
func most(ctx context.Context, _ json.RawMessage) (any, error) {
	first, err := backendtest.Elicit(ctx, "first", form)
	if err != nil {
		return nil, err
	}
	second, err := backendtest.Elicit(ctx, "second", form)
	if err != nil {
		return nil, err
	}
	page, err := backendtest.ElicitURL(ctx, "third", "https://example.com/", "e1")
	if err != nil {
		return nil, err
	}
	text, err := backendtest.Sample(ctx, "hello")
	return fmt.Sprintf("%s %s %s %s", first.Content, second.Content, page.Action, text), err
}

// talker has a tool for everything that a tool can ask.
func talker(opts ...backendtest.Option) []backendtest.Option {
	return append(opts,
		backendtest.WithTool("most", most),
		backendtest.WithTool("everything", func(ctx context.Context, args json.RawMessage) (any, error) {
			text, err := most(ctx, args)
			if err != nil {
				return nil, err
			}
			roots, err := backendtest.Roots(ctx)
			return fmt.Sprint(text, " ", roots), err
		}),
		backendtest.WithTool("both", func(ctx context.Context, _ json.RawMessage) (any, error) {
			ask := func(message string) backendtest.Question {
				return backendtest.Question{Method: "elicitation/create", Params: json.RawMessage(`{"mode":"form","message":"` + message + `","requestedSchema":` + string(form) + `}`)}
			}
			got, err := backendtest.Ask(ctx, ask("one"), ask("two"))
			if err != nil {
				return nil, err
			}
			var e [2]backendtest.Elicited
			return fmt.Sprintf("%s", got), errors.Join(json.Unmarshal(got[0], &e[0]), json.Unmarshal(got[1], &e[1]))
		}),
		backendtest.WithTool("refused", func(ctx context.Context, _ json.RawMessage) (any, error) {
			_, err := backendtest.Elicit(ctx, "fail", form)
			return nil, err
		}),
		backendtest.WithTool("logs", func(ctx context.Context, _ json.RawMessage) (any, error) {
			return "done", errors.Join(backendtest.Log(ctx, "debug", "l", "low"), backendtest.Log(ctx, "warning", "l", "high"))
		}),
		backendtest.WithTool("aside", func(ctx context.Context, _ json.RawMessage) (any, error) {
			e, err := backendtest.Elicit(backendtest.Aside(ctx), "apart", form)
			return string(e.Content), err
		}),
		backendtest.WithTool("odd", func(ctx context.Context, _ json.RawMessage) (any, error) {
			_, err := backendtest.Ask(ctx, backendtest.Question{Method: "no/such"})
			return nil, err
		}))
}

func eachTalker(t *testing.T, test func(t *testing.T, flavour, revision string, srv *backendtest.Server)) {
	for _, f := range flavours {
		if f.name == "official json" {
			continue // no stream to talk on
		}
		for _, revision := range []string{"2026-07-28", "2025-11-25"} {
			t.Run(f.name+"/"+revision, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					test(t, f.name, revision, backendtest.NewServer(t, talker(append(f.opts, backendtest.WithPipe())...)...))
				})
			})
		}
	}
}

func TestAToolAsksItsClient(t *testing.T) {
	eachTalker(t, func(t *testing.T, flavour, revision string, srv *backendtest.Server) {
		c := dialAnswering(t, srv, revision, false)
		synctest.Wait() // mcp-go samples on the standing stream
		want, tool := `{"said":"first"} {"said":"second"} accept model of hello [file:///r]`, "everything"
		if flavour == "mcp-go" && revision == "2026-07-28" {
			// It asks for roots without params, which the official client cannot read.
			want, tool = `{"said":"first"} {"said":"second"} accept model of hello`, "most"
		}
		if got, err := c.say(t.Context(), tool, nil); err != nil || got != want {
			t.Errorf("%v %s", err, cmp.Diff(want, got))
		}
		got, err := c.say(t.Context(), "both", nil)
		if one, two := strings.Index(got, `"one"`), strings.Index(got, `"two"`); err != nil || one < 0 || two < one {
			t.Errorf("%q, %v", got, err)
		}
		executions := map[string]int{"everything": 1, "most": 0, "both": 1}
		if revision == "2026-07-28" {
			executions = map[string]int{"everything": 6, "most": 0, "both": 2}
		}
		if tool == "most" {
			executions = map[string]int{"everything": 0, "most": 5, "both": 2}
		}
		if d := cmp.Diff(executions, map[string]int{"everything": srv.Executions("everything"), "most": srv.Executions("most"), "both": srv.Executions("both")}); d != "" {
			t.Error(d)
		}
		if got, err := c.say(t.Context(), "odd", nil); err == nil || !strings.Contains(got, "no/such") {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestAClientThatCannotAnswer(t *testing.T) {
	eachTalker(t, func(t *testing.T, flavour, revision string, srv *backendtest.Server) {
		c := dialAnswering(t, srv, revision, true)
		if got, err := c.say(t.Context(), "both", nil); err == nil {
			t.Errorf("answered %q", got)
		}
		if srv.Executions("both") != 1 {
			t.Errorf("%d executions", srv.Executions("both"))
		}
		if x, _ := srv.Last("tools/call"); revision == "2026-07-28" && flavour == "official" && x.Status != http.StatusBadRequest {
			t.Errorf("status %d", x.Status)
		}
	})
}

func TestAnErrorIsAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := backendtest.NewServer(t, talker(backendtest.WithPipe())...)
		c := dialAnswering(t, srv, "2025-11-25", false)
		_, err := c.say(t.Context(), "refused", nil)
		var rpc *jsonrpc.Error
		if !errors.As(err, &rpc) || rpc.Code != -32099 {
			t.Error(err)
		}
	})
}

func TestAToolAsksAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := backendtest.NewServer(t, talker(backendtest.WithPipe())...)
		c := dialAnswering(t, srv, "2025-11-25", false)
		synctest.Wait()
		if got, err := c.say(t.Context(), "aside", nil); err != nil || got != `{"said":"apart"}` {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestAToolLogs(t *testing.T) {
	eachTalker(t, func(t *testing.T, _, revision string, srv *backendtest.Server) {
		c := dialAnswering(t, srv, revision, false)
		call := func(meta mcp.Meta) {
			t.Helper()
			if got, err := c.say(t.Context(), "logs", meta); err != nil || got != "done" {
				t.Errorf("%q, %v", got, err)
			}
			synctest.Wait()
		}
		call(nil)
		if got := c.logged(); got != nil {
			t.Errorf("nobody asked for %q", got)
		}
		meta := mcp.Meta{"io.modelcontextprotocol/logLevel": "info"}
		if revision < "2026-07-28" {
			meta = nil
			if err := c.SetLoggingLevel(t.Context(), &mcp.SetLoggingLevelParams{Level: "info"}); err != nil {
				t.Fatal(err)
			}
		}
		call(meta)
		if d := cmp.Diff([]string{"warning l high"}, c.logged()); d != "" {
			t.Error(d)
		}
	})
}

func TestOnlyRunningToolsTalk(t *testing.T) {
	_, err := backendtest.Roots(t.Context())
	if err == nil || backendtest.Log(t.Context(), "info", "", 1) == nil {
		t.Error("said to nobody")
	}
}

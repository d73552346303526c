package backendtest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// engine is a real MCP server under the faults.
type engine interface {
	http.Handler
	// setTools replaces all tools; stale are the names that go.
	setTools(stale []string, tools []Tool)
	addTools(tools []Tool)
	removeTools(names []string)
	endSession(id string)
	// serve serves one connection over stdio until in ends.
	serve(ctx context.Context, in io.ReadCloser, out io.WriteCloser) error
	close()
}

// official is the official Go SDK. Its stateful handler serves the elder
// revisions with sessions, its stateless one 2026-07-28.
type official struct {
	s         *Server
	mcp       *mcp.Server
	stateful  http.Handler
	stateless http.Handler
	messages  sync.Map // *Message by number, of the requests being served
	numbers   atomic.Int64
}

// messageHeader leads a tool to the message that called it: in a session the SDK
// gives handlers the context of the request that opened it.
const messageHeader = "X-Backendtest-Message"

func newOfficial(s *Server) *official {
	cfg := s.cfg
	e := &official{s: s}
	opts := &mcp.ServerOptions{
		Instructions: cfg.instructions,
		PageSize:     cfg.pageSize,
		Capabilities: &mcp.ServerCapabilities{
			Logging: &mcp.LoggingCapabilities{},
			Tools:   &mcp.ToolCapabilities{ListChanged: true},
		},
		SupportedProtocolVersions: slices.Clone(cfg.revisions),
	}
	if cfg.complete != nil {
		opts.CompletionHandler = e.complete
	}
	if cfg.subscriptions {
		e.letSubscribe(opts)
	}
	e.mcp = mcp.NewServer(&mcp.Implementation{Name: cfg.name, Version: "1.0.0"}, opts)
	e.addTools(cfg.tools)
	for _, r := range cfg.resources {
		e.addResource(r)
	}
	for _, r := range cfg.templates {
		e.mcp.AddResourceTemplate(&mcp.ResourceTemplate{URITemplate: r.uri, Name: r.uri, MIMEType: "text/plain"}, e.reader(r.text))
	}
	for _, p := range cfg.prompts {
		e.addPrompt(p)
	}
	if cfg.legacySSE {
		e.stateful = e.newLegacy()
		e.stateless = e.stateful
		return e
	}
	server := func(*http.Request) *mcp.Server { return e.mcp }
	// The request's end is the call's end only where the revision says so; the
	// SDK knows which.
	e.stateful = mcp.NewStreamableHTTPHandler(server, &mcp.StreamableHTTPOptions{
		JSONResponse: cfg.json, MaxRequestBodyBytes: maxBody,
	})
	e.stateless = mcp.NewStreamableHTTPHandler(server, &mcp.StreamableHTTPOptions{
		JSONResponse: cfg.json, MaxRequestBodyBytes: maxBody, Stateless: true, PropagateRequestCancellation: true,
	})
	return e
}

func (e *official) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m, _ := MessageFrom(r.Context())
	number := strconv.FormatInt(e.numbers.Add(1), 10)
	e.messages.Store(number, &m)
	defer e.messages.Delete(number)
	r.Header.Set(messageHeader, number)
	if e.s.gate.onlyModern() || m.Modern() && e.s.gate.servesModern() {
		e.stateless.ServeHTTP(w, r)
		return
	}
	e.stateful.ServeHTTP(w, r)
}

func (e *official) addTools(tools []Tool) {
	for _, t := range tools {
		def := &mcp.Tool{Name: t.Name, Title: t.Title, Description: t.Description, InputSchema: t.inputSchema()}
		if t.OutputSchema != nil {
			def.OutputSchema = t.OutputSchema
		}
		e.mcp.AddTool(def, func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			if extra := req.GetExtra(); extra != nil {
				if m, ok := e.messages.Load(extra.Header.Get(messageHeader)); ok {
					ctx = context.WithValue(ctx, messageKey{}, m)
				}
			}
			res, err := e.s.run(e.conversing(e.notifying(ctx, req), req), t, req.Params.Arguments)
			if err != nil {
				return nil, officialError(err)
			}
			if res.more != nil {
				return res.more.official()
			}
			return res.official(), nil
		})
	}
}

func (r toolResult) official() *mcp.CallToolResult {
	out := &mcp.CallToolResult{IsError: r.isError, Content: []mcp.Content{}}
	if !r.empty {
		out.Content = append(out.Content, &mcp.TextContent{Text: r.text})
	}
	if r.structured != nil {
		out.StructuredContent = r.structured
	}
	return out
}

func officialError(err error) error {
	var rpc *RPCError
	if errors.As(err, &rpc) {
		return &jsonrpc.Error{Code: int64(rpc.Code), Message: rpc.Message, Data: rpc.Data}
	}
	return err
}

// notifying lets a tool report progress to the request that called it.
func (e *official) notifying(ctx context.Context, req *mcp.CallToolRequest) context.Context {
	token := req.Params.GetProgressToken()
	return context.WithValue(ctx, progressKey{}, progressFunc(
		func(ctx context.Context, done, total float64, text string) error {
			if token == nil {
				return nil
			}
			return req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{
				ProgressToken: token, Progress: done, Total: total, Message: text,
			})
		}))
}

// setTools replaces all tools. The SDK gathers the changes into one
// notification, 10 ms after the last of them.
func (e *official) setTools(stale []string, tools []Tool) {
	e.mcp.RemoveTools(stale...)
	e.addTools(tools)
}

func (e *official) removeTools(names []string) { e.mcp.RemoveTools(names...) }

func (e *official) addResource(r resource) {
	e.mcp.AddResource(&mcp.Resource{URI: r.uri, Name: r.uri, MIMEType: "text/plain"}, e.reader(r.text))
}

func (e *official) reader(text string) mcp.ResourceHandler {
	return func(_ context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		e.s.counts.execution(req.Params.URI)
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{
			{URI: req.Params.URI, MIMEType: "text/plain", Text: e.s.textOf(req.Params.URI, text)},
		}}, nil
	}
}

func (e *official) addPrompt(p prompt) {
	def := &mcp.Prompt{Name: p.name}
	for _, name := range p.arguments() {
		def.Arguments = append(def.Arguments, &mcp.PromptArgument{Name: name})
	}
	e.mcp.AddPrompt(def, func(_ context.Context, req *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		e.s.counts.execution(p.name)
		return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{
			{Role: "user", Content: &mcp.TextContent{Text: p.fill(req.Params.Arguments)}},
		}}, nil
	})
}

func (e *official) complete(ctx context.Context, req *mcp.CompleteRequest) (*mcp.CompleteResult, error) {
	e.s.counts.execution("completion/complete")
	ref := req.Params.Ref.Name
	if ref == "" {
		ref = req.Params.Ref.URI
	}
	values, err := e.s.cfg.complete(ctx, ref, req.Params.Argument.Name, req.Params.Argument.Value)
	if err != nil {
		return nil, officialError(err)
	}
	return &mcp.CompleteResult{Completion: mcp.CompletionResultDetails{
		Values: append([]string{}, values...), Total: len(values),
	}}, nil
}

func (e *official) endSession(id string) {
	for session := range e.mcp.Sessions() {
		if session.ID() == id {
			_ = session.Close()
		}
	}
}

func (e *official) serve(ctx context.Context, in io.ReadCloser, out io.WriteCloser) error {
	return e.mcp.Run(ctx, &mcp.IOTransport{Reader: in, Writer: out, MaxLineLength: -1})
}

// close ends the sessions; it waits for the calls that they still run.
func (e *official) close() {
	for session := range e.mcp.Sessions() {
		_ = session.Close()
	}
}

// arguments are the names in braces in the prompt's text.
func (p prompt) arguments() []string {
	var names []string
	rest := p.text
	for {
		_, after, ok := strings.Cut(rest, "{")
		name, tail, closed := strings.Cut(after, "}")
		if !ok || !closed {
			return names
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		rest = tail
	}
}

func (p prompt) fill(args map[string]string) string {
	text := p.text
	for name, value := range args {
		text = strings.ReplaceAll(text, "{"+name+"}", value)
	}
	return text
}

package backendtest

import (
	"context"
	"io"
	"log"
	"log/slog"
	"net/http"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// mcpGo is mark3labs/mcp-go. One handler serves all revisions; the era is
// decided request by request.
type mcpGo struct {
	s    *Server
	mcp  *server.MCPServer
	http *server.StreamableHTTPServer
	sse  *server.SSEServer // in its place, if not nil

	mu       sync.Mutex
	standing map[string]*tally // what was written to the standing streams, by session
}

func newMCPGo(s *Server) *mcpGo {
	cfg := s.cfg
	e := &mcpGo{s: s, standing: map[string]*tally{}}
	opts := []server.ServerOption{
		server.WithToolCapabilities(true),
		server.WithLogging(),
		server.WithLogger(slog.New(slog.DiscardHandler)),
	}
	if cfg.instructions != "" {
		opts = append(opts, server.WithInstructions(cfg.instructions))
	}
	if cfg.pageSize > 0 {
		opts = append(opts, server.WithPaginationLimit(cfg.pageSize))
	}
	if len(cfg.resources)+len(cfg.templates) > 0 {
		opts = append(opts, server.WithResourceCapabilities(false, true))
	}
	if len(cfg.prompts) > 0 {
		opts = append(opts, server.WithPromptCapabilities(true))
	}
	if cfg.complete != nil {
		c := mcpGoCompletion{e}
		opts = append(opts, server.WithCompletions(),
			server.WithPromptCompletionProvider(c), server.WithResourceCompletionProvider(c))
	}
	e.mcp = server.NewMCPServer(cfg.name, "1.0.0", opts...)
	e.mcp.EnableSampling()
	e.addTools(cfg.tools)
	for _, r := range cfg.resources {
		e.addResource(r)
	}
	for _, r := range cfg.templates {
		e.mcp.AddResourceTemplate(mcp.NewResourceTemplate(r.uri, r.uri), e.reader(r.text))
	}
	for _, p := range cfg.prompts {
		e.addPrompt(p)
	}
	if cfg.legacySSE {
		e.sse = e.newLegacy()
	}
	e.http = server.NewStreamableHTTPServer(e.mcp,
		// The default manager accepts any well-formed session id; a server that
		// forgets none would never answer 404.
		server.WithStateful(true),
		server.WithStreamableHTTPProtocolVersions(cfg.revisions...),
		server.WithStreamableHTTPLogger(slog.New(slog.DiscardHandler)),
	)
	return e
}

type eventsKey struct{}

func (e *mcpGo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if e.sse != nil {
		e.sse.ServeHTTP(w, r)
		return
	}
	events := &eventWriter{ResponseWriter: w, own: newTally(), standing: e.standingOf(r.Header.Get("Mcp-Session-Id"))}
	if r.Method == http.MethodGet {
		events.own = events.standing
	}
	e.http.ServeHTTP(events, r.WithContext(context.WithValue(r.Context(), eventsKey{}, events)))
}

func (e *mcpGo) serve(ctx context.Context, in io.ReadCloser, out io.WriteCloser) error {
	w := &lineWriter{WriteCloser: out, tally: newTally()}
	s := server.NewStdioServer(e.mcp)
	s.SetErrorLogger(log.New(io.Discard, "", 0))
	return s.Listen(context.WithValue(ctx, eventsKey{}, &eventWriter{own: w.tally, standing: newTally()}), in, w)
}

// standingOf is the count of a session's standing stream.
func (e *mcpGo) standingOf(session string) *tally {
	if session == "" {
		return newTally()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.standing[session] == nil {
		e.standing[session] = newTally()
	}
	return e.standing[session]
}

func (e *mcpGo) tools(tools []Tool) []server.ServerTool {
	out := make([]server.ServerTool, 0, len(tools))
	for _, t := range tools {
		def := mcp.NewToolWithRawSchema(t.Name, t.Description, t.inputSchema())
		def.Title = t.Title
		def.RawOutputSchema = t.OutputSchema
		out = append(out, server.ServerTool{Tool: def, Handler: e.handler(t)})
	}
	return out
}

func (e *mcpGo) handler(t Tool) server.ToolHandlerFunc {
	return func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		// The SDK decodes arguments; the message still has their bytes.
		m, ok := MessageFrom(ctx)
		args := m.arguments()
		if !ok { // over stdio
			args = mustJSON(req.GetRawArguments())
		}
		res, err := e.s.run(e.conversing(e.notifying(ctx, req)), t, args)
		if err != nil {
			return nil, err
		}
		if res.more != nil {
			return res.more.mcpGo()
		}
		return res.mcpGo(), nil
	}
}

func (r toolResult) mcpGo() *mcp.CallToolResult {
	out := &mcp.CallToolResult{IsError: r.isError, Content: []mcp.Content{}}
	if !r.empty {
		out.Content = append(out.Content, mcp.NewTextContent(r.text))
	}
	if r.structured != nil {
		out.StructuredContent = r.structured
	}
	return out
}

// notifying lets a tool report progress to the request that called it.
func (e *mcpGo) notifying(ctx context.Context, req mcp.CallToolRequest) context.Context {
	var token mcp.ProgressToken
	if req.Params.Meta != nil {
		token = req.Params.Meta.ProgressToken
	}
	return context.WithValue(ctx, progressKey{}, progressFunc(
		func(ctx context.Context, done, total float64, text string) error {
			if token == nil {
				return nil
			}
			events, _ := ctx.Value(eventsKey{}).(*eventWriter)
			return events.after(ctx, func() error {
				return e.mcp.SendNotificationToClient(ctx, "notifications/progress", map[string]any{
					"progressToken": token, "progress": done, "total": total, "message": text,
				})
			})
		}))
}

func (e *mcpGo) addTools(tools []Tool)             { e.mcp.AddTools(e.tools(tools)...) }
func (e *mcpGo) setTools(_ []string, tools []Tool) { e.mcp.SetTools(e.tools(tools)...) }
func (e *mcpGo) removeTools(names []string)        { e.mcp.DeleteTools(names...) }

func (e *mcpGo) addResource(r resource) {
	e.mcp.AddResource(mcp.NewResource(r.uri, r.uri, mcp.WithMIMEType("text/plain")),
		server.ResourceHandlerFunc(e.reader(r.text)))
}

func (e *mcpGo) reader(text string) func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
	return func(_ context.Context, req mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		e.s.counts.execution(req.Params.URI)
		return []mcp.ResourceContents{
			mcp.TextResourceContents{URI: req.Params.URI, MIMEType: "text/plain", Text: text},
		}, nil
	}
}

func (e *mcpGo) addPrompt(p prompt) {
	def := mcp.NewPrompt(p.name)
	for _, name := range p.arguments() {
		def.Arguments = append(def.Arguments, mcp.PromptArgument{Name: name})
	}
	e.mcp.AddPrompt(def, func(_ context.Context, req mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		e.s.counts.execution(p.name)
		return &mcp.GetPromptResult{Messages: []mcp.PromptMessage{
			mcp.NewPromptMessage(mcp.RoleUser, mcp.NewTextContent(p.fill(req.Params.Arguments))),
		}}, nil
	})
}

type mcpGoCompletion struct{ e *mcpGo }

// CompletePromptArgument implements server.PromptCompletionProvider.
func (c mcpGoCompletion) CompletePromptArgument(
	ctx context.Context, name string, arg mcp.CompleteArgument, _ mcp.CompleteContext,
) (*mcp.Completion, error) {
	return c.complete(ctx, name, arg)
}

// CompleteResourceArgument implements server.ResourceCompletionProvider.
func (c mcpGoCompletion) CompleteResourceArgument(
	ctx context.Context, uri string, arg mcp.CompleteArgument, _ mcp.CompleteContext,
) (*mcp.Completion, error) {
	return c.complete(ctx, uri, arg)
}

func (c mcpGoCompletion) complete(ctx context.Context, ref string, arg mcp.CompleteArgument) (*mcp.Completion, error) {
	c.e.s.counts.execution("completion/complete")
	values, err := c.e.s.cfg.complete(ctx, ref, arg.Name, arg.Value)
	if err != nil {
		return nil, err
	}
	return &mcp.Completion{Values: append([]string{}, values...), Total: len(values)}, nil
}

func (e *mcpGo) endSession(id string) {
	r, err := http.NewRequest(http.MethodDelete, "/mcp", nil)
	if err != nil {
		return
	}
	r.Header.Set("Mcp-Session-Id", id)
	e.http.ServeHTTP(newDiscard(), r)
}

func (e *mcpGo) close() {
	if e.sse != nil {
		e.sse.CloseSessions()
	}
	e.http.CloseSessions(context.Background())
}

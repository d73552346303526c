package gateway_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backendtest"
)

// cell is one of the four that the bridge has: a client of one era on a backend
// of another, at the joint endpoint or at that of the backend.
type cell struct{ front, back, path string }

// eachCell runs a test in every cell at both endpoints, in a bubble of virtual
// time.
func eachCell(t *testing.T, test func(t *testing.T, c cell)) {
	cells(t, []string{"/mcp", "/mcp/a"}, test)
}

// eachPair runs a test in every cell at the joint endpoint.
func eachPair(t *testing.T, test func(t *testing.T, c cell)) { cells(t, []string{"/mcp"}, test) }

func cells(t *testing.T, paths []string, test func(t *testing.T, c cell)) {
	t.Helper()
	for _, front := range []string{modern, elder} {
		for _, back := range []string{modern, elder} {
			for _, path := range paths {
				c := cell{front, back, path}
				t.Run(fmt.Sprintf("%s to %s at %s", front, back, strings.ReplaceAll(path, "/", ".")), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { test(t, c) })
				})
			}
		}
	}
}

// serve runs a backend of the cell's revision behind a gateway.
func (c cell) serve(t *testing.T, set settings, o ...backendtest.Option) (*backendtest.Server, *rig) {
	t.Helper()
	srv := sample(t, "one", append([]backendtest.Option{backendtest.WithRevision(c.back)}, o...)...)
	r := newRig(t, set, srv, sample(t, "two"))
	synctest.Wait()
	return srv, r
}

// soon is a context for what comes at once or never. A bubble with a gateway in it
// is never still: whoever waits without an end waits until the tests are killed.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	t.Cleanup(cancel)
	return ctx
}

// public is what the client calls a tool of the backend.
func (c cell) public(tool string) string {
	if c.path == "/mcp" {
		return "a_" + tool
	}
	return tool
}

// runs is how often a tool runs that asks in so many rounds: an elder backend's
// waits for the answers, one of 2026-07-28 begins again with them.
func (c cell) runs(rounds int) int {
	if c.back == modern {
		return rounds + 1
	}
	return 1
}

// party is a client of the official SDK that notes what it is told.
type party struct {
	*mcp.ClientSession
	client *mcp.Client
	cell   cell

	mu    sync.Mutex
	notes []string
}

// note writes down what the client was told.
func (p *party) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.notes = append(p.notes, fmt.Sprintf(format, args...))
}

// told takes what was noted since it was last called.
func (p *party) told() []string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	notes := p.notes
	p.notes = nil
	return notes
}

// join connects a client that can do what the options say. Elicitation and
// sampling are declared by their handlers; roots only when there are any.
func (c cell) join(t *testing.T, r *rig, o *mcp.ClientOptions, roots ...string) *party {
	t.Helper()
	p := &party{cell: c}
	o.LoggingMessageHandler = func(_ context.Context, q *mcp.LoggingMessageRequest) {
		p.note("log %s %v", q.Params.Level, q.Params.Data)
	}
	o.ResourceUpdatedHandler = func(_ context.Context, q *mcp.ResourceUpdatedNotificationRequest) {
		p.note("updated %s", q.Params.URI)
	}
	o.ProgressNotificationHandler = func(_ context.Context, q *mcp.ProgressNotificationClientRequest) {
		p.note("progress %v %v %s", q.Params.ProgressToken, q.Params.Progress, q.Params.Message)
	}
	o.Capabilities = &mcp.ClientCapabilities{}
	if o.ElicitationHandler != nil {
		o.Capabilities.Elicitation = &mcp.ElicitationCapabilities{
			Form: &mcp.FormElicitationCapabilities{}, URL: &mcp.URLElicitationCapabilities{},
		}
	}
	if roots != nil {
		o.Capabilities.RootsV2 = &mcp.RootCapabilities{ListChanged: true}
	}
	p.client = mcp.NewClient(&mcp.Implementation{Name: "party", Version: "1"}, o)
	for _, uri := range roots {
		p.client.AddRoots(&mcp.Root{URI: uri})
	}
	s, err := p.client.Connect(t.Context(),
		&mcp.StreamableClientTransport{Endpoint: "http://127.0.0.1" + c.path, HTTPClient: r.http, MaxRetries: -1},
		&mcp.ClientSessionOptions{ProtocolVersion: c.front})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if got := s.InitializeResult().ProtocolVersion; got != c.front {
		t.Fatalf("speaks %s, want %s", got, c.front)
	}
	p.ClientSession = s
	synctest.Wait() // its standing stream is there
	return p
}

// call calls a tool of the backend and returns its text.
func (p *party) call(ctx context.Context, tool string, meta mcp.Meta) (string, error) {
	res, err := p.CallTool(ctx, &mcp.CallToolParams{Name: p.cell.public(tool), Meta: meta})
	if err != nil {
		return "", err
	}
	if len(res.Content) == 0 {
		return "", nil
	}
	text := res.Content[0].(*mcp.TextContent).Text
	if res.IsError {
		return "", fmt.Errorf("tool error: %s", text)
	}
	return text, nil
}

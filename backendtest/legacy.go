package backendtest

import (
	"net/http"

	"github.com/mark3labs/mcp-go/server"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// WithLegacySSE serves the transport of revision 2024-11-05 (HTTP with SSE) in
// place of streamable HTTP: a GET opens a session and carries its answers, messages
// are posted to the address that its first event names. Sessions are counted by
// their streams; EndStreams, DropSessions and the fault DropSession end them.
// Faults meet the POST of a message, whose answer is 202.
func WithLegacySSE() Option { return serverOption(func(c *config) { c.legacySSE = true }) }

// newLegacy is the SDK's handler of the transport.
func (e *official) newLegacy() http.Handler {
	return mcp.NewSSEHandler(func(*http.Request) *mcp.Server { return e.mcp }, &mcp.SSEOptions{MaxRequestBodyBytes: maxBody})
}

func (e *mcpGo) newLegacy() *server.SSEServer {
	return server.NewSSEServer(e.mcp, server.WithSSEEndpoint("/sse"), server.WithMessageEndpoint("/message"))
}

// legacySession is the session that a request of the transport names.
func legacySession(r *http.Request) string {
	q := r.URL.Query()
	if id := q.Get("sessionid"); id != "" {
		return id
	}
	return q.Get("sessionId")
}

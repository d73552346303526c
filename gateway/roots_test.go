package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backendtest"
)

// Servers ask for the roots of their client on their own, and without parameters,
// as the specification writes it.
func TestQuestionWithoutParametersReachesAModernClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answered := make(chan string, 1)
		srv := sample(t, "one", backendtest.WithRevision(elder), backendtest.WithTool("script", nil),
			backendtest.WithHandler(func(w http.ResponseWriter, req *http.Request, m backendtest.Message) bool {
				switch {
				case m.Method == backendtest.MethodResponse:
					answered <- string(m.Body)
					w.WriteHeader(http.StatusAccepted)
					return true
				case m.Name != "script":
					return false
				}
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, "data: {\"jsonrpc\":\"2.0\",\"id\":\"s-1\",\"method\":\"roots/list\"}\n\n")
				_ = http.NewResponseController(w).Flush()
				select {
				case text := <-answered:
					quoted, _ := json.Marshal(text)
					_, _ = fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"content\":[{\"type\":\"text\",\"text\":%s}]}}\n\n", m.ID, quoted)
				case <-req.Context().Done():
				}
				return true
			}))
		r := newRig(t, settings{}, srv)
		client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
		client.AddRoots(&mcp.Root{URI: "file:///home"})
		c, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: "http://127.0.0.1/mcp", HTTPClient: r.http, MaxRetries: -1},
			&mcp.ClientSessionOptions{ProtocolVersion: modern})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		res, err := c.CallTool(t.Context(), &mcp.CallToolParams{Name: "a_script", Arguments: json.RawMessage(`{}`)})
		if err != nil || !strings.Contains(res.Content[0].(*mcp.TextContent).Text, "file:///home") {
			t.Fatalf("%v, %v", res, err)
		}
	})
}

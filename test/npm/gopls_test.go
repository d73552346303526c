//go:build npm

package npm

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/test/peers"
)

// TestGoplsThroughTheGateway uses a server that is a program, on a module whose
// one mistake it has to find.
func TestGoplsThroughTheGateway(t *testing.T) {
	dir := t.TempDir()
	main := filepath.Join(dir, "main.go")
	for file, text := range map[string]string{
		filepath.Join(dir, "go.mod"): "module example.com/small\n\ngo 1.24\n",
		main:                         "package main\n\nfunc main() { lookAtMe(1) }\n\nfunc lookAtMe(s string) { println(s) }\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g := peers.StartGateway(t, peers.Build(t, "github.com/recloser-mcp/recloser/cmd/recloser"), fmt.Sprintf(`{
  "mcpServers": {"gopls": {"command": %q, "args": ["mcp"], "cwd": %q}}`, os.Getenv("RECLOSER_GOPLS"), dir), 1)
	s, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).
		Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: g.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()

	list, err := s.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tool := range list.Tools {
		names = append(names, tool.Name)
	}
	t.Logf("%d tools: %q", len(names), names)
	for _, c := range []struct {
		tool string
		args map[string]any
		want string
	}{
		{"go_workspace", nil, "example.com/small"},
		{"go_search", map[string]any{"query": "lookatme"}, "lookAtMe"},
		{"go_file_context", map[string]any{"file": main}, "main"},
		{"go_diagnostics", map[string]any{"files": []string{main}}, "cannot use 1"},
	} {
		if name := "gopls_" + c.tool; !slices.Contains(names, name) {
			t.Errorf("%s is not listed", name)
		} else if res, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: name, Arguments: c.args}); err != nil || res.IsError || !strings.Contains(said(res), c.want) {
			t.Errorf("%s: %v, %q, want %q in it", name, err, said(res), c.want)
		}
	}
}

// said is the text of a result.
func said(r *mcp.CallToolResult) (all string) {
	if r == nil {
		return ""
	}
	for _, c := range r.Content {
		if text, ok := c.(*mcp.TextContent); ok {
			all += text.Text
		}
	}
	return all
}

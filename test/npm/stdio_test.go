//go:build npm

package npm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/test/leak"
	"github.com/recloser-mcp/recloser/test/peers"
)

// The reference servers of npm as processes behind the gateway.
func TestRealProcessesThroughTheGateway(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key := "sk-2b6d0c58e1f74a93-of-a-process"
	g := peers.StartGateway(t, peers.Build(t, "github.com/recloser-mcp/recloser/cmd/recloser"), fmt.Sprintf(`{
  "mcpServers": {
    "everything": {"command": %q, "args": ["stdio"], "env": {"API_KEY": "${PROCESS_KEY}"}},
    "files": {"type": "stdio", "command": %q, "args": [%q]},
    "memory": {"command": %q, "env": {"MEMORY_FILE_PATH": %q}},
    "thinking": {"command": %q, "isolation": "shared"}
  }`, peers.NPM("mcp-server-everything"), peers.NPM("mcp-server-filesystem"), dir,
		peers.NPM("mcp-server-memory"), filepath.Join(dir, "memory.jsonl"), peers.NPM("mcp-server-sequential-thinking")), 4, "PROCESS_KEY="+key)

	for _, revision := range []string{"2025-11-25", "2026-07-28"} {
		t.Run(revision, func(t *testing.T) {
			var progress atomic.Int64
			c := connect(t, g.URL, revision, func() { progress.Add(1) })
			call := func(name string, args map[string]any) string {
				t.Helper()
				params := &mcp.CallToolParams{Name: name, Arguments: args}
				params.SetProgressToken("same for all")
				res, err := c.CallTool(t.Context(), params)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				text := res.Content[0].(*mcp.TextContent).Text
				if res.IsError {
					t.Fatalf("%s: %s", name, text)
				}
				return text
			}
			contains := func(got, want string) {
				t.Helper()
				if !strings.Contains(got, want) {
					t.Errorf("got %q, want %q in it", got, want)
				}
			}
			contains(call("everything_echo", map[string]any{"message": "hello\r\nline \u2028 two"}), "hello\r\nline \u2028 two")
			contains(call("everything_trigger-long-running-operation", map[string]any{"duration": 1, "steps": 4}), "4")
			if n := progress.Load(); n < 3 {
				t.Errorf("%d notes of progress", n)
			}
			env := call("everything_get-env", map[string]any{})
			contains(env, key)
			if strings.Contains(env, "RECLOSER_NPM_BIN") {
				t.Error("the process has the environment of the gateway")
			}
			file := filepath.Join(dir, revision+".txt")
			call("files_write_file", map[string]any{"path": file, "content": "written at " + revision})
			contains(call("files_read_text_file", map[string]any{"path": file}), "written at "+revision)
			call("memory_create_entities", map[string]any{"entities": []any{map[string]any{"name": revision, "entityType": "revision", "observations": []string{"spoken"}}}})
			contains(call("memory_read_graph", map[string]any{}), revision)
			contains(call("thinking_sequentialthinking", map[string]any{"thought": "one", "thoughtNumber": 1, "totalThoughts": 1, "nextThoughtNeeded": false}), `"thoughtNumber": 1`)
			if prompts, err := c.ListPrompts(t.Context(), nil); err != nil || len(prompts.Prompts) == 0 {
				t.Errorf("prompts: %v, %v", prompts, err)
			}
			if resources, err := c.ListResources(t.Context(), nil); err != nil || len(resources.Resources) == 0 {
				t.Errorf("resources: %v, %v", resources, err)
			}
		})
	}

	t.Run("many clients at once", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 4 {
			c := connect(t, g.URL, []string{"2025-11-25", "2026-07-28"}[i%2], nil)
			wg.Go(func() {
				for n := range 50 {
					message := fmt.Sprintf("client %d call %d", i, n)
					res, err := c.CallTool(t.Context(), &mcp.CallToolParams{Name: "everything_echo", Arguments: map[string]any{"message": message}})
					if err != nil || !strings.Contains(res.Content[0].(*mcp.TextContent).Text, message) {
						t.Errorf("%s: %v, %v", message, res, err)
					}
				}
			})
		}
		wg.Wait()
	})

	t.Run("killed", func(t *testing.T) {
		c := connect(t, g.URL, "2026-07-28", nil)
		if err := syscall.Kill(processOf(t, g, "everything").PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		peers.WaitFor(t, func() bool { return processOf(t, g, "everything").Restarts > 0 }) // the listener's
		res, err := c.CallTool(t.Context(), &mcp.CallToolParams{Name: "everything_echo", Arguments: map[string]any{"message": "again"}})
		if err != nil || !strings.Contains(res.Content[0].(*mcp.TextContent).Text, "again") {
			t.Errorf("after a kill: %v, %v", res, err)
		}
		if exit := processOf(t, g, "everything").LastExit; exit == nil || exit.Status != "signal: killed" {
			t.Errorf("exit %+v", exit)
		}
	})

	if s := g.Status(); s.Phase != "Ready" || s.ReadyBackends != 4 {
		t.Errorf("status: %+v", s)
	}
	var pids []int
	for _, name := range []string{"everything", "files", "memory", "thinking"} {
		pids = append(pids, processOf(t, g, name).PID)
	}
	out := g.Stop(t)
	for _, pid := range pids {
		if err := syscall.Kill(-pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("the group of process %d is left: %v", pid, err)
		}
	}
	artifacts, err := leak.Open("npm-stdio")
	if err == nil {
		err = artifacts.Keep("gateway", out, key)
	}
	if err != nil {
		t.Error(err)
	}
	for name, text := range out {
		for _, hit := range leak.Find([]byte(text), key) {
			t.Errorf("%s shows a secret of a process: %s", name, hit)
		}
	}
}

func connect(t *testing.T, url, revision string, progress func()) *mcp.ClientSession {
	t.Helper()
	o := &mcp.ClientOptions{}
	if progress != nil {
		o.ProgressNotificationHandler = func(context.Context, *mcp.ProgressNotificationClientRequest) { progress() }
	}
	c, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, o).Connect(t.Context(),
		&mcp.StreamableClientTransport{Endpoint: url}, &mcp.ClientSessionOptions{ProtocolVersion: revision})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// processState is what the status says of a backend's process.
type processState struct {
	PID, Running, Restarts int
	LastExit               *struct{ Status string }
}

func processOf(t *testing.T, g *peers.Gateway, backend string) processState {
	t.Helper()
	var status struct {
		Backends []struct {
			Name    string
			Process processState
		}
	}
	if err := json.Unmarshal([]byte(g.Get("/api/v1/status")), &status); err != nil {
		t.Fatal(err)
	}
	for _, b := range status.Backends {
		if b.Name == backend {
			return b.Process
		}
	}
	t.Fatalf("%s has no status", backend)
	return processState{}
}

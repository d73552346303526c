package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backendtest"
)

func TestServeDrainsOnSignals(t *testing.T) {
	for _, s := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		t.Run(s.String(), func(t *testing.T) {
			entered, release := make(chan struct{}), make(chan struct{})
			srv := backendtest.NewServer(t, backendtest.WithTool("wait", func(ctx context.Context, _ json.RawMessage) (any, error) {
				close(entered)
				select {
				case <-release:
					return "done", nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}))
			p := serve(t, fmt.Sprintf(`{"listen": "127.0.0.1:0", "admin": {"listen": "127.0.0.1:0"}, "mcpServers": {"b": {"url": %q}}}`, srv.URL))
			c := client(t, p.mcp, "b_wait")
			answered := make(chan error, 1)
			go func() {
				_, err := c.CallTool(t.Context(), &mcp.CallToolParams{Name: "b_wait", Arguments: map[string]any{}})
				answered <- err
			}()
			<-entered
			if err := p.cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
			p.await("draining")
			close(release)
			if err := <-answered; err != nil {
				t.Errorf("the call in flight: %v", err)
			}
			p.await("stopped")
			code, out, log := p.wait()
			if code != 0 || out != "" {
				t.Errorf("exit code %d and %q on standard output, want 0 and nothing", code, out)
			}
			if strings.Contains(log, `"level":"WARN"`) || strings.Contains(log, `"level":"ERROR"`) {
				t.Errorf("an orderly end is logged as trouble:\n%s", log)
			}
			if n := srv.Executions("wait"); n != 1 {
				t.Errorf("%d executions, want 1", n)
			}
		})
	}
}

// A hangup reloads also where the file is as it was, so that nothing but the signal can
// have done it.
func TestServeReloadsAtHangup(t *testing.T) {
	srv := backendtest.NewServer(t)
	p := serve(t, fmt.Sprintf(`{"listen": "127.0.0.1:0", "admin": {"listen": "127.0.0.1:0"}, "mcpServers": {"b": {"url": %q}}}`, srv.URL))
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.await("configuration taken up")
	code, _, log := p.stop(syscall.SIGTERM)
	if n := strings.Count(log, "configuration taken up"); code != 0 || n != 1 || !strings.Contains(log, "1 as before") {
		t.Errorf("exit code %d, %d reloads", code, n)
	}
}

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/status"
)

// What this binary is when a gateway starts it.
var programs = backendtest.Programs{
	"server": func(c *backendtest.Child) error {
		fmt.Fprintln(os.Stderr, "my key is", os.Getenv("KEY"))
		return c.Serve(backendtest.WithTool("echo", backendtest.Echo), hanging)
	},
	"elder server": func(c *backendtest.Child) error {
		fmt.Println("listening on stdio") // as many do
		return c.Serve(backendtest.WithRevision("2025-11-25"), backendtest.WithMCPGo(), backendtest.WithTool("echo", backendtest.Echo), hanging)
	},
	"asker":        asker(backendtest.WithSDK()),
	"mcp-go asker": asker(backendtest.WithMCPGo()),
	"quitter": func(*backendtest.Child) error {
		fmt.Fprintln(os.Stderr, "key", os.Getenv("KEY"), "is refused")
		fmt.Fprintln(os.Stderr, "no such file: data.db")
		os.Exit(3)
		return nil
	},
}

var hanging = backendtest.WithTool("hang", func(context.Context, json.RawMessage) (any, error) { select {} })

// asker is a server whose tool asks the user, and tells how far it is.
func asker(flavour backendtest.Option) func(*backendtest.Child) error {
	return func(c *backendtest.Child) error {
		return c.Serve(flavour, backendtest.WithRevision("2025-11-25"), backendtest.WithTool("ask", func(ctx context.Context, _ json.RawMessage) (any, error) {
			if err := backendtest.Progress(ctx, 1, 2, "asking"); err != nil {
				return nil, err
			}
			e, err := backendtest.Elicit(ctx, "who?", json.RawMessage(`{"type":"object","properties":{"name":{"type":"string"}}}`))
			return e.Action + " " + string(e.Content), err
		}))
	}
}

// process is the entry of a backend that is a program, with a secret.
func process(name string, p *backendtest.Program) string {
	env := `KEY: "${KEY}"`
	for k, v := range p.Env {
		env += fmt.Sprintf(", %s: %q", k, v)
	}
	return fmt.Sprintf("\n  %s: {command: %q, args: [--key, \"${KEY}\"], env: {%s}}", name, p.Command, env)
}

func TestKilledProcessFailsItsCallsAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"server", "elder server"} {
		t.Run(name, func(t *testing.T) {
			p := backendtest.NewProgram(t, name)
			other := backendtest.NewServer(t)
			g := serve(t, process("b", p)+fmt.Sprintf("\n  other: {url: %q}", other.URL), map[string]string{"KEY": random()})
			c, d := g.client(), g.client()
			g.listed(c, "b_echo", "b_hang", "other_echo")
			wantAnswer(t, g.call(t.Context(), c, "b_echo"))
			wantAnswer(t, g.call(t.Context(), d, "b_echo"))
			hung := make(chan answer, 1)
			go func() { hung <- g.call(t.Context(), c, "b_hang") }()
			if err := p.Wait(t.Context(), func() bool { return p.Executions("hang") == 1 }); err != nil {
				t.Fatal(err)
			}
			for _, live := range p.Live() {
				if err := p.Kill(t.Context(), live.PID); err != nil {
					t.Fatal(err)
				}
			}
			a := <-hung
			wantError(t, a, "process_exited", 1)
			if !strings.Contains(a.err.Error(), "outcome unknown") || !strings.Contains(a.err.Error(), "signal: killed") {
				t.Errorf("error %v", a.err)
			}
			wantAnswer(t, g.call(t.Context(), c, "other_echo"))
			wantAnswer(t, g.call(t.Context(), c, "b_echo"))
			wantCount(t, "executions", p.Executions("hang"), 1)
			g.settled("b", status.BackendStatusReady, status.ReasonOK)
			if b := g.backend("b"); b.Process == nil || b.Process.Restarts == 0 || b.Process.PID == 0 || b.Process.LastExit.Status != "signal: killed" {
				t.Errorf("process %+v", b.Process)
			}
		})
	}
}

func TestProcessThatEndsAtItsStartIsShownWithItsWords(t *testing.T) {
	t.Parallel()
	p := backendtest.NewProgram(t, "quitter")
	other := backendtest.NewServer(t)
	g := serve(t, process("b", p)+fmt.Sprintf("\n  other: {url: %q}", other.URL), map[string]string{"KEY": random()})
	c := g.client()
	g.listed(c, "other_echo")
	g.settled("b", status.BackendStatusUnavailable, status.ReasonProcessExited)
	b := g.backend("b")
	if !strings.Contains(b.Message, "exit status 3") || !strings.Contains(b.Fix, `"no such file: data.db"`) || !strings.Contains(b.Fix, p.Command+" --key [redacted]") {
		t.Errorf("message %q\nfix %q", b.Message, b.Fix)
	}
	if lines := b.Process.LastExit.Stderr; len(lines) != 2 || lines[0] != "[redacted]" {
		t.Errorf("stderr %q", lines)
	}
	wantAnswer(t, g.call(t.Context(), c, "other_echo"))
	g.settled("other", status.BackendStatusReady, status.ReasonOK)
}

func TestSessionsOfClientsHaveProcessesOfTheirOwn(t *testing.T) {
	t.Parallel()
	p := backendtest.NewProgram(t, "elder server")
	g := serve(t, process("b", p), map[string]string{"KEY": random()})
	c, d := g.clientOf("2025-11-25"), g.clientOf("2025-11-25")
	g.listed(c, "b_echo")
	wantCount(t, "processes", len(p.Started()), 1) // of the gateway itself
	for range 3 {
		wantAnswer(t, g.call(t.Context(), c, "b_echo"))
		wantAnswer(t, g.call(t.Context(), d, "b_echo"))
	}
	wantCount(t, "processes", len(p.Started()), 3)
	_ = d.Close()
	if err := p.Wait(t.Context(), func() bool { return len(p.Live()) == 2 }); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, g.call(t.Context(), c, "b_echo"))
	wantCount(t, "processes", len(p.Started()), 3)
}

// A conversation goes through a process as through a connection: the server asks
// the client of the very session that the process is for.
func TestServerInAProcessAsksItsClient(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"asker", "mcp-go asker"} {
		for _, revision := range []string{"2025-11-25", ""} {
			t.Run(name+" "+revision, func(t *testing.T) {
				p := backendtest.NewProgram(t, name)
				g := serve(t, process("b", p), map[string]string{"KEY": random()})
				var progress atomic.Int64
				ask := func(who string) *mcp.ClientSession {
					transport := &http.Transport{}
					c, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, &mcp.ClientOptions{
						ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
							return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"name": who}}, nil
						},
						ProgressNotificationHandler: func(context.Context, *mcp.ProgressNotificationClientRequest) { progress.Add(1) },
					}).Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: "http://" + g.Addr() + "/mcp",
						HTTPClient: &http.Client{Transport: transport}, MaxRetries: -1}, &mcp.ClientSessionOptions{ProtocolVersion: revision})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { _ = c.Close(); transport.CloseIdleConnections() })
					return c
				}
				clients := []*mcp.ClientSession{ask("Ada"), ask("Grace")}
				g.listed(clients[0], "b_ask")
				for i, want := range []string{`accept {"name":"Ada"}`, `accept {"name":"Grace"}`} {
					params := &mcp.CallToolParams{Name: "b_ask"}
					params.SetProgressToken("same")
					res, err := clients[i].CallTool(t.Context(), params)
					if err != nil {
						t.Fatal(err)
					}
					if got := res.Content[0].(*mcp.TextContent).Text; got != want {
						t.Errorf("got %s, want %s", got, want)
					}
				}
				if n := progress.Load(); n < 2 {
					t.Errorf("%d notes of progress", n)
				}
				wantCount(t, "executions", p.Executions("ask"), 2)
			})
		}
	}
}

func (g *gateway) backend(name string) status.Backend {
	for _, b := range g.Status().Backends {
		if b.Name == name {
			return b
		}
	}
	g.t.Fatalf("%s has no status", name)
	return status.Backend{}
}

// settled waits until a backend has that status.
func (g *gateway) settled(name string, want status.BackendStatus, reason status.Reason) {
	g.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		b := g.backend(name)
		if b.Status == want && b.Reason == reason {
			return
		}
		if time.Now().After(end) {
			g.t.Fatalf("%s is %s / %s, want %s / %s: %s", name, b.Status, b.Reason, want, reason, b.Message)
		}
	}
}

//go:build npm

package npm

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/test/peers"
)

const note = "mem://note"

// met is what a client of test/npm/clients prints.
type met struct {
	Revision  string   `json:"revision"`
	Tools     []string `json:"tools"`
	Resources []string `json:"resources"`
	Prompts   []string `json:"prompts"`
	Sum       string   `json:"sum"`
	Read      string   `json:"read"`
	Prompt    string   `json:"prompt"`
	Progress  []string `json:"progress"`
	Asked     []string `json:"asked"`
	Answered  string   `json:"answered"`
	Updated   string   `json:"updated"`
	Touched   string   `json:"touched"`
	Grown     bool     `json:"grown"`
	Calls     int      `json:"calls"`
	Errors    []string `json:"errors"`
}

// talkative is a server of the official SDK whose tools ask and tell. Its own
// tools act on itself, so that a client decides when that happens.
func talkative(t *testing.T, issuer *backendtest.Issuer) *backendtest.Server {
	t.Helper()
	var s *backendtest.Server
	s = backendtest.NewServer(t, backendtest.WithBearer(issuer), backendtest.WithSubscriptions(),
		backendtest.WithResource(note, "first"),
		backendtest.WithTool("echo", backendtest.Echo),
		backendtest.WithTool("ask", func(ctx context.Context, _ json.RawMessage) (any, error) {
			got, err := backendtest.Elicit(ctx, "who is there?", json.RawMessage(`{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}`))
			return got.Action + string(got.Content), err
		}),
		backendtest.WithTool("touch", func(ctx context.Context, args json.RawMessage) (any, error) {
			if err := s.WaitSubscriptions(ctx, note, 1); err != nil {
				return nil, err
			}
			var p struct{ Text string }
			_ = json.Unmarshal(args, &p)
			return "done", s.UpdateResource(note, p.Text)
		}),
		backendtest.WithTool("grow", func(_ context.Context, args json.RawMessage) (any, error) {
			var p struct{ Name string }
			_ = json.Unmarshal(args, &p)
			s.AddTool(backendtest.Tool{Name: p.Name})
			return "done", nil
		}))
	return s
}

// TestRealClientsThroughTheGateway has both lines of the TypeScript SDK use a real
// server of npm and a protected one whose token is revoked while they call.
func TestRealClientsThroughTheGateway(t *testing.T) {
	everything := startEverything(t)
	exe := peers.Build(t, "github.com/recloser-mcp/recloser/cmd/recloser")
	for _, c := range []struct{ script, revision string }{
		{"elder.mjs", "2025-11-25"}, {"modern.mjs", "2025-11-25"}, {"modern.mjs", "2026-07-28"},
	} {
		t.Run(c.script+" "+c.revision, func(t *testing.T) {
			issuer := backendtest.NewIssuer(t, backendtest.WithClient("recloser", secret))
			guarded := talkative(t, issuer)
			lab := backendtest.NewServer(t, backendtest.WithMCPGo(),
				backendtest.WithTool("revoke", func(context.Context, json.RawMessage) (any, error) { issuer.Revoke(); return "done", nil }))
			g := peers.StartGateway(t, exe, fmt.Sprintf(`{
  "mcpServers": {
    "everything": {"url": %q},
    "lab": {"url": %q},
    "guarded": {
      "url": %q,
      "auth": {"type": "client_credentials", "tokenURL": %q, "clientID": "recloser", "clientSecret": "${CLIENT_SECRET}"}
    }
  }`, everything, lab.URL, guarded.URL, issuer.TokenURL), 3, "CLIENT_SECRET="+secret)
			mints := issuer.Mints()

			m := walk(t, c.script, g.URL, c.revision)
			for list, want := range map[*[]string]string{
				&m.Tools: "everything_echo lab_revoke guarded_ask", &m.Resources: note, &m.Prompts: "everything_simple-prompt",
			} {
				for _, name := range strings.Fields(want) {
					if !slices.Contains(*list, name) {
						t.Errorf("%q lacks %s", *list, name)
					}
				}
				*list = nil
			}
			want := met{Revision: c.revision, Sum: "The sum of 2 and 40 is 42.", Read: "first", Prompt: "This is a simple prompt without arguments.",
				Progress: []string{"1/2", "2/2"}, Asked: []string{"who is there?"}, Answered: `accept{"name":"Ada"}`,
				Updated: note, Touched: "touched", Grown: true, Calls: 30, Errors: []string{}}
			if d := cmp.Diff(want, m); d != "" {
				t.Error(d)
			}
			if n := issuer.Mints() - mints; n != 1 {
				t.Errorf("%d renewals for one revocation", n)
			}
			if n := guarded.Executions("echo"); n != m.Calls {
				t.Errorf("%d executions of %d calls", n, m.Calls)
			}
			refused := guarded.Refused("tools/call")
			if refused == 0 {
				t.Error("no call was refused: the revocation proves nothing")
			}
			t.Logf("%d calls of echo, %d client errors, %d refusals, %d renewal", m.Calls, len(m.Errors), refused, issuer.Mints()-mints)
			stop(t, g, c.script+"-"+c.revision, issuer)
		})
	}
}

// walk runs a client and returns what it met.
func walk(t *testing.T, script, url, revision string) (m met) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "clients/"+script, url, revision) // the pinned one is first in PATH
	var failure peers.Output
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &m)
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", script, err, out, &failure)
	}
	return m
}

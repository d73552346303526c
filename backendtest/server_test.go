package backendtest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backendtest"
)

func TestEveryClientWorksWithEveryFlavour(t *testing.T) {
	for name, dial := range clients {
		for _, revision := range []string{"", "2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26"} {
			t.Run(name+"/"+revision, func(t *testing.T) {
				eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
					var opts []backendtest.Option
					want := "2026-07-28"
					if revision != "" {
						opts, want = append(opts, backendtest.WithRevision(revision)), revision
					}
					srv := start(opts...)
					c, err := dial(t.Context(), srv, srv.Client(), nil)
					if err != nil {
						t.Fatal(err)
					}
					defer c.close()
					if got := c.revision(); got != want {
						t.Errorf("revision %q, want %q", got, want)
					}
					tools, err := c.tools(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if d := cmp.Diff([]string{"echo"}, tools); d != "" {
						t.Error(d)
					}
					text, err := c.call(t.Context(), "echo", map[string]any{"a": 1})
					if err != nil || text != `{"a":1}` {
						t.Errorf("echo: %q, %v", text, err)
					}
					if got := srv.Executions("echo"); got != 1 {
						t.Errorf("executions: %d", got)
					}
					if got := srv.Requests("tools/call"); got != 1 {
						t.Errorf("tools/call: %d", got)
					}
					wantSessions := 1
					if want == "2026-07-28" {
						wantSessions = 0
					}
					if got := srv.Sessions(); got != wantSessions {
						t.Errorf("sessions: %d, want %d", got, wantSessions)
					}
				})
			})
		}
	}
}

func TestBearer(t *testing.T) {
	eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
		issuer := backendtest.NewIssuer(t, backendtest.WithPipe())
		srv := start(backendtest.WithBearer(issuer))
		token := issuer.Mint()
		c, err := dialOfficial(t.Context(), srv, withToken(srv.Client(), func() string { return token }), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		if _, err := c.call(t.Context(), "echo", nil); err != nil {
			t.Fatal(err)
		}
		issuer.Revoke()
		if _, err := c.call(t.Context(), "echo", nil); err == nil {
			t.Error("a revoked token was accepted")
		}
		if got := srv.Refused("tools/call"); got != 1 {
			t.Errorf("refused: %d", got)
		}
		if got := srv.Executions("echo"); got != 1 {
			t.Errorf("executions: %d", got)
		}
	})
}

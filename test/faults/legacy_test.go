package faults

import (
	"strings"
	"testing"

	"github.com/recloser-mcp/recloser/backendtest"
)

// A backend of the elder transport recovers like any other.
func TestF01RevokedTokenUnderCallsOverHTTPWithSSE(t *testing.T) {
	t.Parallel()
	const callers = 20
	for name, flavour := range map[string]backendtest.Option{"sdk": backendtest.WithSDK(), "mcp-go": backendtest.WithMCPGo()} {
		t.Run(name, func(t *testing.T) {
			secret := random()
			issuer := backendtest.NewIssuer(t, backendtest.WithClient("id", secret))
			s := backendtest.NewServer(t, flavour, backendtest.WithLegacySSE(), backendtest.WithBearer(issuer))
			entry := strings.Replace(clientCredentials("b", s, issuer), "{url", "{type: sse, url", 1)
			g := serve(t, entry, map[string]string{"SECRET": secret}, issuer)
			c := g.client()
			g.listed(c, "b_echo")
			wantAnswer(t, g.call(t.Context(), c, "b_echo"))
			sessions, mints, sends := s.Sessions(), issuer.Mints(), s.Requests(call)
			issuer.Revoke()
			for _, a := range g.calls(c, "b_echo", callers) {
				wantAnswer(t, a)
			}
			wantCount(t, "renewals", issuer.Mints()-mints, 1)
			wantCount(t, "sessions", s.Sessions(), sessions)
			wantCount(t, "executions", s.Executions("echo"), callers+1)
			if n := s.Requests(call) - sends; n > 2*callers {
				t.Errorf("%d sends, at most %d", n, 2*callers)
			}
			wantStatus(t, g, "ready", "ok")
		})
	}
}

package backend_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
)

// TestI20CredentialStaysAtItsOrigin: wherever a redirect points and whatever its
// status, before and after a renewal, nobody but the configured origin is sent
// anything.
func TestI20CredentialStaysAtItsOrigin(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		for name, location := range map[string]func(home, other *backendtest.Server) string{
			"other host":       func(_, other *backendtest.Server) string { return other.URL },
			"without a scheme": func(_, other *backendtest.Server) string { return "//" + other.Addr() + "/mcp" },
			"home as user name": func(home, other *backendtest.Server) string {
				return "http://" + home.Addr() + "@" + other.Addr() + "/"
			},
			"other port": func(home, _ *backendtest.Server) string {
				host, _, _ := strings.Cut(home.Addr(), ":")
				return "http://" + host + ":1/mcp"
			},
			"other scheme": func(home, _ *backendtest.Server) string { return "https://" + home.Addr() + "/mcp" },
		} {
			for _, refusals := range []int{0, 1} {
				t.Run(fmt.Sprint(status, "/", name, "/", refusals), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						other := plainServer(t)
						r := newRig(t, minting(), rich(backendtest.WithRevision(modern)), func(o *backend.Options) {
							home := o.Dial
							o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
								if addr == other.Addr() {
									return other.Dial(ctx, network, addr)
								}
								return home(ctx, network, addr)
							}
						})
						r.mustCall()
						if refusals > 0 {
							r.refuse("tools/call", refusals)
						}
						r.srv.Inject(backendtest.Status(status, backendtest.Forever).ForMethod("tools/call").Header("Location", location(r.srv, other)))
						sends := r.sends("tools/call")
						e := wantKind(t, r.call(t.Context()), backend.KindProtocolError)
						want(t, "status", e.Status, status)
						want(t, "sends", sends(), 1+refusals)
						want(t, "requests elsewhere", other.Requests(""), 0)
						want(t, "shows a credential", strings.Contains(e.Error(), "token-"), false)
					})
					bubble(t, func(t *testing.T) { // the transport, under a client that follows
						home, other := plainServer(t), plainServer(t)
						dial := backendtest.Dialer(home, other)
						base := &http.Transport{DialContext: dial}
						defer base.CloseIdleConnections()
						tr := newTransport(t, home, minting(), backend.TransportOptions{Base: base})
						if refusals > 0 {
							home.Inject(backendtest.Status(401, refusals))
						}
						home.Inject(backendtest.Status(status, backendtest.Forever).Header("Location", location(home, other)))
						_, err := (&http.Client{Transport: tr}).Post(home.URL, "application/json", strings.NewReader(toolsCall))
						e := wantKind(t, err, backend.KindProtocolError)
						want(t, "status", e.Status, status)
						want(t, "sends", home.Requests(""), 1+refusals)
						want(t, "requests elsewhere", other.Requests(""), 0)
					})
				})
			}
		}
	}
}

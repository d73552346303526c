//go:build npm

// Package npm runs the product against real servers and clients of others: the
// reference servers of npm, over HTTP and as processes, and its inspector, a
// mark3labs/mcp-go server, and a server of the official Go SDK whose tokens live
// ten seconds.
//
// RECLOSER_CALM and RECLOSER_REVOKE set how long the two loads last; the
// defaults suit a test run. RECLOSER_CALM=10m RECLOSER_REVOKE=5m is the soak.
package npm

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/test/leak"
	"github.com/recloser-mcp/recloser/test/peers"
)

const secret = "cs-7f3a91d2b64e8c05-client-secret"

func TestRealPeersThroughTheGateway(t *testing.T) {
	everything := startEverything(t)
	plain := backendtest.NewServer(t, backendtest.WithMCPGo())
	issuer := backendtest.NewIssuer(t, backendtest.WithTTL(10*time.Second), backendtest.WithClient("recloser", secret))
	guarded := backendtest.NewServer(t, backendtest.WithBearer(issuer))

	g := peers.StartGateway(t, peers.Build(t, "github.com/recloser-mcp/recloser/cmd/recloser"), fmt.Sprintf(`{
  "mcpServers": {
    "everything": {"type": "http", "url": %q},
    "mcpgo": {"url": %q},
    "guarded": {
      "url": %q,
      "auth": {"type": "client_credentials", "tokenURL": %q, "clientID": "recloser", "clientSecret": "${CLIENT_SECRET}"}
    }
  }`, everything, plain.URL, guarded.URL, issuer.TokenURL), 3, "CLIENT_SECRET="+secret)

	t.Run("inspector lists and calls", func(t *testing.T) {
		list := inspector(t, g.URL, "--method", "tools/list")
		for _, want := range []string{`"everything_echo"`, `"mcpgo_echo"`, `"guarded_echo"`} {
			if !strings.Contains(list, want) {
				t.Errorf("tools/list lacks %s:\n%s", want, list)
			}
		}
		for _, name := range []string{"everything_echo", "mcpgo_echo", "guarded_echo"} {
			got := inspector(t, g.URL, "--method", "tools/call", "--tool-name", name, "--tool-arg", "message=hello")
			if !strings.Contains(got, "hello") {
				t.Errorf("%s answered:\n%s", name, got)
			}
		}
		one := inspector(t, g.URL+"/everything", "--method", "tools/call", "--tool-name", "echo", "--tool-arg", "message=one")
		if !strings.Contains(one, "Echo: one") {
			t.Errorf("/mcp/everything answered:\n%s", one)
		}
	})

	t.Run("calm", func(t *testing.T) {
		before := refusals(guarded)
		calls, failed := load(t, g.URL, duration("RECLOSER_CALM", 25*time.Second), nil)
		got := refusals(guarded) - before
		t.Logf("%d calls, %d client errors, %d refusals at the protected backend, %d mints", calls, failed, got, issuer.Mints())
		if failed != 0 || got != 0 {
			t.Errorf("%d client errors and %d refusals: want none, the credential is renewed ahead of time", failed, got)
		}
	})

	t.Run("revocations", func(t *testing.T) {
		d := duration("RECLOSER_REVOKE", 45*time.Second)
		every := min(20*time.Second, d/3)
		mints, revoked := issuer.Mints(), 0
		began := time.Now()
		calls, failed := load(t, g.URL, d, func(ctx context.Context) {
			for tick := time.NewTicker(every); ; {
				select {
				case <-ctx.Done():
					tick.Stop()
					return
				case <-tick.C:
					issuer.Revoke()
					revoked++
				}
			}
		})
		renewals := issuer.Mints() - mints
		ahead := int(time.Since(began)/(7*time.Second)) + 1
		t.Logf("%d calls, %d client errors, %d revocations, %d renewals (of them at most %d ahead of time)", calls, failed, revoked, renewals, ahead)
		if failed != 0 {
			t.Errorf("%d client errors, want none", failed)
		}
		if renewals < revoked || renewals > revoked+ahead {
			t.Errorf("%d renewals for %d revocations and at most %d expiries", renewals, revoked, ahead)
		}
	})

	if s := g.Status(); s.Phase != "Ready" || s.ReadyBackends != 3 {
		t.Errorf("status after the load: %+v", s)
	}
	stop(t, g, "gateway", issuer)
}

var artifacts = sync.OnceValues(func() (*leak.Artifacts, error) { return leak.Open("npm") })

// stop drains the gateway and looks for credentials in all that it has shown.
func stop(t *testing.T, g *peers.Gateway, part string, issuer *backendtest.Issuer) {
	t.Helper()
	out := g.Stop(t)
	tokens := []string{secret}
	for n := 1; n <= issuer.Mints(); n++ {
		tokens = append(tokens, issuer.Token(n))
	}
	kept, err := artifacts()
	if err == nil {
		err = kept.Keep(part, out, tokens...)
	}
	if err != nil {
		t.Error(err)
	}
	for name, text := range out {
		for _, hit := range leak.Find([]byte(text), tokens...) {
			t.Errorf("%s shows a credential: %s", name, hit)
		}
	}
}

func duration(name string, def time.Duration) time.Duration {
	if d, err := time.ParseDuration(os.Getenv(name)); err == nil {
		return d
	}
	return def
}

func refusals(s *backendtest.Server) int {
	n := 0
	for _, m := range []string{"tools/call", "tools/list", "initialize", "ping", "server/discover"} {
		n += s.Refused(m)
	}
	return n
}

// load calls a tool of every backend from four sessions until d is over, and
// counts calls and errors. beside runs meanwhile.
func load(t *testing.T, url string, d time.Duration, beside func(context.Context)) (calls, failed int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var nCalls, nFailed atomic.Int64
	var wg sync.WaitGroup
	if beside != nil {
		wg.Go(func() { beside(ctx) })
	}
	for range 4 {
		c := mcp.NewClient(&mcp.Implementation{Name: "load", Version: "1"}, nil)
		s, err := c.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: url}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		wg.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				name := []string{"everything_echo", "mcpgo_echo", "guarded_echo", "guarded_echo"}[n%4]
				// A call that is under way when the time is over is let end.
				res, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: name, Arguments: map[string]any{"message": "x"}})
				nCalls.Add(1)
				if err != nil || res.IsError {
					nFailed.Add(1)
					t.Logf("%s: %v", name, err)
				}
			}
		})
	}
	wg.Wait()
	return nCalls.Load(), nFailed.Load()
}

func inspector(t *testing.T, url string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, peers.NPM("mcp-inspector"), append([]string{"--cli", url, "--transport", "http"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("inspector %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func startEverything(t *testing.T) string {
	t.Helper()
	addr := peers.FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(peers.NPM("mcp-server-everything"), "streamableHttp")
	cmd.Env = append(os.Environ(), "PORT="+port)
	peers.Run(t, cmd)
	peers.WaitForListener(t, addr)
	return "http://" + addr + "/mcp"
}

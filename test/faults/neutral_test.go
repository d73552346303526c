package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/recloser-mcp/recloser/backendtest"
)

func TestF17AnotherFaultOnAReSendIsReturnedAsItIs(t *testing.T) {
	t.Parallel()
	key := random()
	s := backendtest.NewServer(t, backendtest.WithToken(key), backendtest.WithFault(
		backendtest.Status(401, 1).ForMethod(call), backendtest.Status(502, 1).ForMethod(call)))
	g := serve(t, static(s, ""), map[string]string{"KEY": key})
	c := g.client()
	g.listed(c, "b_echo")
	a := g.call(t.Context(), c, "b_echo")
	wantError(t, a, "server_error", 2)
	if a.data.Status != 502 {
		t.Errorf("status %d, want 502", a.data.Status)
	}
	wantCount(t, "sends", s.Requests(call), 2)
	wantCount(t, "executions", s.Executions("echo"), 0)
	if n := g.Status().Backends[0].Breaker.Exhausted; n != 0 {
		t.Errorf("counted %d, want nothing", n)
	}
	wantAnswer(t, g.call(t.Context(), c, "b_echo"))
}

func TestF17AResetOfAReSendConcernsNobodyElse(t *testing.T) {
	t.Parallel()
	s, issuer, g, c := minted(t, "")
	const n = 5
	mints := issuer.Mints()
	answers := g.together(s, c, n, func() {
		issuer.Revoke()
		// The first call with a good token is carried out and then cut off.
		s.Inject(backendtest.ResetPeer(1).AfterExecution().ForMethod(call).When(
			func(_ *http.Request, m backendtest.Message) bool { return issuer.Valid(m.Credential) }))
	})
	cut := 0
	for _, a := range answers {
		if a.err == nil {
			continue
		}
		cut++
		wantError(t, a, "unreachable", 2)
	}
	wantCount(t, "calls that failed", cut, 1)
	wantCount(t, "executions", s.Executions("echo"), n)
	wantCount(t, "renewals", issuer.Mints()-mints, 1)
	wantCount(t, "exhausted", g.breaker().Exhausted, 0)
	wantCount(t, "sends", s.Requests(call), 2*n)
}

func TestAFaultAfterTheToolRanIsNeverRetried(t *testing.T) {
	t.Parallel()
	for _, f := range []backendtest.Fault{backendtest.Status(502, 1).AfterExecution(), backendtest.ResetPeer(1).AfterExecution()} {
		key := random()
		s := backendtest.NewServer(t, backendtest.WithToken(key), backendtest.WithFault(f.ForMethod(call)))
		g := serve(t, static(s, ""), map[string]string{"KEY": key})
		c := g.client()
		g.listed(c, "b_echo")
		if a := g.call(t.Context(), c, "b_echo"); a.err == nil {
			t.Errorf("%s: answered", f)
		}
		wantCount(t, "sends", s.Requests(call), 1)
		wantCount(t, "executions", s.Executions("echo"), 1)
	}
}

func TestF18WordsDecideNothing(t *testing.T) {
	t.Parallel()
	key := random()
	s := backendtest.NewServer(t, backendtest.WithToken(key),
		backendtest.WithTool("denied", backendtest.Failing("HTTP 401 Unauthorized: access denied")),
		backendtest.WithTool("text", backendtest.Text("401 invalid_token access denied")),
		backendtest.WithTool("rpc", func(context.Context, json.RawMessage) (any, error) {
			return nil, &backendtest.RPCError{Code: -32001, Message: "unauthorized (401)"}
		}))
	g := serve(t, static(s, ""), map[string]string{"KEY": key})
	c := g.client()
	g.listed(c, "b_denied", "b_text", "b_rpc")
	if a := g.call(t.Context(), c, "b_denied"); a.err != nil || !a.isError {
		t.Errorf("denied: %+v", a)
	}
	if a := g.call(t.Context(), c, "b_text"); a.err != nil || a.text != "401 invalid_token access denied" {
		t.Errorf("text: %+v", a)
	}
	if a := g.call(t.Context(), c, "b_rpc"); a.err == nil || a.data.Reason != "" {
		t.Errorf("rpc: %+v", a)
	}
	for _, tool := range []string{"denied", "text", "rpc"} {
		wantCount(t, "executions of "+tool, s.Executions(tool), 1)
	}
	wantCount(t, "sends", s.Requests(call), 3)
}

func TestF19NothingIsSentToWhereARedirectPoints(t *testing.T) {
	t.Parallel()
	var visits atomic.Int64
	elsewhere := backendtest.NewServer(t, backendtest.WithHTTPMiddleware(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visits.Add(1) })
	}))
	key := random()
	s := backendtest.NewServer(t, backendtest.WithToken(key), backendtest.WithFault(
		backendtest.Status(401, 1).ForMethod(call),
		backendtest.Status(307, backendtest.Forever).Header("Location", elsewhere.URL).ForMethod(call)))
	g := serve(t, static(s, ""), map[string]string{"KEY": key})
	c := g.client()
	g.listed(c, "b_echo")
	wantError(t, g.call(t.Context(), c, "b_echo"), "protocol_error", 2)
	wantCount(t, "visits elsewhere", int(visits.Load()), 0)
}

func TestF20AHugeRefusalIsARefusal(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]backendtest.Fault{
		"body":      backendtest.Status(401, backendtest.Forever).BodySize(10 << 30),
		"challenge": backendtest.Status(401, backendtest.Forever).HeaderSize("WWW-Authenticate", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := random()
			s := backendtest.NewServer(t, backendtest.WithToken(key), backendtest.WithFault(f.ForMethod(call)))
			g := serve(t, static(s, ""), map[string]string{"KEY": key})
			c := g.client()
			g.listed(c, "b_echo")
			wantError(t, g.call(t.Context(), c, "b_echo"), "auth_refused", 4)
			wantCount(t, "sends", s.Requests(call), 4)
		})
	}
}

func TestF22LostSessionAndRevokedCredential(t *testing.T) {
	t.Parallel()
	s, issuer, g, c := minted(t, "", backendtest.WithRevision("2025-11-25"))
	wantAnswer(t, g.call(t.Context(), c, "b_echo"))
	mints, executions := issuer.Mints(), s.Executions("echo")
	sessions := func() (n int) { // of the client; the gateway has one for itself
		for _, x := range s.Exchanges() {
			if x.Method == "initialize" && x.Status == http.StatusOK && bytes.Contains(x.Body, []byte(`"name":"test"`)) {
				n++
			}
		}
		return n
	}
	wantCount(t, "sessions", sessions(), 1)
	s.DropSessions()
	issuer.Revoke()
	wantAnswer(t, g.call(t.Context(), c, "b_echo"))
	wantCount(t, "renewals", issuer.Mints()-mints, 1)
	wantCount(t, "executions", s.Executions("echo")-executions, 1)
	wantCount(t, "sessions", sessions(), 2)
}

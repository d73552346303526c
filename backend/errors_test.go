package backend_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/guard"
)

func TestSentinelsFollowKindAndStatus(t *testing.T) {
	for _, row := range []struct {
		e                 backend.Error
		auth, unavailable bool
		reason            string
	}{
		{backend.Error{Kind: backend.KindAuthRefused, Status: 401}, true, false, "auth_refused"},
		{backend.Error{Kind: backend.KindAuthForbidden, Status: 403}, true, false, "auth_forbidden"},
		{backend.Error{Kind: backend.KindScopeMissing, Status: 403}, true, false, "scope_missing"},
		{backend.Error{Kind: backend.KindGrantExpired}, true, false, "grant_expired"},
		{backend.Error{Kind: backend.KindRenewalUnavailable}, true, false, "renewal_unavailable"},
		{backend.Error{Kind: backend.KindBreakerOpen}, true, false, "breaker_open"},
		{backend.Error{Kind: backend.KindUnreachable}, false, true, "unreachable"},
		{backend.Error{Kind: backend.KindTLSFailed}, false, true, "tls_failed"},
		{backend.Error{Kind: backend.KindTimeout}, false, false, "timeout"},
		{backend.Error{Kind: backend.KindServerError, Status: 500}, false, true, "server_error"},
		{backend.Error{Kind: backend.KindServerError, Status: 501}, false, false, "server_error"},
		{backend.Error{Kind: backend.KindServerError, Status: 502}, false, true, "server_error"},
		{backend.Error{Kind: backend.KindServerError, Status: 503}, false, true, "server_error"},
		{backend.Error{Kind: backend.KindServerError, Status: 504}, false, true, "server_error"},
		{backend.Error{Kind: backend.KindServerError, Status: 429}, false, false, "server_error"},
		{backend.Error{Kind: backend.KindProtocolError, Status: 404}, false, false, "protocol_error"},
		{backend.Error{Kind: backend.KindProcessExited}, false, true, "process_exited"},
		{backend.Error{Kind: backend.KindNoCapacity}, false, false, "no_capacity"},
		{backend.Error{Kind: backend.KindCanceled}, false, false, "canceled"},
		{backend.Error{Kind: backend.KindClosed}, false, false, "closed"},
		{backend.Error{}, false, false, "unknown"},
		{backend.Error{Kind: 200}, false, false, "unknown"},
	} {
		err := fmt.Errorf("wrapped: %w", &row.e)
		want(t, row.reason+" auth", errors.Is(err, backend.ErrAuthenticationFailed), row.auth)
		want(t, row.reason+" unavailable", errors.Is(err, backend.ErrBackendUnavailable), row.unavailable)
		want(t, "reason", row.e.Kind.Reason(), row.reason)
		want(t, row.reason+" foreign auth", backend.IsAuthenticationError(err), row.auth)
		want(t, row.reason+" foreign connection", backend.IsConnectionError(err), row.unavailable)
		if row.reason != "unknown" {
			want(t, row.reason+" has a hint", row.e.Hint() != "", true)
		}
	}
}

func TestErrorSaysWhatHappenedAndWhatWasTried(t *testing.T) {
	e := &backend.Error{Kind: backend.KindAuthRefused, Backend: "weather", Method: "tools/call", Status: 401, Attempts: 4,
		Challenge: &auth.Challenge{Error: "invalid_token"}, Err: &guard.Refusal{Reason: guard.Exhausted}}
	want(t, "text", e.Error(), "backend weather: tools/call: credential refused (status 401, invalid_token, sent 4 times): credential refused: exhausted")
	e = &backend.Error{Kind: backend.KindTimeout, Backend: "weather", OutcomeUnknown: true}
	want(t, "text", e.Error(), "backend weather: no answer in time (outcome unknown)")
}

func TestForeignErrorsAreToldByTheirWords(t *testing.T) {
	for text, kinds := range map[string][2]bool{
		"unauthorized (401)":                                {true, false},
		"Unauthorized":                                      {true, false},
		"request failed with status code 401":               {true, false},
		"HTTP 403: nope":                                    {true, false},
		"403 Forbidden":                                     {true, false},
		"oauth: token has expired":                          {true, false},
		"invalid_token":                                     {true, false},
		"invalid access token":                              {true, false},
		"authentication required":                           {true, false},
		"missing credentials":                               {true, false},
		"permission denied (publickey)":                     {true, false},
		"dial tcp 127.0.0.1:1: connect: connection refused": {false, true},
		"read tcp 10.0.0.1:5->10.0.0.2:80: connection reset by peer": {false, true},
		"lookup nowhere: no such host":                               {false, true},
		"unexpected EOF":                                             {false, true},
		"http: server closed idle connection":                        {false, true},
		"502 Bad Gateway":                                            {false, true},
		"unexpected status 503":                                      {false, true},
		"net/http: TLS handshake timeout":                            {false, true},
		"tool not found":                                             {false, false},
		"status 404":                                                 {false, false},
		"4010 items were found":                                      {false, false},
		"the token ring was renewed":                                 {false, false},
		"invalid argument: order 401a":                               {false, false},
		"timeout of the oven":                                        {false, false},
	} {
		err := errors.New(text)
		want(t, "authentication: "+text, backend.IsAuthenticationError(err), kinds[0])
		want(t, "connection: "+text, backend.IsConnectionError(err), kinds[1])
	}
	want(t, "nil", backend.IsAuthenticationError(nil) || backend.IsConnectionError(nil), false)
	rpc := &backend.RPCError{Code: -32000, Message: "unauthorized (401), connection refused"}
	want(t, "an answer is none", backend.IsAuthenticationError(rpc) || backend.IsConnectionError(rpc), false)
	want(t, "errno", backend.IsConnectionError(syscall.ECONNREFUSED), true)
}

func TestOptionsAreCheckedAllAtOnce(t *testing.T) {
	idle := -time.Second
	bad := backend.Options{URL: "https://user:hunter2@example.com", Headers: map[string]string{"authorization": "Bearer hunter2", "Mcp-Session-Id": "1"},
		PassthroughHeaders: []string{"Cookie"}, AuthRetry: guard.Options{OpenAfter: -1}, Isolation: "none", Proxy: "::", TLS: backend.TLS{CertFile: "c"},
		Timeouts: backend.Timeouts{Connect: -1, Idle: &idle}}
	_, err := backend.NewHTTPBackendClient(auth.NewRegistry(), bad)
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"name is empty", "holds credentials", "Authorization is a credential", "Mcp-Session-Id is set by the client",
		"Cookie is a credential", "openAfter", "isolation", "proxy", "tls.certFile", "timeouts.connect", "timeouts.idle"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not speak of %q: %v", part, err)
		}
	}
	want(t, "no secret in it", strings.Contains(err.Error(), "hunter2"), false)
}

func TestNilRegistryIsRefusedWithAHint(t *testing.T) {
	_, err := backend.NewHTTPBackendClient(nil, backend.Options{Name: "x", URL: "http://localhost"})
	if err == nil || !strings.Contains(err.Error(), "unauthenticated") {
		t.Errorf("got %v, want the hint to use the unauthenticated strategy", err)
	}
}

func TestCredentialOverPlainHTTPIsRefused(t *testing.T) {
	source := auth.NewSource("bearer", fixed(), auth.SourceOptions{})
	defer source.Close()
	for url, ok := range map[string]bool{
		"http://example.com/mcp": false, "http://10.0.0.7": false, "https://example.com": true,
		"http://localhost:1": true, "http://127.0.0.1:1": true, "http://[::1]:1": true, "http://a.localhost": true,
	} {
		o := backend.Options{Name: "x", URL: url, Auth: source}
		for _, allow := range []bool{false, true} {
			o.AllowInsecure = allow
			c, err := backend.NewHTTPBackendClient(auth.NewRegistry(), o)
			want(t, fmt.Sprint(url, " allowed: ", allow), err == nil, ok || allow)
			if err == nil {
				_ = c.Close()
			}
		}
		o.Auth, o.AllowInsecure = nil, false
		c, err := backend.NewHTTPBackendClient(auth.NewRegistry(), o)
		if err != nil {
			t.Errorf("%s without a credential: %v", url, err)
			continue
		}
		_ = c.Close()
	}
}

// TLS needs real handshakes, so this test has a port.
func TestTLSFailuresAndTrust(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"],"capabilities":{}}}`)
	}))
	srv.Config.ErrorLog = nil
	srv.StartTLS()
	defer srv.Close()
	plain := httptest.NewServer(srv.Config.Handler)
	defer plain.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pemOf(srv.Certificate().Raw), 0o600); err != nil {
		t.Fatal(err)
	}
	ping := func(o backend.Options) error {
		o.Name = "x"
		c, err := backend.NewHTTPBackendClient(auth.NewRegistry(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.Ping(t.Context())
	}
	e := wantKind(t, ping(backend.Options{URL: srv.URL}), backend.KindTLSFailed)
	want(t, "sentinel", errors.Is(e, backend.ErrBackendUnavailable), true)
	wantKind(t, ping(backend.Options{URL: strings.Replace(plain.URL, "http:", "https:", 1)}), backend.KindTLSFailed)
	if err := ping(backend.Options{URL: srv.URL, TLS: backend.TLS{CAFile: ca}}); err != nil {
		t.Error(err)
	}
	strict := httptest.NewUnstartedServer(srv.Config.Handler)
	strict.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert} // which TLS 1.3 tells after the handshake
	strict.Config.ErrorLog = log.New(io.Discard, "", 0)
	strict.StartTLS()
	defer strict.Close()
	for range 10 {
		wantKind(t, ping(backend.Options{URL: strict.URL, TLS: backend.TLS{CAFile: ca}}), backend.KindTLSFailed)
	}
	for _, bad := range []backend.TLS{{CAFile: "nowhere"}, {CAFile: os.Args[0]}, {CertFile: ca, KeyFile: ca}} {
		if _, err := backend.NewHTTPBackendClient(auth.NewRegistry(), backend.Options{Name: "x", URL: srv.URL, TLS: bad}); err == nil {
			t.Errorf("%v: no error", bad)
		}
	}
}

func TestHungDialEndsWithTheConnectTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, rich(), func(o *backend.Options) {
			o.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, &net.OpError{Op: "dial", Err: ctx.Err()}
			}
		})
		took := elapsed()
		wantKind(t, r.call(t.Context()), backend.KindUnreachable)
		want(t, "took", took(), 5*time.Second)
	})
}

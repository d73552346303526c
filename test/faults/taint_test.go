package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/test/leak"
)

// collector is an OTLP endpoint that keeps what it is sent. Strings stand in the
// protobuf bytes as they are.
func collector(t *testing.T) (url string, got *buffer) {
	got = &buffer{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Encoding") != "" {
			t.Error("the spans are compressed: nothing can be found in them")
		}
		_, _ = io.Copy(got, r.Body)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, got
}

// echoing repeats the credential wherever an answer has room for text. The tool's
// name says where.
func echoing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m, _ := backendtest.MessageFrom(r.Context())
		token := m.Credential
		rpc := func(status int) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32000,"message":"no %s","data":{"token":%q}}}`, m.ID, token, token)
		}
		switch m.Name {
		case "challenge":
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q, error=%q, error_description=%q, scope=%q, x=%q`, token, token, token, token, token))
			w.WriteHeader(401)
			_, _ = io.WriteString(w, token)
		case "scope":
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer error="insufficient_scope", scope=%q`, token))
			w.WriteHeader(403)
		case "forbidden":
			w.WriteHeader(403)
			_, _ = io.WriteString(w, token)
		case "redirect":
			w.Header().Set("Location", "http://"+token+".example/"+token)
			w.WriteHeader(307)
		case "broken":
			w.Header().Set("Retry-After", token)
			w.WriteHeader(500)
			_, _ = io.WriteString(w, token)
		case "type":
			w.Header().Set("Content-Type", "text/"+token)
			_, _ = io.WriteString(w, token)
		case "json":
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"`+token)
		case "event":
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "event: "+token+"\ndata: {"+token+"\n\n")
		case "http":
			if c, rw, err := http.NewResponseController(w).Hijack(); err == nil {
				_, _ = rw.WriteString("HTTP/1.1 200 OK\r\n" + token + "\r\n\r\n")
				_ = rw.Flush()
				_ = c.Close()
			}
		case "rpc":
			rpc(200)
		case "rpc403":
			rpc(403)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// echoTools are the names that echoing knows. What an rpc error says is the
// backend's answer to the client, and reaches it byte for byte; it is shown
// nowhere else.
var echoTools = []string{"challenge", "scope", "forbidden", "redirect", "broken", "type", "json", "event", "http", "rpc", "rpc403"}

// TestI18NoSinkShowsACredential lets a hostile backend and a hostile token server
// repeat every secret they are sent, and searches the log, the spans, the metrics,
// the status and the errors that clients see.
func TestI18NoSinkShowsACredential(t *testing.T) {
	t.Parallel()
	secret := random()
	url, spans := collector(t)
	issuer := backendtest.NewIssuer(t, backendtest.WithClient("id", secret))
	t.Cleanup(func() { // after the gateway has sent its last spans
		for _, name := range []string{"auth.retry", "auth.renew", "tools/call challenge"} {
			if !strings.Contains(spans.String(), name) {
				t.Errorf("no span speaks of %s", name)
			}
		}
		tokens := []string{secret}
		for n := 1; n <= issuer.Mints(); n++ {
			tokens = append(tokens, issuer.Token(n))
		}
		for _, hit := range leak.Find([]byte(spans.String()), tokens...) {
			t.Errorf("the spans show a credential: %s", hit)
		}
	})
	options := []backendtest.Option{backendtest.WithBearer(issuer), backendtest.WithHTTPMiddleware(echoing)}
	var names []string
	for _, name := range echoTools {
		options = append(options, backendtest.WithTool(name, backendtest.Echo))
		names = append(names, "b_"+name)
	}
	s := backendtest.NewServer(t, options...)
	g := serve(t, clientCredentials("b", s, issuer)+"\ntelemetry: {otlp: \""+url+"\"}", map[string]string{"SECRET": secret}, issuer)
	c := g.client()
	g.listed(c, names...)
	for _, name := range echoTools {
		a := g.call(t.Context(), c, "b_"+name)
		if a.err == nil {
			t.Errorf("%s: answered %q", name, a.text)
		}
		if strings.HasPrefix(name, "rpc") {
			g.texts = nil
		}
		g.lookForSecrets()
	}
	for _, f := range []backendtest.TokenFailure{
		{Status: 400, ContentType: "application/json", Body: fmt.Sprintf(`{"error":%q,"error_description":%q}`, secret, secret)},
		{Status: 200, ContentType: "text/" + secret, Body: secret},
		{Status: 503, ContentType: "text/plain", Body: secret},
	} {
		issuer.Fail(f, backendtest.Forever)
		issuer.Revoke()
		if a := g.call(t.Context(), c, "b_challenge"); a.err == nil {
			t.Error("answered without a token")
		}
		g.lookForSecrets()
	}
}

// TestI18ListsAndProbesShowNoCredential: what nobody called is logged as well.
func TestI18ListsAndProbesShowNoCredential(t *testing.T) {
	t.Parallel()
	for _, revision := range []string{"2025-11-25", "2026-07-28"} {
		for _, status := range []int{200, 400, 403} {
			key := random()
			s := backendtest.NewServer(t, backendtest.WithToken(key), backendtest.WithRevision(revision),
				backendtest.WithHandler(func(w http.ResponseWriter, r *http.Request, m backendtest.Message) bool {
					if m.Method != "tools/list" && m.Method != "ping" {
						return false
					}
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(status)
					_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32000,"message":"no %s","data":%q}}`, m.ID, key, key)
					return true
				}))
			g := serve(t, static(s, ""), map[string]string{"KEY": key})
			g.log.await(t, "catalogue not refreshed")
			if revision == "2025-11-25" { // whose probe is a ping
				g.log.await(t, "probe failed")
			}
			g.lookForSecrets()
		}
	}
}

// TestI18NoNameOfAnEntryShowsACredential: an entry that is renamed or left out is
// logged with its name, which is the backend's to choose.
func TestI18NoNameOfAnEntryShowsACredential(t *testing.T) {
	t.Parallel()
	key := random()
	s := backendtest.NewServer(t, backendtest.WithToken(key), backendtest.WithRevision("2026-07-28"),
		backendtest.WithHandler(func(w http.ResponseWriter, _ *http.Request, m backendtest.Message) bool {
			if m.Method != "tools/list" {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"tools":[`+
				`{"name":"fine","inputSchema":{"type":"object"}},{"name":"x %s","inputSchema":{"type":"object"}},{"name":"%s"},{"name":7,"description":%q}]}}`,
				m.ID, key, key, key)
			return true
		}))
	g := serve(t, static(s, ""), map[string]string{"KEY": key})
	c := g.client()
	g.listed(c, "b_fine")
	g.log.await(t, "catalogue entry needs attention")
	g.lookForSecrets()
}

// panicky is a strategy of somebody else's that panics with its secret.
type panicky struct{ secret string }

func (p panicky) Fetch(context.Context) (auth.Material, error) {
	panic(fmt.Errorf("cannot use %s: %w", p.secret, errors.New(p.secret)))
}

func TestI18APanicShowsNoCredential(t *testing.T) {
	t.Parallel()
	secret := random()
	registry := auth.NewRegistry()
	if err := registry.Register("panicky", func(auth.Spec) (auth.Strategy, error) { return panicky{secret}, nil }); err != nil {
		t.Fatal(err)
	}
	s := backendtest.NewServer(t, backendtest.WithToken(secret))
	g := serveWith(t, registry, fmt.Sprintf("\n  b: {url: %q, auth: {type: panicky}}", s.URL), nil)
	g.secrets = append(g.secrets, secret)
	c := g.client()
	a := g.call(t.Context(), c, "b_echo")
	if a.err == nil {
		t.Error("answered without a credential")
	}
	if a.data.Reason != "renewal_unavailable" {
		t.Errorf("told %+v", a.data)
	}
	wantCount(t, "sends", s.Requests(""), 0)
}

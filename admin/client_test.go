package admin_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/admin"
	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/status"
)

// gateway answers every request alike and keeps the last one.
type gateway struct {
	*httptest.Server
	requests int
	method   string
	uri      string
	header   http.Header
	body     string
}

func answering(t *testing.T, code int, body string) *gateway {
	g := &gateway{}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		g.requests++
		g.method, g.uri, g.header, g.body = r.Method, r.RequestURI, r.Header, string(b)
		if code == http.StatusFound {
			w.Header().Set("Location", "http://"+r.Host+"/elsewhere")
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(g.Close)
	return g
}

// Every method asks what the contract says, and understands the answer.
func TestClientAsks(t *testing.T) {
	for _, test := range []struct {
		name, answer      string
		ask               func(*admin.Client) (any, error)
		method, uri, body string
		want              string // the result as JSON begins with it
	}{
		{"status", `{"phase":"Ready","headline":"x"}`, func(c *admin.Client) (any, error) { return c.Status(t.Context()) }, "GET", "/api/v1/status", "", `{"phase":"Ready"`},
		{"backend", `{"backend":{"name":"a b"}}`, func(c *admin.Client) (any, error) { return c.Backend(t.Context(), "a b/c") }, "GET", "/api/v1/backends/a%20b%2Fc", "", `{"backend":{"name":"a b"`},
		{"history", `{"":{"minutes":[{"calls":3,"failed":0,"saved":0,"p95":"1s"}]}}`, func(c *admin.Client) (any, error) { return c.History(t.Context()) }, "GET", "/api/v1/history", "", `{"":{"minutes":[{"calls":3`},
		{"recent", `[{"id":4}]`, func(c *admin.Client) (any, error) { return c.Recent(t.Context(), "") }, "GET", "/api/v1/events", "", `[{"id":4`},
		{"recent of one", `[]`, func(c *admin.Client) (any, error) { return c.Recent(t.Context(), "a&b") }, "GET", "/api/v1/events?backend=a%26b", "", `[]`},
		{"config", `{"config":"listen: x\n","file":"f"}`, func(c *admin.Client) (any, error) { return c.Config(t.Context()) }, "GET", "/api/v1/config", "", `{"config":"listen: x\n","file":"f"`},
		{"action", `{"message":"done","backend":{"name":"a"}}`, func(c *admin.Client) (any, error) { return c.Act(t.Context(), "a", admin.Renew) }, "POST", "/api/v1/backends/a/renew", "{}", `{"message":"done","backend":{"name":"a"`},
		{"reload", `{"message":"done"}`, func(c *admin.Client) (any, error) { return c.Reload(t.Context()) }, "POST", "/api/v1/reload", "{}", `{"message":"done"}`},
		{"call", `{"result":{"content":[]},"took":1.5}`, func(c *admin.Client) (any, error) {
			return c.CallTool(t.Context(), "a_b", json.RawMessage(`{"q":1}`))
		}, "POST", "/api/v1/tools/call", `{"arguments":{"q":1},"name":"a_b"}`, `{"result":{"content":[]},"took":1.5}`},
		{"call without arguments", `{"error":{"code":-1}}`, func(c *admin.Client) (any, error) { return c.CallTool(t.Context(), "a_b", nil) }, "POST", "/api/v1/tools/call", `{"arguments":{},"name":"a_b"}`, `{"error":{"code":-1},"took":0}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := answering(t, 200, test.answer)
			got, err := test.ask(&admin.Client{URL: g.URL + "/", Token: auth.NewSecret("t0ken")})
			if err != nil {
				t.Fatal(err)
			}
			if g.method != test.method || g.uri != test.uri || g.body != test.body {
				t.Errorf("asked %s %s %s, want %s %s %s", g.method, g.uri, g.body, test.method, test.uri, test.body)
			}
			if a := g.header.Get("Authorization"); a != "Bearer t0ken" {
				t.Errorf("authorization %q", a)
			}
			if ct := g.header.Get("Content-Type"); (ct == "application/json") != (test.method == "POST") {
				t.Errorf("content type %q", ct)
			}
			b, err := json.Marshal(got)
			if err != nil || !strings.HasPrefix(string(b), test.want) {
				t.Errorf("understood %s, want %s", b, test.want)
			}
		})
	}
}

func TestClientErrorsHaveAKind(t *testing.T) {
	for _, test := range []struct {
		name   string
		code   int
		answer string
		kind   admin.Kind
		words  string
	}{
		{"no token", 401, `{"error": "needs the token of admin.token"}`, admin.Unauthorized, "needs the token"},
		{"a foreign host", 403, `{"error": "unknown host"}`, admin.Unauthorized, "unknown host"},
		{"no such backend", 404, `{"error": "there is no backend x"}`, admin.NotFound, "there is no backend x"},
		{"not renewable", 409, `{"error": "a given token"}`, admin.Refused, "a given token"},
		{"out of order", 500, `{"error": "no"}`, admin.Failed, "no"},
		{"another server's 404", 404, `404 page not found`, admin.Unreachable, "no gateway's admin listener"},
		{"another server's 401", 401, ``, admin.Unauthorized, "status 401"},
		{"a redirect", 302, ``, admin.Unreachable, "status 302"},
		{"a web page", 200, `<html>`, admin.Unreachable, "what answers is no gateway"},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := answering(t, test.code, test.answer)
			_, err := (&admin.Client{URL: g.URL}).Status(t.Context())
			var e *admin.Error
			if !errors.As(err, &e) || e.Kind != test.kind || !strings.Contains(e.Message, test.words) {
				t.Fatalf("%#v, want kind %d with %q", err, test.kind, test.words)
			}
			if g.requests != 1 {
				t.Errorf("%d requests, want 1", g.requests)
			}
		})
	}
}

func TestClientGatewayThatIsNotThere(t *testing.T) {
	g := answering(t, 200, "{}")
	g.Close()
	for _, url := range []string{g.URL, "127.0.0.1:1", "http://\x7f"} {
		_, err := (&admin.Client{URL: url}).Status(t.Context())
		var e *admin.Error
		if !errors.As(err, &e) || e.Kind != admin.Unreachable {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestClientErrorsShowNoPassword(t *testing.T) {
	_, err := (&admin.Client{URL: "http://me:hunter22@127.0.0.1:1"}).Status(t.Context())
	if err == nil || strings.Contains(err.Error(), "hunter22") {
		t.Errorf("%v", err)
	}
}

func TestClientShowsProblems(t *testing.T) {
	g := answering(t, 409, `{"error": "refused", "problems": [{"file": "f", "line": 3, "column": 4, "path": "listen", "message": "is empty", "fix": "fill it"}, {"file": "f", "message": "cannot be read"}]}`)
	_, err := (&admin.Client{URL: g.URL}).Reload(t.Context())
	var e *admin.Error
	if !errors.As(err, &e) || e.Kind != admin.Refused {
		t.Fatal(err)
	}
	var lines []string
	for _, p := range e.Problems {
		lines = append(lines, p.String())
	}
	if d := cmp.Diff([]string{"f:3:4: listen: is empty; fill it", "f: cannot be read"}, lines); d != "" {
		t.Error(d)
	}
}

// An answer without an end is not read to it.
func TestClientReadsBounded(t *testing.T) {
	chunk := strings.Repeat("x", 1<<20)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"phase": "`))
		for {
			if _, err := w.Write([]byte(chunk)); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	_, err := (&admin.Client{URL: s.URL}).Status(t.Context())
	var e *admin.Error
	if !errors.As(err, &e) || !strings.Contains(e.Message, "larger than 64 MiB") {
		t.Fatal(err)
	}
}

// What the server says of a backend arrives as it is.
func TestClientStatusIsWhole(t *testing.T) {
	want := status.Status{Phase: status.PhaseDegraded, BackendCount: 1, Backends: []status.Backend{{
		Name: "a", Status: status.BackendStatusUnavailable, Reason: status.ReasonAuthRefused,
		Since: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Message: "m\u2028", Fix: "f", ClientsSee: "c",
		Latency: status.Latency{P95: status.Duration(time.Second)},
	}}}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := (&admin.Client{URL: answering(t, 200, string(b)).URL}).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&want, got); d != "" {
		t.Error(d)
	}
}

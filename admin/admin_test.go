package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/caller"
	"github.com/recloser-mcp/recloser/journal"
	"github.com/recloser-mcp/recloser/status"
)

func TestRoutes(t *testing.T) {
	token, err := caller.New(caller.Options{Type: caller.TypeBearer, Tokens: []auth.Value{auth.NewValue("a-token-of-some-length")}})
	if err != nil {
		t.Fatal(err)
	}
	check, err := caller.NewGuard(caller.GuardOptions{AllowedHosts: []string{"ok"}})
	if err != nil {
		t.Fatal(err)
	}
	ready := false
	h := New(Options{
		Status: func() status.Status {
			return status.Status{Phase: status.PhaseReady, Backends: []status.Backend{{Name: "clock"}}}
		},
		Ready:   func() (bool, string) { return ready, "no backend serves a tool" },
		Detail:  func(name string) (status.Detail, bool) { return status.Detail{Config: name}, name == "clock" },
		Journal: journal.New(),
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("up 1\n")) }),
		Console: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("the console")) }),
		Access:  func() Access { return Access{Token: token, Check: check} },
	})
	for _, tc := range []struct {
		name, method, path, host, auth string
		code                           int
		body                           string
	}{
		{"health needs nothing", "GET", "/healthz", "other", "", 200, `"ok"`},
		{"not ready says why", "GET", "/readyz", "other", "", 503, "no backend serves a tool"},
		{"status needs the token", "GET", "/api/v1/status", "ok", "", 401, "admin.token"},
		{"a wrong token is none", "GET", "/metrics", "ok", "Bearer x", 401, ""},
		{"status", "GET", "/api/v1/status", "ok", "Bearer a-token-of-some-length", 200, `"phase": "Ready"`},
		{"metrics", "GET", "/metrics", "ok", "Bearer a-token-of-some-length", 200, "up 1"},
		{"the console holds no data", "GET", "/", "ok", "", 200, "the console"},
		{"not for a foreign host", "GET", "/", "evil", "", 403, ""},
		{"a backend", "GET", "/api/v1/backends/clock", "ok", "Bearer a-token-of-some-length", 200, `"config": "clock"`},
		{"a backend that is not there", "GET", "/api/v1/backends/x", "ok", "Bearer a-token-of-some-length", 404, "there are clock"},
		{"its token too", "GET", "/api/v1/backends/clock", "ok", "", 401, ""},
		{"a form is no JSON", "POST", "/api/v1/reload", "ok", "Bearer a-token-of-some-length", 415, "application/json"},
		{"an action needs the token", "POST", "/api/v1/backends/clock/reset", "ok", "", 401, ""},
		{"events from nowhere", "GET", "/api/v1/events?after=x", "ok", "Bearer a-token-of-some-length", 400, "number"},
		{"a foreign host", "GET", "/api/v1/status", "evil", "Bearer a-token-of-some-length", 403, ""},
		{"unknown path", "GET", "/api/v1/nothing", "ok", "Bearer a-token-of-some-length", 404, ""},
		{"wrong method", "POST", "/api/v1/status", "ok", "Bearer a-token-of-some-length", 405, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest(tc.method, tc.path, nil)
			r.Host = tc.host
			if tc.auth != "" {
				r.Header.Set("Authorization", tc.auth)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tc.code || !strings.Contains(w.Body.String(), tc.body) {
				t.Fatalf("%d %s, want %d with %q", w.Code, w.Body, tc.code, tc.body)
			}
			if w.Code == 401 && w.Header().Get("WWW-Authenticate") == "" {
				t.Error("401 without a challenge")
			}
		})
	}
	ready = true
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	if w.Code != 200 {
		t.Fatalf("ready: %d", w.Code)
	}
}

// A page of somebody else cannot have a browser do anything here.
func TestForgedRequestsAreRefused(t *testing.T) {
	check, err := caller.NewGuard(caller.GuardOptions{})
	if err != nil {
		t.Fatal(err)
	}
	done := 0
	h := New(Options{
		Act:     func(context.Context, string, Action, string) (Done, error) { done++; return Done{}, nil },
		Reload:  func(context.Context, string) (Done, error) { done++; return Done{}, nil },
		Call:    func(context.Context, string, json.RawMessage) (Called, error) { done++; return Called{}, nil },
		Metrics: http.NotFoundHandler(), Journal: journal.New(), Access: func() Access { return Access{Check: check} },
	})
	for _, tc := range []struct {
		name, origin, contentType string
		code                      int
	}{
		{"a page of another site", "https://evil.example", "application/json", http.StatusForbidden},
		{"a form of another site", "https://evil.example", "application/x-www-form-urlencoded", http.StatusForbidden},
		{"a form without an origin", "", "text/plain", http.StatusUnsupportedMediaType},
		{"no page at all", "", "application/json", http.StatusOK},
		{"the console", "http://127.0.0.1:8485", "application/json", http.StatusOK},
	} {
		for _, path := range []string{"/api/v1/reload", "/api/v1/backends/a/pause", "/api/v1/tools/call"} {
			before := done
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(`{"name": "a_b"}`))
			r.Host = "127.0.0.1:8485"
			r.Header.Set("Content-Type", tc.contentType)
			if tc.origin != "" {
				r.Header.Set("Origin", tc.origin)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tc.code {
				t.Errorf("%s: %s: %d %s, want %d", tc.name, path, w.Code, w.Body, tc.code)
			}
			if acted := done > before; acted != (tc.code == http.StatusOK) {
				t.Errorf("%s: %s: acted %v", tc.name, path, acted)
			}
		}
	}
}

package admin

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestRoutes(t *testing.T) {
	deny := errors.New("no")
	token := func(r *http.Request) error {
		if r.Header.Get("Authorization") != "Bearer t" {
			return deny
		}
		return nil
	}
	sameHost := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Host != "ok" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	ready := false
	h := New(Options{
		Status:       func() any { return map[string]string{"phase": "Ready"} },
		Ready:        func() (bool, string) { return ready, "no backend serves a tool" },
		Metrics:      http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("up 1\n")) }),
		Authenticate: token, Check: sameHost,
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
		{"status", "GET", "/api/v1/status", "ok", "Bearer t", 200, `"phase": "Ready"`},
		{"metrics", "GET", "/metrics", "ok", "Bearer t", 200, "up 1"},
		{"index", "GET", "/", "ok", "Bearer t", 200, "/api/v1/status"},
		{"a foreign host", "GET", "/api/v1/status", "evil", "Bearer t", 403, ""},
		{"unknown path", "GET", "/nothing", "ok", "Bearer t", 404, ""},
		{"wrong method", "POST", "/api/v1/status", "ok", "Bearer t", 405, ""},
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

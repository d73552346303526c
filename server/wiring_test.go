package server_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/config"
	"github.com/recloser-mcp/recloser/server"
)

// listed returns the names in a list of tools, sorted.
func (r *rig) listed() (names []string) {
	r.t.Helper()
	var out struct {
		Result struct{ Tools []struct{ Name string } }
	}
	a := r.ask("tools/list", "", "")
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		r.t.Fatalf("tools/list: %d %s", a.status, a.body)
	}
	for _, tool := range out.Result.Tools {
		names = append(names, tool.Name)
	}
	slices.Sort(names)
	return names
}

func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Every section of a document reaches the part that it is for. What the parts make
// of it is tested where they are.
func TestSettingsHaveTheirEffect(t *testing.T) {
	const two = "\nmcpServers:\n  a: {url: %q%s}\n  b: {url: %q}"
	for _, tc := range []struct {
		name     string
		settings string // of the gateway
		backend  string // of backend a
		check    func(t *testing.T, r *rig, a *backendtest.Server)
	}{
		{"catalog", `catalog: {conflicts: auto, separator: "."}`, "", func(t *testing.T, r *rig, _ *backendtest.Server) {
			if diff := cmp.Diff([]string{"a-tool-with-quite-a-long-name", "a.echo", "b.echo", "slow"}, r.listed()); diff != "" {
				t.Errorf("tools (-want +got):\n%s", diff)
			}
		}},
		{"catalog.maxNameLength", `catalog: {maxNameLength: 24}`, "", func(t *testing.T, r *rig, _ *backendtest.Server) {
			for _, name := range r.listed() {
				if len(name) > 24 {
					t.Errorf("%s is longer than 24", name)
				}
			}
			if n := len(r.listed()); n != 4 {
				t.Errorf("%d tools, want 4", n)
			}
		}},
		{"health.interval", `health: {interval: 10s}`, "", func(t *testing.T, r *rig, a *backendtest.Server) {
			before := a.Requests("server/discover")
			sleep(10 * time.Minute)
			if n := a.Requests("server/discover") - before; n < 54 || n > 67 {
				t.Errorf("%d probes in ten minutes, want some 60", n)
			}
		}},
		{"health.timeout and unavailableAfter", `health: {interval: 30s, timeout: 2s, unavailableAfter: 2}`, "", func(t *testing.T, r *rig, a *backendtest.Server) {
			a.Inject(backendtest.Hang(backendtest.Forever))
			for n := 0; !slices.Contains(r.log.messages(slog.LevelInfo), "probe failed"); sleep(time.Second) {
				if n++; n > 36 { // an interval, its tenth, and the timeout
					t.Fatal("no probe has failed")
				}
			}
			if b := of(t, r.Status(), "a"); b.Status != "degraded" {
				t.Errorf("after a failed probe: %s / %s", b.Status, b.Reason)
			}
			sleep(36 * time.Second)
			if b := of(t, r.Status(), "a"); b.Status != "unavailable" || b.Reason != "timeout" {
				t.Errorf("after two failed probes: %s / %s", b.Status, b.Reason)
			}
			a.Heal()
		}},
		{"sessions.ttl", `sessions: {ttl: 1m}`, "", func(t *testing.T, r *rig, _ *backendtest.Server) {
			id := r.open()
			ping := func() int {
				return r.do(http.MethodPost, "http://"+mcpAddr+"/mcp", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, "Mcp-Session-Id", id).status
			}
			sleep(59 * time.Second)
			if got := ping(); got != http.StatusOK {
				t.Errorf("within its time: %d", got)
			}
			sleep(61 * time.Second)
			if got := ping(); got != http.StatusNotFound {
				t.Errorf("after its time: %d", got)
			}
		}},
		{"limits.sessions", `limits: {sessions: 1}`, "", func(t *testing.T, r *rig, _ *backendtest.Server) {
			r.open()
			a := r.do(http.MethodPost, "http://"+mcpAddr+"/mcp",
				`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`)
			if a.status != http.StatusServiceUnavailable {
				t.Errorf("a second session: %d %s", a.status, a.body)
			}
		}},
		{"limits.requestBytes", `limits: {requestBytes: 2KiB}`, "", func(t *testing.T, r *rig, a *backendtest.Server) {
			long := strings.Repeat("x", 2048)
			if got := r.ask("tools/call", "a_echo", `"name":"a_echo","arguments":{"x":"`+long+`"}`); got.status != http.StatusRequestEntityTooLarge {
				t.Errorf("a large request: %d %s", got.status, got.body)
			}
			wantCount(t, "executions", a.Executions("echo"), 0)
		}},
		{"limits.responseBytes", `limits: {responseBytes: 4KiB}`, "", func(t *testing.T, r *rig, a *backendtest.Server) {
			long := strings.Repeat("x", 8192)
			if reason := r.ask("tools/call", "a_echo", `"name":"a_echo","arguments":{"x":"`+long+`"}`).reason(t); reason == "" {
				t.Error("an answer beyond the limit was passed on")
			}
			wantCount(t, "executions", a.Executions("echo"), 1)
		}},
		{"limits.inFlightPerBackend", `limits: {inFlightPerBackend: 1}`, "", func(t *testing.T, r *rig, a *backendtest.Server) {
			sleep(15 * time.Second) // at the start probes and lists are in each other's way
			first := make(chan answer, 1)
			go func() { first <- r.call("a_slow") }()
			sleep(time.Second)
			if reason := r.call("a_echo").reason(t); reason != "no_capacity" {
				t.Errorf("a second call: %q", reason)
			}
			if reason := r.call("b_echo").reason(t); reason != "" {
				t.Errorf("a call of the neighbour: %q", reason)
			}
			if reason := (<-first).reason(t); reason != "" {
				t.Errorf("the first call: %q", reason)
			}
			wantCount(t, "executions of the second call", a.Executions("echo"), 0)
		}},
		{"incomingAuth", `incomingAuth: {type: bearer, tokens: ["` + digest("letmein") + `"]}`, "", func(t *testing.T, r *rig, a *backendtest.Server) {
			if got := r.call("a_echo"); got.status != http.StatusUnauthorized || !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("without a token: %d %v", got.status, got.header)
			}
			if got := r.call("a_echo", "Authorization", "Bearer another"); got.status != http.StatusUnauthorized {
				t.Errorf("with a wrong token: %d", got.status)
			}
			wantCount(t, "executions", a.Executions("echo"), 0)
			if reason := r.call("a_echo", "Authorization", "Bearer letmein").reason(t); reason != "" {
				t.Errorf("with the token: %s", reason)
			}
			if last, _ := a.Last("tools/call"); last.Header.Get("Authorization") != "" {
				t.Error("the caller's token went on to the backend")
			}
			if got := r.admin("/api/v1/status"); got.status != http.StatusOK {
				t.Errorf("the admin listener asks for the callers' token: %d", got.status)
			}
		}},
		{"admin.token", `admin: {token: "` + digest("4dmin-token") + `"}`, "", func(t *testing.T, r *rig, _ *backendtest.Server) {
			for path, want := range map[string]int{"/api/v1/status": 401, "/metrics": 401, "/healthz": 200, "/readyz": 200} {
				if got := r.admin(path); got.status != want {
					t.Errorf("%s without the token: %d, want %d", path, got.status, want)
				}
				if got := r.admin(path, "Authorization", "Bearer another"); got.status != want {
					t.Errorf("%s with a wrong token: %d, want %d", path, got.status, want)
				}
				if got := r.admin(path, "Authorization", "Bearer 4dmin-token"); got.status != 200 {
					t.Errorf("%s with the token: %d", path, got.status)
				}
			}
			if reason := r.call("a_echo").reason(t); reason != "" {
				t.Errorf("callers are asked for the admin's token: %s", reason)
			}
		}},
		{"allowedHosts and publicURL", "allowedHosts: [mcp.internal]\npublicURL: https://mcp.example.com", "", func(t *testing.T, r *rig, _ *backendtest.Server) {
			for host, want := range map[string]int{"mcp.internal": 200, "mcp.example.com": 200, "localhost:8484": 200, "evil.example": 403} {
				if got := r.call("a_echo", "Host", host); got.status != want {
					t.Errorf("a call at %s: %d, want %d", host, got.status, want)
				}
				if got := r.admin("/api/v1/status", "Host", host); got.status != want {
					t.Errorf("the status at %s: %d, want %d", host, got.status, want)
				}
			}
			if got := r.admin("/readyz", "Host", "10.1.2.3:8485"); got.status != 200 {
				t.Errorf("a probe by address: %d", got.status)
			}
			for origin, want := range map[string]int{"https://mcp.example.com": 200, "https://evil.example": 403} {
				if got := r.call("a_echo", "Origin", origin); got.status != want {
					t.Errorf("a call from %s: %d, want %d", origin, got.status, want)
				}
			}
		}},
		{"headers and passthroughHeaders", "", `, headers: {X-Tenant: acme}, passthroughHeaders: [X-Request-Id]`, func(t *testing.T, r *rig, a *backendtest.Server) {
			if reason := r.call("a_echo", "X-Request-Id", "r1", "X-Other", "o").reason(t); reason != "" {
				t.Fatal(reason)
			}
			last, _ := a.Last("tools/call")
			got := []string{last.Header.Get("X-Tenant"), last.Header.Get("X-Request-Id"), last.Header.Get("X-Other")}
			if diff := cmp.Diff([]string{"acme", "r1", ""}, got); diff != "" {
				t.Errorf("headers at the backend (-want +got):\n%s", diff)
			}
		}},
		{"authRetry", "", `, auth: {type: bearer, token: t}, authRetry: {maxRetries: 1, openAfter: 2, whenOpen: reject}`, func(t *testing.T, r *rig, a *backendtest.Server) {
			a.Inject(backendtest.Status(401, backendtest.Forever).ForMethod("tools/call"))
			var got []string
			for range 3 {
				got = append(got, r.call("a_echo").reason(t))
			}
			if diff := cmp.Diff([]string{"auth_refused", "auth_refused", "breaker_open"}, got); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
			wantCount(t, "sends", a.Requests("tools/call"), 4)
		}},
		{"timeouts.idle", "", `, timeouts: {idle: 2s}`, func(t *testing.T, r *rig, _ *backendtest.Server) {
			began := time.Now()
			if reason := r.call("a_slow").reason(t); reason != "timeout" || time.Since(began) != 2*time.Second {
				t.Errorf("%q after %s, want timeout after 2s", reason, time.Since(began))
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a := mem(t, backendtest.WithTool("echo", backendtest.Echo), backendtest.WithTool("slow", backendtest.Slow(5*time.Second)),
					backendtest.WithTool("a-tool-with-quite-a-long-name", backendtest.Echo))
				b := mem(t)
				r := start(t, tc.settings+fmt.Sprintf(two, a.URL, tc.backend, b.URL), nil, peers{a, b})
				tc.check(t, r, a)
			})
		})
	}
}

// The file of a client, pasted: its keys for the client are warned about once and
// its servers are served, under the names that the client shows.
func TestAPastedFileIsServed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		wiki, sentry, old := mem(t), mem(t, backendtest.WithToken("s3ntry")), mem(t)
		document := fmt.Sprintf(`{
  "globalShortcut": "Ctrl+Space",
  "mcpServers": {
    "Team Wiki": {"type": "streamableHttp", "url": %q, "autoApprove": ["echo"], "timeout": 60, "disabled": false},
    "sentry": {"serverUrl": %q, "autoApprove": [], "headers": {"Authorization": "Bearer ${SENTRY_TOKEN}"}},
    "old": {"url": %q, "disabled": true},
    "files": {"command": "npx", "args": ["-y", "server-files"], "env": {"ROOT": "${UNSET}"}, "disabled": true}
  }
}`, wiki.URL, sentry.URL, old.URL)
		env := map[string]string{"SENTRY_TOKEN": "s3ntry"}
		_, warnings, err := config.Parse("mcp.json", []byte(document), config.LoadOptions{Env: func(n string) (string, bool) { v, ok := env[n]; return v, ok }})
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, w := range warnings {
			keys = append(keys, w.Path)
		}
		if diff := cmp.Diff([]string{"globalShortcut", `mcpServers["Team Wiki"].autoApprove`}, keys); diff != "" {
			t.Errorf("warnings (-want +got):\n%s", diff)
		}
		r := start(t, document, env, peers{wiki, sentry, old})
		if diff := cmp.Diff([]string{"sentry_echo", "team-wiki_echo"}, r.listed()); diff != "" {
			t.Errorf("tools (-want +got):\n%s", diff)
		}
		for _, tool := range []string{"team-wiki_echo", "sentry_echo"} {
			if reason := r.call(tool).reason(t); reason != "" {
				t.Errorf("%s: %s", tool, reason)
			}
		}
		wantCount(t, "requests to what is disabled", old.Requests(""), 0)
		if w := r.log.messages(slog.LevelWarn); len(w) != 0 {
			t.Errorf("warnings in the log: %q", w)
		}
		if s := r.Status(); s.Phase != "Ready" || s.BackendCount != 2 || len(s.Backends) != 4 {
			t.Errorf("phase %s, %d backends count, %d are shown: want Ready, 2, 4", s.Phase, s.BackendCount, len(s.Backends))
		}
	})
}

// Spans go to the collector of the document, the last ones before Run returns.
func TestSpansAreSentBeforeTheEnd(t *testing.T) {
	var spans logs
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(&spans, q.Body)
	}))
	defer collector.Close()
	doc := parse(t, fmt.Sprintf("listen: 127.0.0.1:0\nadmin: {listen: '127.0.0.1:0'}\ntelemetry: {otlp: %q, serviceName: gate-of-the-test}\nmcpServers: {}", collector.URL), nil)
	s, err := server.New(t.Context(), doc, server.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	client := &http.Client{Transport: &http.Transport{}}
	r := &rig{Server: s, t: t, http: client}
	a := r.do(http.MethodPost, "http://"+s.Addr()+"/mcp", `{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{`+meta+`}}`,
		"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/list")
	if a.status != http.StatusOK {
		t.Errorf("tools/list: %d %s", a.status, a.body)
	}
	client.CloseIdleConnections()
	end()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	for _, want := range []string{"tools/list", "gate-of-the-test"} {
		if !strings.Contains(spans.String(), want) {
			t.Errorf("the collector got %d bytes without %q", len(spans.String()), want)
		}
	}
}

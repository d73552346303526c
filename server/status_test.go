package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/status"
)

func TestReadyWhenAToolIsServed(t *testing.T) {
	const aTool = `mcpServers: {a: {url: %q}}`
	for _, tc := range []struct {
		name, document string
		server         []backendtest.Option
		ready          bool
		why            string
	}{
		{"a tool", aTool, nil, true, ""},
		{"a backend that is down", aTool, []backendtest.Option{backendtest.WithDown()}, false, "a is unavailable (unreachable)"},
		{"a backend that hangs", aTool, []backendtest.Option{backendtest.WithFault(backendtest.Hang(backendtest.Forever))}, false, "a is unavailable (timeout)"},
		{"a backend that refuses", aTool, []backendtest.Option{backendtest.WithToken("another")}, false, "a is unavailable (auth_refused)"},
		{"no tool, but a prompt", aTool, []backendtest.Option{backendtest.WithHandler(noTools)}, false, "no backend serves a tool"},
		{"no backend", `mcpServers: {}`, nil, true, ""},
		{"a disabled backend alone", `mcpServers: {a: {url: %q, disabled: true}}`, nil, true, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				srv := mem(t, tc.server...)
				document := tc.document
				if strings.Contains(document, "%q") {
					document = fmt.Sprintf(document, srv.URL)
				}
				r := start(t, document, nil, peers{srv})
				sleep(time.Minute)
				a := r.admin("/readyz")
				if (a.status == http.StatusOK) != tc.ready || !strings.Contains(a.body, tc.why) {
					t.Errorf("%d %s, want ready %v %q", a.status, a.body, tc.ready, tc.why)
				}
				if got := r.Status().Ready; got != tc.ready {
					t.Errorf("status says ready %v, /readyz %v", got, tc.ready)
				}
				srv.Heal()
			})
		})
	}
}

// noTools answers every list of tools with none.
func noTools(w http.ResponseWriter, _ *http.Request, m backendtest.Message) bool {
	if m.Method != "tools/list" {
		return false
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"tools":[],"resultType":"complete"}}`, m.ID)
	return true
}

func TestDisabledBackendsAreShownAndNotContacted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		on, off := mem(t), mem(t)
		began := time.Now()
		r := start(t, fmt.Sprintf("mcpServers:\n  off: {url: %q, disabled: true}\n  on: {url: %q}", off.URL, on.URL), nil, peers{on, off})
		sleep(10 * time.Minute)
		wantCount(t, "requests to the disabled backend", off.Requests(""), 0)
		var s status.Status
		if err := json.Unmarshal([]byte(r.admin("/api/v1/status").body), &s); err != nil {
			t.Fatal(err)
		}
		if b := of(t, s, "off"); b.Status != status.BackendStatusUnknown || b.Reason != status.ReasonDisabled || !b.Since.Equal(began) {
			t.Errorf("off is %s / %s since %s, want unknown / disabled since %s", b.Status, b.Reason, clock(b.Since), clock(began))
		}
		if s.Phase != status.PhaseReady || s.BackendCount != 1 || s.ReadyBackends != 1 {
			t.Errorf("phase %s with %d of %d backends: the disabled one counts", s.Phase, s.ReadyBackends, s.BackendCount)
		}
		if reason := r.call("off_echo").reason(t); reason == "" {
			t.Error("a tool of the disabled backend was called")
		}
	})
}

// since is when the present state began, however often and however late somebody
// looks.
func TestSinceIsWhenTheStateBegan(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, neighbour := mem(t, backendtest.WithToken("good")), mem(t)
		r := start(t, fmt.Sprintf("health: {interval: 10s}\nmcpServers:\n  a: {url: %q, auth: {type: bearer, token: good}}\n  b: {url: %q}", srv.URL, neighbour.URL),
			nil, peers{srv, neighbour})
		began := time.Now()
		want := func(name, state string, from, to time.Time) {
			t.Helper()
			b := of(t, r.Status(), name)
			if got := fmt.Sprintf("%s/%s", b.Status, b.Reason); got != state || b.Since.Before(from) || b.Since.After(to) {
				t.Errorf("at %s: %s is %s since %s, want %s since %s to %s", clock(time.Now()), name, got, clock(b.Since), state, clock(from), clock(to))
			}
		}
		sleep(3 * time.Minute)
		want("a", "ready/ok", began, began)

		srv.Inject(backendtest.Status(401, backendtest.Forever))
		refused := time.Now()
		r.call("a_echo")
		for range 30 { // the first refusal, not the end of the sequence 700 ms later
			want("a", "unavailable/auth_refused", refused, refused)
			sleep(7 * time.Second)
		}
		want("b", "ready/ok", began, began)

		srv.Heal()
		healed := time.Now()
		r.call("a_echo")
		sleep(3 * time.Minute) // nobody looks: the next probe does
		want("a", "ready/ok", healed, healed.Add(11*time.Second))
		since := of(t, r.Status(), "a").Since
		sleep(3 * time.Minute)
		want("a", "ready/ok", since, since)
		want("b", "ready/ok", began, began)
	})
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }

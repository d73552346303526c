package server_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/server"
)

// transitions keeps what an observer hears of breakers.
type transitions struct {
	mu   sync.Mutex
	seen []string
}

func (tr *transitions) observe(o *server.Options) {
	o.Observe = &server.Observer{Transition: func(_ string, t guard.Transition) {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.seen = append(tr.seen, "breaker "+t.To.String())
	}}
}

// A backend that refuses for minutes and is then mended: one warning for each
// transition of its breaker, whatever number of calls there were.
func TestOneWarningPerTransitionAndNonePerCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := mem(t, backendtest.WithToken("good"), backendtest.WithGuardedCallsOnly(),
			backendtest.WithFault(backendtest.Status(401, backendtest.Forever).ForMethod("tools/call")))
		var tr transitions
		r := start(t, fmt.Sprintf("mcpServers: {a: {url: %q, auth: {type: bearer, token: good}, authRetry: {coolDown: 30s, maxCoolDown: 30s}}}", srv.URL),
			nil, peers{srv}, tr.observe)
		calls := 0
		for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); sleep(500 * time.Millisecond) {
			calls++
			if reason := r.call("a_echo").reason(t); reason != "auth_refused" {
				t.Fatalf("call %d: %q", calls, reason)
			}
		}
		srv.Heal()
		for range 20 {
			calls++
			if reason := r.call("a_echo").reason(t); reason != "" {
				t.Fatalf("call %d: %q", calls, reason)
			}
		}
		sleep(0)
		got := r.log.messages(slog.LevelWarn)
		if diff := cmp.Diff(tr.seen, got); diff != "" {
			t.Errorf("%d calls, transitions and warnings (-want +got):\n%s", calls, diff)
		}
		if n := len(got); got[0] != "breaker open" || got[n-1] != "breaker closed" || n < 4 || n > calls/10 {
			t.Errorf("%d calls gave the warnings %q", calls, got)
		}
		// It is the only backend, so that no tool was served: that is said once.
		if errs := r.log.messages(slog.LevelError); !slices.Equal(errs, []string{"no tool is served"}) {
			t.Errorf("errors: %q", errs)
		}
	})
}

// A token server that is out of order is asked again and again. The log says so
// once, and once more for each change of what is wrong.
func TestAFailingRenewalIsLoggedOncePerChange(t *testing.T) {
	bubble(t, func(t *testing.T) {
		issuer := backendtest.NewIssuer(t, backendtest.WithPipe(), backendtest.WithClient("id", "secret"), backendtest.WithTTL(time.Minute))
		srv := mem(t, backendtest.WithBearer(issuer))
		r := start(t, fmt.Sprintf("mcpServers: {a: {url: %q, auth: {type: client_credentials, tokenURL: %q, clientID: id, clientSecret: secret}}}",
			srv.URL, issuer.TokenURL), nil, peers{srv, issuer})
		// A minute of calls, which is longer than a token lives.
		minute := func() {
			for range 60 {
				r.call("a_echo")
				sleep(time.Second)
			}
		}
		failures := func() (n int) {
			for _, msg := range r.log.messages(slog.LevelError) {
				if msg == "credential not renewed" {
					n++
				}
			}
			return n
		}
		minute()
		wantCount(t, "errors while all is well", failures(), 0)
		for i, fault := range []backendtest.TokenFailure{backendtest.Unavailable(), backendtest.HTML(200), backendtest.Unavailable()} {
			issuer.Heal()
			issuer.Fail(fault, backendtest.Forever)
			asked := issuer.Requests()
			minute()
			minute()
			if n := issuer.Requests() - asked; n < 3 {
				t.Fatalf("the token server was asked %d times: there was nothing to repeat", n)
			}
			wantCount(t, fmt.Sprintf("errors in the log after failure %d", i+1), failures(), i+1)
		}
		issuer.Heal()
		minute()
		if reason := r.call("a_echo").reason(t); reason != "" {
			t.Errorf("a call after the token server is back: %s", reason)
		}
		wantCount(t, "errors in the log after the recovery", failures(), 3)
		issuer.Fail(backendtest.Unavailable(), backendtest.Forever)
		minute()
		minute()
		wantCount(t, "errors in the log after it fails anew", failures(), 4)
		issuer.Heal()
	})
}

// What is logged of credentials: the first one, those that follow, and nothing of
// a backend that has none.
func TestCredentialsAreLoggedAsWhatTheyAre(t *testing.T) {
	bubble(t, func(t *testing.T) {
		issuer := backendtest.NewIssuer(t, backendtest.WithPipe(), backendtest.WithClient("id", "secret"))
		open, closed := mem(t), mem(t, backendtest.WithBearer(issuer))
		var mu sync.Mutex
		heard := map[string]int{}
		r := start(t, fmt.Sprintf("mcpServers:\n  open: {url: %q}\n  closed: {url: %q, auth: {type: client_credentials, tokenURL: %q, clientID: id, clientSecret: secret}}",
			open.URL, closed.URL, issuer.TokenURL), nil, peers{open, closed, issuer}, func(o *server.Options) {
			o.Observe = &server.Observer{Renewal: func(name string, _ auth.Event) {
				mu.Lock()
				defer mu.Unlock()
				heard[name]++
			}}
		})
		issuer.Revoke()
		for _, tool := range []string{"open_echo", "closed_echo"} {
			if reason := r.call(tool).reason(t); reason != "" {
				t.Fatalf("%s: %s", tool, reason)
			}
		}
		var got []string
		for _, m := range r.log.messages(slog.LevelInfo) {
			if strings.HasPrefix(m, "credential") {
				got = append(got, m)
			}
		}
		if diff := cmp.Diff([]string{"credential obtained", "credential renewed"}, got); diff != "" {
			t.Errorf("records of credentials (-want +got):\n%s", diff)
		}
		mu.Lock()
		defer mu.Unlock()
		if diff := cmp.Diff(map[string]int{"closed": 2}, heard); diff != "" {
			t.Errorf("renewals that an observer hears of (-want +got):\n%s", diff)
		}
		if a := r.admin("/metrics"); strings.Contains(a.body, `recloser_credential_renewals_total{backend="open"`) {
			t.Error("a backend without a credential has renewals in its metrics")
		}
	})
}

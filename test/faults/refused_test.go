package faults

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/status"
)

const call = "tools/call"

// refuseCalls is a backend on a static token that refuses the next n calls.
func refuseCalls(t *testing.T, n int, more string) (*backendtest.Server, *gateway) {
	key := random()
	s := backendtest.NewServer(t, backendtest.WithToken(key), backendtest.WithFault(backendtest.Status(401, n).ForMethod(call)))
	return s, serve(t, static(s, more), map[string]string{"KEY": key})
}

func TestF1RevokedWithManyCallsInFlight(t *testing.T) {
	t.Parallel()
	s, issuer, g, c := minted(t, "")
	mints := issuer.Mints()
	for _, a := range g.together(s, c, 100, issuer.Revoke) {
		wantAnswer(t, a)
	}
	wantCount(t, "renewals", issuer.Mints()-mints, 1)
	wantCount(t, "executions", s.Executions("echo"), 100)
	if n := s.Requests(call); n > 200 {
		t.Errorf("%d sends for 100 calls, want 200 at most", n)
	}
	wantCount(t, "exhausted", g.breaker().Exhausted, 0)
}

func TestF3StaticKeyRefusedForAMoment(t *testing.T) {
	t.Parallel()
	s, g := refuseCalls(t, 2, "")
	c := g.client()
	g.listed(c, "b_echo")
	wantAnswer(t, g.call(t.Context(), c, "b_echo"))
	wantCount(t, "sends", s.Requests(call), 3)
	wantCount(t, "executions", s.Executions("echo"), 1)
}

func TestF4AndF5RefusedForGoodOpensAfterFive(t *testing.T) {
	t.Parallel()
	s, g := refuseCalls(t, backendtest.Forever, "")
	c := g.client()
	g.listed(c, "b_echo")
	for i := 1; i <= 5; i++ {
		wantError(t, g.call(t.Context(), c, "b_echo"), "auth_refused", 4)
		wantCount(t, "sends", s.Requests(call), 4*i)
		wantStatus(t, g, "unavailable", "auth_refused") // from the first exhausted sequence on
	}
	for i := 1; i <= 3; i++ {
		wantError(t, g.call(t.Context(), c, "b_echo"), "auth_refused", 1)
		wantCount(t, "sends", s.Requests(call), 20+i)
	}
	if n := strings.Count(g.log.String(), `"level":"WARN"`); n != 1 {
		t.Errorf("%d WARN lines, want one for the breaker's opening", n)
	}
	if state := g.Status().Backends[0].Breaker; state.State != "open" || state.Exhausted != 5 {
		t.Errorf("breaker %+v", state)
	}
}

func TestF6AChangedSecretFileClosesAtOnce(t *testing.T) {
	t.Parallel()
	old, fresh := random(), random()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(old+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := backendtest.NewServer(t, backendtest.WithToken(fresh), backendtest.WithGuardedCallsOnly())
	g := serve(t, fmt.Sprintf("\n  b: {url: %q, auth: {type: bearer, token: \"${file:%s}\"}}", s.URL, file), nil)
	g.secrets = append(g.secrets, old, fresh)
	c := g.client()
	g.listed(c, "b_echo")
	for range 5 {
		wantError(t, g.call(t.Context(), c, "b_echo"), "auth_refused", 4)
	}
	if err := os.WriteFile(file+".new", []byte(fresh), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	// The file is seen by its watcher, which is outside of our control: until
	// then each call is sent once and refused.
	for n := 1; ; n++ {
		before := s.Requests(call)
		a := g.call(t.Context(), c, "b_echo")
		sends := s.Requests(call) - before
		if a.err == nil && sends <= 2 { // two: it was under way when the secret changed
			break
		}
		wantCount(t, "sends of a call while open", sends, 1)
		if n == 500 {
			t.Fatal("the new secret is not used after 500 calls")
		}
		time.Sleep(10 * time.Millisecond)
	}
	wantStatus(t, g, "ready", "ok")
}

func TestF7AnOpenBreakerClosesWithTheNextCall(t *testing.T) {
	t.Parallel()
	s, g := refuseCalls(t, 20, "")
	c := g.client()
	g.listed(c, "b_echo")
	for range 5 {
		g.call(t.Context(), c, "b_echo")
	}
	wantAnswer(t, g.call(t.Context(), c, "b_echo"))
	wantCount(t, "sends", s.Requests(call), 21)
	wantStatus(t, g, "ready", "ok")
}

func TestRejectSendsNothingWhileOpen(t *testing.T) {
	t.Parallel()
	s, g := refuseCalls(t, backendtest.Forever, ", authRetry: {whenOpen: reject}")
	c := g.client()
	g.listed(c, "b_echo")
	for range 5 {
		g.call(t.Context(), c, "b_echo")
	}
	sends := s.Requests(call)
	for _, a := range g.calls(c, "b_echo", 64) {
		wantError(t, a, "breaker_open", 0)
	}
	wantCount(t, "sends of 64 rejected calls", s.Requests(call)-sends, 0)
}

func TestF8TokenServerDown(t *testing.T) {
	t.Parallel()
	secret := random()
	issuer := backendtest.NewIssuer(t, backendtest.WithClient("id", secret))
	s := backendtest.NewServer(t, backendtest.WithBearer(issuer))
	g := serve(t, clientCredentials("b", s, issuer), map[string]string{"SECRET": secret}, issuer)
	c := g.client()
	g.listed(c, "b_echo")
	issuer.Fail(backendtest.Unavailable(), backendtest.Forever)
	issuer.Revoke()
	wantError(t, g.call(t.Context(), c, "b_echo"), "renewal_unavailable", 4)
	issuer.Heal()
	wantAnswer(t, g.call(t.Context(), c, "b_echo"))
}

func TestF9InvalidGrant(t *testing.T) {
	t.Parallel()
	_, issuer, g, c := minted(t, ", authRetry: {whenOpen: reject, coolDown: 100ms}")
	issuer.Fail(backendtest.InvalidGrant(), backendtest.Forever)
	issuer.Revoke()
	asked := issuer.Requests()
	for range 3 {
		wantError(t, g.call(t.Context(), c, "b_echo"), "grant_expired", 1)
	}
	wantStatus(t, g, "unavailable", "grant_expired")
	for range 2 {
		wantError(t, g.call(t.Context(), c, "b_echo"), "grant_expired", 1)
	}
	wantCount(t, "questions to the token server", issuer.Requests()-asked, 1)
	// Each probe of the half-open breaker asks once more, and the one that comes
	// after the grant was mended is answered.
	g.cool()
	wantError(t, g.call(t.Context(), c, "b_echo"), "grant_expired", 1)
	wantCount(t, "questions with the first probe", issuer.Requests()-asked, 2)
	issuer.Heal()
	mints := issuer.Mints()
	g.cool()
	wantAnswer(t, g.call(t.Context(), c, "b_echo"))
	wantCount(t, "questions with the second probe", issuer.Requests()-asked, 3)
	wantCount(t, "renewals", issuer.Mints()-mints, 1)
	wantStatus(t, g, "ready", "ok")
}

func TestF11EveryNewTokenIsRefusedToo(t *testing.T) {
	t.Parallel()
	s, issuer, g, c := minted(t, ", authRetry: {coolDown: 1s}", backendtest.WithGuardedCallsOnly())
	issuer.WrongAudience(true)
	issuer.Revoke()
	const n = 20
	for round := 1; round <= 5; round++ {
		sends := s.Requests(call)
		for _, a := range g.together(s, c, n, nil) {
			if a.err == nil || a.data.Reason != "auth_refused" {
				t.Errorf("%+v", a)
			}
		}
		if got := s.Requests(call) - sends; got > 2*n+2 {
			t.Errorf("%d sends for %d callers, want %d at most", got, n, 2*n+2)
		}
		if got := g.breaker().Exhausted; got != round {
			t.Errorf("counted %d, want %d however many waited", got, round)
		}
	}
	g.cool()
	sends, mints := s.Requests(call), issuer.Mints()
	wantError(t, g.call(t.Context(), c, "b_echo"), "auth_refused", 4)
	wantCount(t, "sends of the probe", s.Requests(call)-sends, 4)
	if issuer.Mints() == mints {
		t.Error("the probe did not renew")
	}
	if b := g.breaker(); b.State != status.BreakerOpen {
		t.Errorf("breaker %+v: a renewal closed it", b)
	}
}

func TestF12OneCallerLeaves(t *testing.T) {
	t.Parallel()
	key := random()
	s := backendtest.NewServer(t, backendtest.WithToken(key))
	g := serve(t, static(s, ""), map[string]string{"KEY": key})
	c := g.client()
	g.listed(c, "b_echo")
	refusing := s.Inject(backendtest.Status(401, backendtest.Forever).ForMethod(call))
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan answer, 1)
	go func() { left <- g.call(ctx, c, "b_echo") }()
	if err := s.WaitRequests(t.Context(), call, 1); err != nil {
		t.Fatal(err)
	}
	stayed := make(chan answer, 1)
	go func() { stayed <- g.call(t.Context(), c, "b_echo") }()
	if err := s.WaitRequests(t.Context(), call, 2); err != nil {
		t.Fatal(err)
	}
	cancel()
	if a := <-left; a.err == nil {
		t.Error("the one who left was answered")
	}
	refusing.Heal()
	wantAnswer(t, <-stayed)
	wantCount(t, "executions", s.Executions("echo"), 1)
}

func TestF15MissingScope(t *testing.T) {
	t.Parallel()
	key := random()
	s := backendtest.NewServer(t, backendtest.WithToken(key),
		backendtest.WithFault(backendtest.Status(403, backendtest.Forever).Challenge("insufficient_scope", "files:write").ForMethod(call)))
	g := serve(t, static(s, ""), map[string]string{"KEY": key})
	c := g.client()
	g.listed(c, "b_echo")
	a := g.call(t.Context(), c, "b_echo")
	wantError(t, a, "scope_missing", 1)
	if !strings.Contains(a.data.Hint, "files:write") {
		t.Errorf("the hint does not name the scope: %s", a.data.Hint)
	}
	wantCount(t, "sends", s.Requests(call), 1)
	if b := g.Status().Backends[0].Breaker; b.Exhausted != 0 || b.State != "closed" {
		t.Errorf("breaker %+v", b)
	}
}

func TestF27OneToolIsForbidden(t *testing.T) {
	t.Parallel()
	key := random()
	s := backendtest.NewServer(t, backendtest.WithToken(key),
		backendtest.WithTool("echo", backendtest.Echo), backendtest.WithTool("secret", backendtest.Echo),
		backendtest.WithFault(backendtest.Status(403, backendtest.Forever).ForMethod(call).ForName("secret")))
	g := serve(t, static(s, ""), map[string]string{"KEY": key})
	c := g.client()
	g.listed(c, "b_echo", "b_secret")
	wantAnswer(t, g.call(t.Context(), c, "b_echo"))
	wantError(t, g.call(t.Context(), c, "b_secret"), "auth_forbidden", 4)
	wantAnswer(t, g.call(t.Context(), c, "b_echo"))
	wantCount(t, "sends", s.Requests(call), 6)
	wantStatus(t, g, "ready", "ok")
}

func TestRetryOn403False(t *testing.T) {
	t.Parallel()
	key := random()
	s := backendtest.NewServer(t, backendtest.WithToken(key),
		backendtest.WithFault(backendtest.Status(403, backendtest.Forever).ForMethod(call)))
	g := serve(t, static(s, ", authRetry: {retryOn403: false}"), map[string]string{"KEY": key})
	c := g.client()
	g.listed(c, "b_echo")
	wantError(t, g.call(t.Context(), c, "b_echo"), "auth_forbidden", 1)
	wantCount(t, "sends", s.Requests(call), 1)
}

func TestF26ListsAreOpenAndEveryCallIsRefused(t *testing.T) {
	t.Parallel()
	s := backendtest.NewServer(t, backendtest.WithToken(random()), backendtest.WithGuardedCallsOnly())
	g := serve(t, static(s, ""), map[string]string{"KEY": random()})
	c := g.client()
	g.listed(c, "b_echo")
	for i := range 7 {
		attempts := 4
		if i >= 5 {
			attempts = 1
		}
		wantError(t, g.call(t.Context(), c, "b_echo"), "auth_refused", attempts)
		g.listed(c, "b_echo")
	}
	wantCount(t, "sends", s.Requests(call), 22)
	wantStatus(t, g, "unavailable", "auth_refused")
}

func TestF29TwoBackendsShareOneCredential(t *testing.T) {
	t.Parallel()
	secret := random()
	issuer := backendtest.NewIssuer(t, backendtest.WithClient("id", secret))
	a := backendtest.NewServer(t, backendtest.WithBearer(issuer))
	b := backendtest.NewServer(t, backendtest.WithBearer(issuer))
	g := serve(t, fmt.Sprintf("\n  a: {url: %q, auth: {use: corp}}\n  b: {url: %q, auth: {use: corp}}\n"+
		"credentials:\n  corp: {type: client_credentials, tokenURL: %q, clientID: id, clientSecret: \"${SECRET}\"}",
		a.URL, b.URL, issuer.TokenURL), map[string]string{"SECRET": secret}, issuer)
	c := g.client()
	g.listed(c, "a_echo", "b_echo")
	wantCount(t, "mints for two backends", issuer.Mints(), 1)
	issuer.Revoke()
	done := make(chan []answer)
	go func() { done <- g.calls(c, "a_echo", 20) }()
	all := append(g.calls(c, "b_echo", 20), <-done...)
	for _, x := range all {
		wantAnswer(t, x)
	}
	wantCount(t, "renewals", issuer.Mints(), 2)
	wantCount(t, "executions", a.Executions("echo")+b.Executions("echo"), 40)
}

package faults

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/status"
)

func TestF2LateRefusalsOfAnOldToken(t *testing.T) {
	t.Parallel()
	s, issuer, g, c := minted(t, "")
	wantAnswer(t, g.call(t.Context(), c, "b_echo"))
	const n = 10
	sends, mints := s.Requests(call), issuer.Mints()
	late := g.together(s, c, n, func() { // what is held carries the first token
		issuer.Revoke()
		wantAnswer(t, g.call(t.Context(), c, "b_echo"))
		wantCount(t, "renewals by the call that came first", issuer.Mints()-mints, 1)
	})
	for _, a := range late {
		wantAnswer(t, a)
	}
	wantCount(t, "renewals", issuer.Mints()-mints, 1)
	wantCount(t, "sends", s.Requests(call)-sends, 2+2*n)
	wantCount(t, "executions", s.Executions("echo"), 2+n)
	wantCount(t, "exhausted", g.breaker().Exhausted, 0)
}

func TestF7RejectProbesAfterTheCoolDown(t *testing.T) {
	t.Parallel()
	s, g := refuseCalls(t, 20, ", authRetry: {whenOpen: reject, initialWait: 1ms, coolDown: 100ms}")
	c := g.client()
	g.listed(c, "b_echo")
	g.open(c, "auth_refused")
	// Until the cool-down is over each call fails unsent; the first one that is
	// sent is answered.
	a := g.call(t.Context(), c, "b_echo")
	for ; a.err != nil; a = g.call(t.Context(), c, "b_echo") {
		wantError(t, a, "breaker_open", 0)
		wantCount(t, "sends", s.Requests(call), 20)
		if t.Failed() {
			return
		}
	}
	wantCount(t, "sends", s.Requests(call), 21)
	wantStatus(t, g, "ready", "ok")
}

func TestF13AllCallersOfAHalfOpenBreakerLeave(t *testing.T) {
	t.Parallel()
	s, g := refuseCalls(t, 20, ", authRetry: {initialWait: 1ms, coolDown: 100ms}")
	c := g.client()
	g.listed(c, "b_echo")
	g.open(c, "auth_refused")
	g.cool()
	held := s.Inject(backendtest.Hang(3).ForMethod(call))
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan answer, 3)
	for range 3 {
		go func() { left <- g.call(ctx, c, "b_echo") }()
	}
	if err := held.Wait(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if b := g.breaker(); b.State != status.BreakerHalfOpen {
		t.Errorf("breaker %+v, want half-open", b)
	}
	cancel()
	for range 3 {
		if a := <-left; a.err == nil {
			t.Error("one who left was answered")
		}
	}
	if err := s.WaitInFlight(t.Context(), 0); err != nil { // the backend knows, too
		t.Fatal(err)
	}
	wantCount(t, "sends", s.Requests(call), 23)
	wantAnswer(t, g.call(t.Context(), c, "b_echo"))
	wantCount(t, "sends", s.Requests(call), 24)
	wantStatus(t, g, "ready", "ok")
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, turn := range g.turns {
		if turn.Count > 5 {
			t.Errorf("counted %d: those who left were counted", turn.Count)
		}
	}
}

// The 15 seconds after which a hanging probe loses its lease are virtual time's;
// here it is seen that it holds nobody.
func TestF14AHangingProbeHoldsNobody(t *testing.T) {
	t.Parallel()
	for _, mode := range []guard.WhenOpen{guard.Pass, guard.Reject} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			s, g := refuseCalls(t, 20, fmt.Sprintf(", authRetry: {whenOpen: %s, initialWait: 1ms, coolDown: 100ms}", mode))
			c := g.client()
			g.listed(c, "b_echo")
			g.open(c, "auth_refused")
			g.cool()
			held := s.Inject(backendtest.Hang(1).ForMethod(call))
			probe := make(chan answer, 1)
			go func() { probe <- g.call(t.Context(), c, "b_echo") }()
			if err := held.Wait(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			sends := s.Requests(call)
			for range 10 {
				a := g.call(t.Context(), c, "b_echo")
				if mode == guard.Pass {
					wantAnswer(t, a)
				} else {
					wantError(t, a, "breaker_open", 0)
				}
			}
			wantCount(t, "sends beside the probe", s.Requests(call)-sends, map[guard.WhenOpen]int{guard.Pass: 10}[mode])
			held.Heal()
			wantAnswer(t, <-probe)
			wantAnswer(t, g.call(t.Context(), c, "b_echo"))
			wantStatus(t, g, "ready", "ok")
		})
	}
}

func TestF23TheStandingStreamComesBack(t *testing.T) {
	t.Parallel()
	for revision, standing := range map[string]string{"2025-11-25": backendtest.MethodGet, "2026-07-28": "subscriptions/listen"} {
		t.Run(revision, func(t *testing.T) {
			t.Parallel()
			s, issuer, g, c := minted(t, "", backendtest.WithRevision(revision))
			wait := func(n int) {
				t.Helper()
				if err := s.WaitStreams(t.Context(), n); err != nil {
					t.Fatal(err)
				}
			}
			wait(1)
			mints, asked := issuer.Mints(), s.Requests(standing)
			issuer.Revoke()
			s.EndStreams()
			if err := s.WaitRequests(t.Context(), standing, asked+1); err != nil {
				t.Fatal(err)
			}
			wait(1)
			wantCount(t, "renewals", issuer.Mints()-mints, 1)
			wantCount(t, "exhausted", g.breaker().Exhausted, 0)
			sends := s.Requests(call)
			wantAnswer(t, g.call(t.Context(), c, "b_echo"))
			wantCount(t, "sends of a call", s.Requests(call)-sends, 1)
			wantCount(t, "renewals", issuer.Mints()-mints, 1)
			s.AddTool(backendtest.Tool{Name: "new"})
			g.listed(c, "b_new")
		})
	}
}

func TestF24AnAlternatingBackendDoesNotHammerTheTokenServer(t *testing.T) {
	t.Parallel()
	s, issuer, g, c := minted(t, "")
	var n atomic.Int64
	s.Inject(backendtest.Status(401, backendtest.Forever).ForMethod(call).When(
		func(*http.Request, backendtest.Message) bool { return n.Add(1)%2 == 1 }))
	asked, began := issuer.Requests(), time.Now()
	for range 20 {
		wantAnswer(t, g.call(t.Context(), c, "b_echo"))
	}
	most := int(time.Since(began)/time.Second) + 4 // a burst of three, and one a second
	if got := issuer.Requests() - asked; got > most {
		t.Errorf("the token server was asked %d times, want %d at most", got, most)
	}
	wantCount(t, "sends", s.Requests(call), 40)
	wantCount(t, "executions", s.Executions("echo"), 20)
}

func TestF25TheTokenServerComesBack(t *testing.T) {
	t.Parallel()
	s, issuer, g, c := minted(t, ", authRetry: {whenOpen: reject, initialWait: 1ms, coolDown: 1h, maxCoolDown: 1h}")
	issuer.Fail(backendtest.Unavailable(), backendtest.Forever)
	issuer.Revoke()
	g.open(c, "renewal_unavailable")
	wantError(t, g.call(t.Context(), c, "b_echo"), "breaker_open", 0)
	sends, mints, asked := s.Requests(call), issuer.Mints(), issuer.Requests()
	issuer.Heal()
	// A try in the background finds a token; what cools for an hour is over then.
	if err := issuer.WaitRequests(t.Context(), asked+1); err != nil {
		t.Fatal(err)
	}
	a := g.call(t.Context(), c, "b_echo")
	for ; a.err != nil; a = g.call(t.Context(), c, "b_echo") {
		wantError(t, a, "breaker_open", 0)
		if t.Failed() {
			return
		}
	}
	wantCount(t, "sends", s.Requests(call)-sends, 1)
	wantCount(t, "renewals", issuer.Mints()-mints, 1)
	wantStatus(t, g, "ready", "ok")
}

func TestF28ImpatientCallersOpenTheBreaker(t *testing.T) {
	t.Parallel()
	_, g := refuseCalls(t, backendtest.Forever, "")
	c := g.client()
	g.listed(c, "b_echo")
	for n := 0; g.breaker().State != status.BreakerOpen; n++ {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if a := g.call(ctx, c, "b_echo"); a.err == nil {
			t.Fatal("answered")
		}
		cancel()
		if n == 100 {
			t.Fatal("the breaker is closed after 100 calls")
		}
	}
	wantCount(t, "exhausted", g.breaker().Exhausted, 5)
	if n := strings.Count(g.log.String(), `"level":"WARN"`); n != 1 {
		t.Errorf("%d WARN lines, want one for the breaker's opening", n)
	}
}

func TestF30OneCallProbesAndNoOtherWaits(t *testing.T) {
	t.Parallel()
	for _, mode := range []guard.WhenOpen{guard.Pass, guard.Reject} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			s, g := refuseCalls(t, backendtest.Forever, fmt.Sprintf(", authRetry: {whenOpen: %s, initialWait: 1ms, coolDown: 100ms}", mode))
			c := g.client()
			g.listed(c, "b_echo")
			g.open(c, "auth_refused")
			s.Heal()
			held := s.Inject(backendtest.Hang(1).ForMethod(call))
			s.Inject(backendtest.Status(401, backendtest.Forever).ForMethod(call))
			g.cool()
			probe := make(chan answer, 1)
			go func() { probe <- g.call(t.Context(), c, "b_echo") }()
			if err := held.Wait(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			sends := s.Requests(call)
			const n = 200
			for _, a := range g.calls(c, "b_echo", n) { // all end while the probe is out
				if mode == guard.Pass {
					wantError(t, a, "auth_refused", 1)
				} else {
					wantError(t, a, "breaker_open", 0)
				}
			}
			wantCount(t, "sends of the others", s.Requests(call)-sends, map[guard.WhenOpen]int{guard.Pass: n}[mode])
			held.Heal()
			wantError(t, <-probe, "auth_refused", 4)
			wantCount(t, "retries of the probe", s.Requests(call)-sends-map[guard.WhenOpen]int{guard.Pass: n}[mode], 3)
		})
	}
}

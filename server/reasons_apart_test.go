package server_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/status"
)

// A backend that has not answered yet is connecting, not down; nobody waits for it.
func TestABackendThatHasNotAnsweredIsConnecting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := mem(t, backendtest.WithFault(backendtest.Hang(backendtest.Forever))), mem(t)
		began := time.Now()
		r, d := drafted(t, peers{a, b}, "mcpServers: {a: {url: %q}, b: {url: %q}}", a.URL, b.URL)
		w := &ward{rig: r, d: d, a: a, b: b}
		st := w.wantState("a", "unknown/connecting", began, began)
		if st.Message == "" || st.Tried == "" || st.ClientsSee == "" || st.Fix != "" {
			t.Errorf("%+v", st)
		}
		w.wantState("b", "ready/ok", began, began)
		w.wantWhole(status.PhasePending, http.StatusOK)
		if diff := cmp.Diff([]string{"b_echo"}, r.listed()); diff != "" || !time.Now().Equal(began) {
			t.Errorf("after %s (-want +got):\n%s", time.Since(began), diff)
		}
		sleep(5100 * time.Millisecond)
		w.wantWhole(status.PhaseDegraded, http.StatusOK) // it had its time
		w.wantState("a", "unknown/connecting", began, began)
		a.Heal()
		synctest.Wait()
		w.wantState("a", "ready/ok", time.Now(), time.Now())
		w.wantWhole(status.PhaseReady, http.StatusOK)
		w.wantCall("a_echo", "", 0)
	})
}

// A permission that is refused is the caller's affair: the backend stays as it is.
func TestAForbiddenCallIsNoStateOfTheBackend(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := admit(t, bearer, false, backendtest.WithToken("good"), backendtest.WithTool("echo", backendtest.Echo), backendtest.WithTool("delete", backendtest.Echo))
		w.wantCall("a_delete", "", 0)
		w.a.Inject(backendtest.Status(403, backendtest.Forever).ForName("delete"))
		for range 15 {
			sent := w.a.Requests("tools/call")
			f := w.wantCall("a_delete", status.ReasonAuthForbidden, 403)
			wantCount(t, "sends", w.a.Requests("tools/call")-sent, 4)
			if text, _ := status.Explain(status.ReasonAuthForbidden); f != nil && f.Data.Hint == "" {
				t.Errorf("hint %q, want what %q says", f.Data.Hint, text.Do)
			}
			w.wantCall("a_echo", "", 0)
			w.wantState("a", "ready/ok", w.began, w.began)
			sleep(20 * time.Second)
		}
		if b := of(t, w.seen(), "a"); b.Breaker.State != status.BreakerClosed || b.Breaker.Exhausted != 0 || b.Authenticated != status.Yes {
			t.Errorf("%+v", b)
		}
		if got := w.course(w.began.Add(time.Second)); len(got) != 0 {
			t.Errorf("events: %q", got)
		}
		w.a.Heal() // the account has the permission now
		w.wantCall("a_delete", "", 0)
		wantCount(t, "sends to the neighbour", w.b.Requests("tools/call"), 0)
	})
}

// breaker_open is the reason of calls that were not sent; the status goes on saying
// why the breaker opened.
func TestBreakerOpenIsAReasonOfErrorsAlone(t *testing.T) {
	for _, fix := range []struct {
		name string
		mend func(w *ward)
	}{
		{"the token is mended", func(w *ward) {
			w.rewrite(strings.Replace(bearer, "good", "better", 1) + ", authRetry: {whenOpen: reject}")
		}},
		{"the server is mended", func(w *ward) {
			w.a.SetTokens("good")
			sleep(40 * time.Second) // the cool-down
		}},
		{"the breaker is closed by hand", func(w *ward) {
			w.a.SetTokens("good")
			w.act("reset")
		}},
		{"whenOpen is pass", func(w *ward) {
			w.a.SetTokens("good")
			w.rewrite(bearer)
		}},
	} {
		t.Run(fix.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := admit(t, bearer+", authRetry: {whenOpen: reject}", false, backendtest.WithToken("good"))
				w.a.SetTokens("better")
				t0 := time.Now()
				for range 5 {
					w.wantCall("a_echo", status.ReasonAuthRefused, 401)
				}
				sent, opened := w.a.Requests("tools/call"), time.Now()
				wantCount(t, "sends", sent, 5*4)
				for range 20 {
					f := w.wantCall("a_echo", status.ReasonBreakerOpen, 0)
					if f != nil && (f.Data.RetryAfterMs <= 0 || f.Data.RetryAfterMs > 36_000 || f.Data.Attempts != 0 || !f.Data.Since.Equal(t0)) {
						t.Errorf("at %s: %+v, want when to call again", clock(time.Now()), f.Data)
					}
					sleep(time.Second)
				}
				wantCount(t, "sends while it is open", w.a.Requests("tools/call"), sent)
				b := w.wantState("a", "unavailable/auth_refused", t0, t0)
				wantWords(t, b, "Its breaker is open after 5", "mcpServers.a.auth")
				if b.Breaker.State != status.BreakerOpen || !b.Breaker.OpenedAt.Equal(opened) || !b.Breaker.NextProbe.After(time.Now()) {
					t.Errorf("breaker %+v", b.Breaker)
				}
				w.wantState("b", "ready/ok", w.began, w.began)
				fix.mend(w)
				w.wantCall("a_echo", "", 0)
				sleep(nextProbe)
				w.wantState("a", "ready/ok", opened, time.Now())
				w.wantWhole(status.PhaseReady, http.StatusOK)
			})
		})
	}
}

// A backend that lists nothing any more is shown as such, and when that was its
// doing it is told that lists shrank.
func TestABackendWithoutToolsSaysSo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := admit(t, "", false)
		t0 := time.Now()
		w.a.RemoveTool("echo")
		sleep(5 * time.Second)
		b := w.wantState("a", "degraded/no_tools", t0, t0.Add(5*time.Second))
		wantWords(t, b, "lists no tool", "what the server offers")
		w.wantWhole(status.PhaseDegraded, http.StatusOK)
		if diff := cmp.Diff([]string{"b_echo"}, w.listed()); diff != "" {
			t.Errorf("listed (-want +got):\n%s", diff)
		}
		if got := w.call("a_echo").reason(t); !strings.Contains(got, "there is no tool") {
			t.Errorf("a call: %q", got)
		}
		if got := w.all(status.EventCatalogue, "a"); len(got) != 1 || got[0].Reason != status.ReasonNoTools || got[0].Level == status.LevelInfo {
			t.Errorf("events of the catalogue: %+v", got)
		}
		sleep(5 * time.Minute)
		w.wantState("a", "degraded/no_tools", b.Since, b.Since)
		w.wantState("b", "ready/ok", w.began, w.began)
		t1 := time.Now()
		w.a.AddTool(backendtest.Tool{Name: "echo"})
		sleep(5 * time.Second)
		w.wantState("a", "ready/ok", t1, time.Now())
		w.wantCall("a_echo", "", 0)
		if diff := cmp.Diff([]string{"degraded/no_tools", "ready/ok"}, w.course(t0)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// What somebody has taken out of service says so, and how it comes back.
func TestDisabledBackendsComeBack(t *testing.T) {
	for _, x := range []struct {
		name, fix string
		off, on   func(w *ward)
	}{
		{"in the configuration", "remove disabled from mcpServers.a", rewrite("url: BACKEND, disabled: true"), rewrite("")},
		{"at the admin API", "`recloser backend resume a`", func(w *ward) { w.act("pause") }, func(w *ward) { w.act("resume") }},
	} {
		t.Run(x.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := admit(t, "", false)
				t0 := time.Now()
				x.off(w)
				asked := w.a.Requests("")
				b := w.wantState("a", "unknown/disabled", t0, t0)
				wantWords(t, b, "", x.fix)
				w.wantWhole(status.PhaseReady, http.StatusOK) // it is nothing that is wrong
				if got := w.call("a_echo").reason(t); got == "" || slices.Contains(w.listed(), "a_echo") {
					t.Errorf("a call: %q, listed: %q", got, w.listed())
				}
				sleep(5 * time.Minute)
				w.wantState("a", "unknown/disabled", t0, t0)
				w.wantState("b", "ready/ok", w.began, w.began)
				wantCount(t, "requests to it", w.a.Requests(""), asked)
				t1 := time.Now()
				x.on(w)
				sleep(time.Second)
				w.wantState("a", "ready/ok", t1, time.Now())
				w.wantCall("a_echo", "", 0)
				course := slices.DeleteFunc(w.course(t0), func(s string) bool { return s == "unknown/connecting" })
				if diff := cmp.Diff([]string{"unknown/disabled", "ready/ok"}, course); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// While the credential in use is good, a token server that is down is a warning; calls
// notice nothing until it expires.
func TestAFailingRenewalIsSeenBeforeItHurts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := &ward{rig: &rig{t: t}, issuer: backendtest.NewIssuer(t, backendtest.WithPipe(), backendtest.WithTTL(10*time.Minute))}
		w.admitTo(t, granted, backendtest.WithBearer(w.issuer))
		w.issuer.Down()
		for of(t, w.seen(), "a").Status == status.BackendStatusReady {
			sleep(time.Second)
			w.wantCall("a_echo", "", 0)
		}
		t0 := time.Now()
		if age := t0.Sub(w.began); age < 7*time.Minute || age > 8*time.Minute+2*time.Second {
			t.Errorf("seen after %s, want 70 to 80 %% of ten minutes", age)
		}
		b := w.wantState("a", "degraded/renewal_unavailable", t0.Add(-time.Second), t0)
		wantWords(t, b, "still accepted", "Check that the token server")
		if !strings.Contains(b.ClientsSee, "Nothing yet") {
			t.Errorf("clients see %q", b.ClientsSee)
		}
		w.wantWhole(status.PhaseDegraded, http.StatusOK)
		for time.Since(w.began) < 10*time.Minute-11*time.Second {
			sleep(time.Second)
			w.wantCall("a_echo", "", 0)
			w.wantState("a", "degraded/renewal_unavailable", b.Since, b.Since)
		}
		sleep(12 * time.Second)
		w.wantCall("a_echo", status.ReasonRenewalUnavailable, 0)
		b = w.wantState("a", "unavailable/renewal_unavailable", w.began.Add(9*time.Minute), time.Now())
		wantWords(t, b, "cannot be reached", "Check that the token server")
		t1 := time.Now()
		if err := w.issuer.Up(); err != nil {
			t.Fatal(err)
		}
		for n := 0; of(t, w.seen(), "a").Status != status.BackendStatusReady && n < 30; n++ {
			sleep(time.Second)
		}
		w.wantState("a", "ready/ok", t1, t1.Add(30*time.Second))
		w.wantCall("a_echo", "", 0)
		want := []string{"degraded/renewal_unavailable", "unavailable/renewal_unavailable", "ready/ok"}
		if diff := cmp.Diff(want, w.course(w.began.Add(time.Minute))); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if n := len(w.log.messages(slog.LevelError)); n > 2 {
			t.Errorf("%d errors in the log, want one for a change", n)
		}
	})
}

// A gateway that serves no tool is not ready, says why, and says it loudly, once.
func TestServingNoToolIsTold(t *testing.T) {
	for _, x := range []struct {
		name, why string
		server    []backendtest.Option
		mend      func(a, b *backendtest.Server)
	}{
		{"down", "unreachable", []backendtest.Option{backendtest.WithDown()}, func(a, _ *backendtest.Server) { _ = a.Up() }},
		{"refused", "auth_refused", []backendtest.Option{backendtest.WithToken("another")}, func(a, _ *backendtest.Server) { a.SetTokens("") }},
		{"empty", "no_tools", []backendtest.Option{backendtest.WithHandler(noTools)}, nil},
	} {
		t.Run(x.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a, b := mem(t, x.server...), mem(t, x.server...)
				r, d := drafted(t, peers{a, b}, "health: {interval: 10s}\nmcpServers: {a: {url: %q}, b: {url: %q}}", a.URL, b.URL)
				w := &ward{rig: r, d: d, a: a, b: b}
				for range 60 {
					sleep(10 * time.Second)
					w.wantWhole(status.PhaseFailed, http.StatusServiceUnavailable)
				}
				body := r.admin("/readyz").body
				for _, name := range []string{"a", "b"} {
					if !strings.Contains(body, name) || strings.Count(body, x.why) < 2 {
						t.Errorf("/readyz says %q, want both backends and %s", body, x.why)
					}
				}
				var loud []string
				for _, m := range r.log.messages(slog.LevelError) {
					if strings.Contains(m, "no tool") {
						loud = append(loud, m)
					}
				}
				if len(loud) != 1 {
					t.Errorf("%d loud lines in ten minutes, want one: %q of %q", len(loud), loud, r.log.messages(slog.LevelError))
				}
				told := w.all(status.EventPhase, "")
				if len(told) == 0 || told[len(told)-1].Level != status.LevelError || !strings.Contains(told[len(told)-1].Message, "Failed") {
					t.Errorf("events of the phase: %+v", told)
				}
				if x.mend == nil {
					return
				}
				n := len(told)
				x.mend(a, b)
				sleep(30 * time.Second)
				w.wantWhole(status.PhaseDegraded, http.StatusOK)
				if told = w.all(status.EventPhase, ""); len(told) != n+1 || !strings.Contains(told[n].Message, "Degraded") {
					t.Errorf("events of the phase: %s", fmt.Sprint(told))
				}
			})
		})
	}
}

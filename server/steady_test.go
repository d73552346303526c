package server_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/status"
)

// nth fails every n-th call, for as long as the server is not healed.
func nth(n, code int) func(w *ward) {
	return func(w *ward) {
		calls := 0
		w.a.Inject(backendtest.Status(code, backendtest.Forever).ForMethod("tools/call").When(func(*http.Request, backendtest.Message) bool {
			calls++
			return calls%n == 0
		}))
	}
}

// A backend that fails now and then is degraded for as long as it does so, and does
// not come and go with every call.
func TestABackendThatFailsNowAndThenDoesNotFlap(t *testing.T) {
	for n, pace := range map[int][]time.Duration{
		2: {200 * time.Millisecond, time.Second, 5 * time.Second}, 3: {time.Second, 5 * time.Second}, 10: {200 * time.Millisecond, time.Second},
	} {
		for _, every := range pace {
			span := min(5*time.Minute, 300*every)
			t.Run(fmt.Sprintf("one in %d, a call every %s", n, every), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					w := admit(t, "", false)
					t0 := time.Now()
					nth(n, 502)(w)
					failed := 0
					var since time.Time
					for i := range int(span / every) {
						f := w.call("a_echo").failure(t)
						if f != nil {
							failed++
						}
						if i >= 4*n { // it is a habit
							b := of(t, w.seen(), "a")
							if b.Status != status.BackendStatusDegraded || b.Reason != status.ReasonServerError || !since.IsZero() && !b.Since.Equal(since) {
								t.Fatalf("at %s, after %d of %d calls: %s/%s since %s, was since %s", clock(time.Now()), failed, i, b.Status, b.Reason, clock(b.Since), clock(since))
							}
							since = b.Since
						}
						sleep(every)
					}
					if told := w.course(t0); len(told) > 5 { // three failures make a habit
						t.Errorf("%d events of the status in %s: %q", len(told), span, told)
					}
					wantCount(t, "sends", w.a.Requests("tools/call"), int(span/every))
					w.a.Heal()
					sleep(2 * time.Minute)
					w.wantState("a", "ready/ok", t0, time.Now())
					w.wantState("b", "ready/ok", w.began, w.began)
				})
			})
		}
	}
}

// One slow probe, and one that is lost, are no state of the backend when the next is
// answered; probes in a row are.
func TestProbesInARowMakeABackendUnavailable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := admit(t, "", false)
		t0 := time.Now()
		w.a.Inject(backendtest.Latency(1500 * time.Millisecond).Times(1).ForMethod("server/discover"))
		for range 60 {
			sleep(time.Second)
			w.wantState("a", "ready/ok", w.began, w.began)
		}
		if got := w.course(t0); len(got) != 0 {
			t.Errorf("a slow probe: %q", got)
		}
	})
	for _, after := range []int{1, 2, 3, 5} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a, b := mem(t), mem(t)
				r, d := drafted(t, peers{a, b}, "health: {interval: 10s, timeout: 2s, unavailableAfter: %d}\nmcpServers: {a: {url: %q}, b: {url: %q}}", after, a.URL, b.URL)
				w := &ward{rig: r, d: d, a: a, b: b, began: time.Now()}
				sleep(time.Minute)
				a.Inject(backendtest.Status(503, backendtest.Forever).ForMethod("server/discover"))
				before := a.Requests("server/discover")
				for a.Requests("server/discover") < before+after {
					sleep(100 * time.Millisecond)
					if failed := a.Requests("server/discover") - before; failed > 0 && failed < after {
						w.wantState("a", "degraded/server_error", w.began, time.Now())
					}
				}
				sleep(time.Second)
				wantCount(t, "probes", a.Requests("server/discover")-before, after)
				w.wantState("a", "unavailable/server_error", w.began, time.Now())
				w.wantCall("a_echo", "", 0) // what probes say does not stop a call
			})
		})
	}
}

// Probes are refused as long as they like: the breaker counts calls.
func TestProbesNeverCountAgainstTheBreaker(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := admit(t, bearer, false, backendtest.WithToken("good"))
		t0 := time.Now()
		w.a.SetTokens("better")
		probes := asked(w.a)
		sleep(nextProbe)
		b := w.wantState("a", "unavailable/auth_refused", t0, t0.Add(nextProbe)) // after the first refused probe
		if n := probes("server/discover"); n > 2 {
			t.Errorf("%d sends for one probe", n)
		}
		sleep(3 * time.Minute) // lists that are read again do count, and are read every five minutes
		w.wantState("a", "unavailable/auth_refused", b.Since, b.Since)
		if st := of(t, w.seen(), "a"); st.Breaker.State != status.BreakerClosed || st.Breaker.Exhausted != 0 || st.Authenticated != status.No {
			t.Errorf("breaker %+v, authenticated %s", st.Breaker, st.Authenticated)
		}
		for i := range 5 {
			sent := w.a.Requests("tools/call")
			w.wantCall("a_echo", status.ReasonAuthRefused, 401)
			wantCount(t, "sends", w.a.Requests("tools/call")-sent, 4)
			if st := of(t, w.seen(), "a"); st.Breaker.Exhausted != i+1 {
				t.Errorf("%d exhausted, want %d", st.Breaker.Exhausted, i+1)
			}
		}
		if diff := cmp.Diff([]string{"unavailable/auth_refused"}, w.course(t0)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// When a breaker opens or a call fails out of the blue, the monitor does not wait for
// its next turn.
func TestTheMonitorLooksAtOnceWhenABreakerOpens(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := mem(t, backendtest.WithToken("good"))
		r, d := drafted(t, peers{srv}, "health: {interval: 1h}\nmcpServers: {a: {url: %q, auth: {type: bearer, token: good}}}", srv.URL)
		w := &ward{rig: r, d: d, a: srv}
		sleep(time.Minute)
		srv.SetTokens("better")
		w.wantCall("a_echo", status.ReasonAuthRefused, 401)
		sleep(time.Second)
		first := srv.Requests("server/discover")
		for range 3 {
			w.wantCall("a_echo", status.ReasonAuthRefused, 401)
		}
		sleep(time.Second)
		wantCount(t, "probes while it counts", srv.Requests("server/discover"), first)
		w.wantCall("a_echo", status.ReasonAuthRefused, 401) // it opens
		sleep(time.Second)
		if n := srv.Requests("server/discover") - first; n < 1 || n > 2 {
			t.Errorf("%d sends of probes when it opened, want one probe", n)
		}
		first = srv.Requests("server/discover")
		for range 10 {
			w.wantCall("a_echo", status.ReasonAuthRefused, 401)
		}
		sleep(10 * time.Second)
		wantCount(t, "probes while it is open", srv.Requests("server/discover"), first)
	})
}

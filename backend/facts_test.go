package backend_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/guard"
)

func TestFactsCountWhatHappened(t *testing.T) {
	eachEra(t, func(t *testing.T, revision string) {
		r := newRig(t, minting(), rich(backendtest.WithRevision(revision)))
		want(t, "nothing yet", r.c.Facts().LastAnswer.IsZero(), true)
		for range 3 {
			r.mustCall()
		}
		r.refuse("tools/call", 1)
		r.mustCall()
		f := r.c.Facts()
		want(t, "calls", f.Counters.Calls, 4)
		want(t, "saved", f.Counters.SavedByRenewal, 1)
		want(t, "refused", f.Counters.Refused, 1)
		want(t, "exhausted", f.Counters.Exhausted, 0)
		want(t, "sends", f.Counters.Sends, uint64(r.srv.Requests("")))
		want(t, "session", f.Session, revision == elder)
		want(t, "challenge", f.Challenge.Error, "invalid_token")
		want(t, "last answer", f.LastAnswer.Equal(time.Now()), true)
		want(t, "accepted", f.Accepted.Equal(time.Now()), true)
		want(t, "no error", f.LastError == nil, true)
		want(t, "credential", f.Credential.Generation, 2)

		time.Sleep(time.Second)
		refusing := r.srv.Inject(backendtest.Status(401, backendtest.Forever).ForMethod("tools/call"))
		wantKind(t, r.call(t.Context()), backend.KindAuthRefused)
		refusing.Heal()
		f = r.c.Facts()
		want(t, "exhausted", f.Counters.Exhausted, 1)
		want(t, "calls", f.Counters.Calls, 5)
		want(t, "last error", f.LastError.Kind, backend.KindAuthRefused)
		want(t, "when", time.Since(f.ErrorAt), 0)
	})
}

func TestLatencyIsThatOfTheLastFiveMinutes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, []backendtest.Option{backendtest.WithRevision(modern),
			backendtest.WithTool("fast", backendtest.Slow(10*time.Millisecond)), backendtest.WithTool("slow", backendtest.Slow(2*time.Second))})
		call := func(tool string, n int) {
			for range n {
				if _, err := r.c.CallTool(t.Context(), tool, nil); err != nil {
					t.Fatal(err)
				}
			}
		}
		near := func(what string, got, want time.Duration) {
			t.Helper()
			if got < want || got > want*9/8+time.Millisecond {
				t.Errorf("%s: got %v, want %v or an eighth more", what, got, want)
			}
		}
		want(t, "nothing yet", r.c.Facts().Latency, backend.Latency{})
		call("fast", 90)
		call("slow", 10)
		near("p50", r.c.Facts().Latency.P50, 10*time.Millisecond)
		near("p95", r.c.Facts().Latency.P95, 2*time.Second)
		time.Sleep(4 * time.Minute)
		near("p95 after 4 minutes", r.c.Facts().Latency.P95, 2*time.Second)
		time.Sleep(2 * time.Minute)
		want(t, "after 6 minutes", r.c.Facts().Latency, backend.Latency{})
		call("fast", 1)
		near("p95 of one", r.c.Facts().Latency.P95, 10*time.Millisecond)
	})
}

func TestProbesCountNowhere(t *testing.T) {
	eachEra(t, func(t *testing.T, revision string) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(revision)))
		r.mustCall()
		ping := operations(revision)[5].request
		r.refuse(ping, backendtest.Forever)
		for range 10 {
			e := wantKind(t, r.c.Probe(t.Context()), backend.KindAuthRefused)
			want(t, "status", e.Status, 401)
		}
		f := r.c.Facts()
		want(t, "count", f.Guard.Count, 0)
		want(t, "phase", f.Guard.Phase, guard.Closed)
		want(t, "calls", f.Counters.Calls, 1)
		want(t, "exhausted", f.Counters.Exhausted, 0)
	})
}

func TestTraceTellsOfEverySend(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(elder)))
		r.refuse("tools/call", 2)
		r.mustCall()
		type send struct {
			method string
			resend int
			cause  guard.Cause
			delay  time.Duration
			nested bool
			status int
		}
		wantSends := []send{
			{"server/discover", 0, guard.First, 0, true, 400},
			{"initialize", 0, guard.First, 0, true, 200},
			{"notifications/initialized", 0, guard.First, 0, true, 202},
			{"tools/call", 0, guard.First, 0, false, 401},
			{"tools/call", 1, guard.Canary, 100 * time.Millisecond, false, 401},
			{"tools/call", 2, guard.Canary, 200 * time.Millisecond, false, 200},
		}
		want(t, "sends", len(r.traced.sends), len(wantSends))
		for i, w := range wantSends[:min(len(wantSends), len(r.traced.sends))] {
			s, x := r.traced.sends[i], r.traced.results[i]
			want(t, "send", send{s.Method, s.Resend, s.Cause, s.Delay, s.Nested, x.Status}, w)
			want(t, "backend", s.Backend, "weather")
			want(t, "generation", s.Generation, 1)
		}
		want(t, "calls", len(r.traced.calls), 1)
		c := r.traced.calls[0]
		want(t, "attempts", c.Guard.Attempts, 3)
		want(t, "waited", c.Guard.Waited, 300*time.Millisecond)
		want(t, "generation", c.Guard.Generation, 1)
		want(t, "error", c.Err == nil, true)
		want(t, "sessions", len(r.traced.sessions), 1)
	})
}

func TestCloseEndsWaitsAndLeavesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(elder)))
		r.mustCall()
		r.refuse("tools/call", backendtest.Forever)
		waiting := make(chan error, 1)
		go func() { waiting <- r.call(t.Context()) }()
		time.Sleep(50 * time.Millisecond)
		if err := r.c.Close(); err != nil {
			t.Fatal(err)
		}
		wantKind(t, <-waiting, backend.KindClosed)
		want(t, "session ended", r.srv.Requests("DELETE"), 1)
		if err := r.c.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestCloseOfAHungBackendTakesASecond(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(elder)))
		r.mustCall()
		r.srv.Inject(backendtest.Hang(backendtest.Forever))
		took := elapsed()
		if err := r.c.Close(); err != nil {
			t.Fatal(err)
		}
		want(t, "took", took(), time.Second)
	})
}

func TestSourceThatWasGivenOutlivesTheClient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(modern)))
		r.mustCall()
		if err := r.c.Close(); err != nil {
			t.Fatal(err)
		}
		if _, ok := r.source.Current(); !ok {
			t.Error("the source was closed")
		}
	})
}

func TestSilentIssuerMakesTheCallWaitNoLongerThanItsDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newIssuerRig(t, rich(backendtest.WithRevision(modern)))
		r.issuer.Hang(backendtest.Forever)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		took := elapsed()
		err := r.call(ctx)
		want(t, "took", took(), time.Second)
		want(t, "context error", errors.Is(err, context.DeadlineExceeded), true)
		want(t, "sentinel", errors.Is(err, backend.ErrAuthenticationFailed), true)
		want(t, "sends", r.srv.Requests(""), 0)
		r.issuer.Heal()
		synctest.Wait()
	})
}

// Whoever watches a client that nobody calls keeps no credential alive.
func TestLookingAtFactsIsNoUse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newIssuerRig(t, rich(backendtest.WithRevision(modern)))
		r.mustCall()
		asked := r.asked()
		for range 6 * 60 * 24 {
			time.Sleep(10 * time.Second)
			r.c.Facts()
		}
		want(t, "token requests in a day without a call", asked(), 0)
		r.mustCall()
		want(t, "token requests", asked(), 1)
	})
}

package backend_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/guard"
)

// More faults by their number: callers who leave, breakers that open, answers that
// break or only look like refusals.

func TestF11NewTokensAreRefusedToo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const callers = 10
		r := newIssuerRig(t, rich(backendtest.WithRevision(modern)))
		r.mustCall()
		r.issuer.WrongAudience(true)
		r.issuer.Revoke()
		for round := range 5 {
			sends := r.sends("tools/call")
			for _, err := range all(callers, func(int) error { return r.call(t.Context()) }) {
				wantKind(t, err, backend.KindAuthRefused)
			}
			if n := sends(); n > 2*callers+2 {
				t.Errorf("round %d: %d sends, want at most %d", round, n, 2*callers+2)
			}
			want(t, "count", r.c.Facts().Guard.Count, round+1)
		}
		want(t, "phase", r.c.Facts().Guard.Phase, guard.Open)
		for range 3 { // a probe renews, and what it gets closes nothing
			time.Sleep(time.Until(r.c.Facts().Guard.NextProbe))
			mints, sends := r.mints(), r.sends("tools/call")
			wantKind(t, r.call(t.Context()), backend.KindAuthRefused)
			want(t, "sends of the probe", sends(), 4)
			want(t, "renewals by the probe", mints() > 0, true)
			want(t, "phase", r.c.Facts().Guard.Phase, guard.Open)
		}
		for _, turn := range r.traced.transitions {
			want(t, "closed meanwhile", turn.To == guard.Closed, false)
		}
	})
}

func TestF12FirstCallerCancels(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(modern)))
		r.mustCall()
		fault := r.refuse("tools/call", backendtest.Forever)
		ctx, cancel := context.WithCancel(t.Context())
		first, others := make(chan error, 1), make(chan []error, 1)
		go func() { first <- r.call(ctx) }()
		time.Sleep(10 * time.Millisecond)
		go func() { others <- all(5, func(int) error { return r.call(t.Context()) }) }()
		time.Sleep(20 * time.Millisecond)
		cancel()
		fault.Heal()
		want(t, "first", errors.Is(<-first, context.Canceled), true)
		if failed := failures(<-others); failed != nil {
			t.Error(failed[0])
		}
		want(t, "count", r.c.Facts().Guard.Count, 0)
	})
}

func TestF13AllCancelDuringHalfOpen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(modern)))
		fault := r.open()
		time.Sleep(time.Until(r.c.Facts().Guard.NextProbe))
		count := r.c.Facts().Guard.Count
		held := r.srv.Inject(backendtest.Hang(backendtest.Forever).ForMethod("tools/call"))
		_ = held
		fault.Heal()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		all(3, func(int) error { return r.call(ctx) })
		want(t, "count", r.c.Facts().Guard.Count, count)
		want(t, "phase", r.c.Facts().Guard.Phase, guard.Open)
		held.Heal()
		r.mustCall()
		want(t, "phase", r.c.Facts().Guard.Phase, guard.Closed)
	})
}

func TestF14HangingProbeEndsItsLease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(modern)))
		fault := r.open()
		time.Sleep(time.Until(r.c.Facts().Guard.NextProbe))
		fault.Heal()
		held := r.srv.Inject(backendtest.Hang(1).ForMethod("tools/call"))
		probe := make(chan error, 1)
		go func() { probe <- r.call(t.Context()) }()
		synctest.Wait()
		want(t, "phase", r.c.Facts().Guard.Phase, guard.HalfOpen)
		time.Sleep(15*time.Second + time.Millisecond)
		want(t, "phase", r.c.Facts().Guard.Phase, guard.Open)
		r.mustCall()
		held.Heal()
		if err := <-probe; err != nil {
			t.Error(err)
		}
	})
}

func TestF15MissingScopeIsNamed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newIssuerRig(t, rich(backendtest.WithRevision(modern), backendtest.WithRequiredScope("tools/call", "tickets.write")))
		sends, mints := r.sends("tools/call"), r.mints()
		e := wantKind(t, r.call(t.Context()), backend.KindScopeMissing)
		want(t, "sends", sends(), 1)
		want(t, "renewals", mints(), 1) // the first token
		want(t, "names the scope", strings.Contains(e.Hint(), "tickets.write"), true)
		want(t, "phase", r.c.Facts().Guard.Phase, guard.Closed)
		want(t, "count", r.c.Facts().Guard.Count, 0)
	})
}

func TestF17BrokenResendIsReturnedAsItIs(t *testing.T) {
	for name, fault := range map[string]backendtest.Fault{
		"502":   backendtest.Status(502, 1).AfterExecution(),
		"reset": backendtest.ResetPeer(1).AfterExecution(),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, minting(), rich(backendtest.WithRevision(modern)))
				r.mustCall()
				old := r.tokens.token
				r.srv.Inject(backendtest.Status(401, backendtest.Forever).ForMethod("tools/call").When(carries(old)))
				r.srv.Inject(fault.ForMethod("tools/call"))
				executions, sends := r.executions(), r.sends("tools/call")
				errs := all(5, func(int) error { return r.call(t.Context()) })
				failed := failures(errs)
				if len(failed) != 1 {
					t.Fatalf("%d calls failed, want the broken one alone: %v", len(failed), failed)
				}
				want(t, "sentinel", errors.Is(failed[0], backend.ErrBackendUnavailable), true)
				want(t, "executions", executions(), 5) // the broken one ran once too
				if n := sends(); n > 10 {
					t.Errorf("sends: %d", n)
				}
				if e, _ := errors.AsType[*backend.Error](failed[0]); name == "reset" {
					want(t, "outcome unknown", e.OutcomeUnknown, true)
				}
				want(t, "count", r.c.Facts().Guard.Count, 0)
			})
		})
	}
}

func TestF18WordsInAnAnswerAreNoRefusal(t *testing.T) {
	texts := []string{"access denied", "HTTP 401", "unauthorized (401)", "403 Forbidden: invalid_token"}
	for _, revision := range []string{elder, modern} {
		for _, text := range texts {
			t.Run(fmt.Sprint(revision, "/", text), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					r := newRig(t, minting(), []backendtest.Option{backendtest.WithRevision(revision),
						backendtest.WithTool("echo", backendtest.Failing(text)),
						backendtest.WithTool("rpc", func(context.Context, json.RawMessage) (any, error) {
							return nil, &backendtest.RPCError{Code: -32001, Message: text}
						})})
					renewals := func() int { return r.tokens.count() }
					raw, err := r.c.CallTool(t.Context(), "echo", nil)
					if err != nil {
						t.Fatal(err)
					}
					want(t, "text kept", strings.Contains(string(raw), text), true)
					want(t, "executions", r.srv.Executions("echo"), 1)
					_, err = r.c.CallTool(t.Context(), "rpc", nil)
					rpc, ok := err.(*backend.RPCError)
					if !ok {
						t.Fatalf("got %v (%T), want the JSON-RPC error", err, err)
					}
					want(t, "code", rpc.Code, -32001)
					want(t, "message", rpc.Message, text)
					want(t, "executions", r.srv.Executions("rpc"), 1)
					want(t, "sends", r.srv.Requests("tools/call"), 2)
					want(t, "fetches", renewals(), 1)
					want(t, "sentinel", errors.Is(err, backend.ErrAuthenticationFailed), false)
					want(t, "foreign", backend.IsAuthenticationError(err), false)
				})
			})
		}
	}
}

func TestF19RedirectAfterARefusalIsNotFollowed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		other := backendtest.NewServer(t, backendtest.WithPipe())
		r := newRig(t, minting(), rich(backendtest.WithRevision(modern)))
		r.mustCall()
		r.refuse("tools/call", 1)
		r.srv.Inject(backendtest.Status(307, 1).ForMethod("tools/call").Header("Location", other.URL+"?code=secret"))
		sends := r.sends("tools/call")
		e := wantKind(t, r.call(t.Context()), backend.KindProtocolError)
		want(t, "sends", sends(), 2)
		want(t, "status", e.Status, 307)
		want(t, "names the origin", strings.Contains(e.Error(), other.Addr()), true)
		want(t, "and no more of it", strings.Contains(e.Error(), "secret"), false)
		want(t, "requests there", other.Requests(""), 0)
	})
}

func TestF20HugeRefusalsCostBoundedMemory(t *testing.T) {
	for name, fault := range map[string]backendtest.Fault{
		"10 GB body":           backendtest.Status(401, backendtest.Forever).BodySize(10 << 30),
		"1 MB challenge":       backendtest.Status(401, backendtest.Forever).HeaderSize("WWW-Authenticate", 1_000_000),
		"both, and many small": backendtest.Status(401, backendtest.Forever).BodySize(10<<30).HeaderSize("WWW-Authenticate", 1_000_000),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, fixed(), rich(backendtest.WithRevision(modern)))
				r.mustCall()
				r.srv.Inject(fault.ForMethod("tools/call"))
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				sends, took := r.sends("tools/call"), elapsed()
				wantKind(t, r.call(t.Context()), backend.KindAuthRefused)
				runtime.ReadMemStats(&after)
				want(t, "sends", sends(), 4)
				want(t, "waited", took(), 700*time.Millisecond)
				want(t, "count", r.c.Facts().Guard.Count, 1)
				if grown := after.TotalAlloc - before.TotalAlloc; grown > 128<<20 {
					t.Errorf("%d MB were allocated", grown>>20)
				}
			})
		})
	}
}

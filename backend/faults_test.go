package backend_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/guard"
)

// The faults of docs/guard.md, met by a client, each by its number. Those that
// need a real file or a second kind of peer stand in files of their own.

func TestF01RevokedTokenUnderManyCalls(t *testing.T) {
	for _, revision := range []string{elder, modern} {
		t.Run(revision, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				const callers = 100
				r := newIssuerRig(t, rich(backendtest.WithRevision(revision)))
				r.mustCall()
				sends, executions, mints, took := r.sends("tools/call"), r.executions(), r.mints(), elapsed()
				r.issuer.Revoke()
				if failed := failures(all(callers, func(int) error { return r.call(t.Context()) })); failed != nil {
					t.Fatalf("%d calls failed: %v", len(failed), failed[0])
				}
				want(t, "executions", executions(), callers)
				want(t, "renewals", mints(), 1)
				want(t, "waited", took(), 0)
				if n := sends(); n > 2*callers {
					t.Errorf("sends: got %d, want at most %d", n, 2*callers)
				}
				want(t, "sessions", r.srv.Sessions(), map[string]int{elder: 1, modern: 0}[revision])
			})
		})
	}
}

func TestF02LateRefusalsOfAnOldCredential(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newIssuerRig(t, rich(backendtest.WithRevision(modern)))
		r.mustCall()
		const callers = 10
		// These leave with the first token and are refused a second later, when
		// the second token is there.
		slow := r.srv.Inject(backendtest.Latency(time.Second).ForMethod("tools/call").When(carries(r.issuer.Token(1))))
		sends, mints := r.sends("tools/call"), r.mints()
		done := make(chan []error)
		go func() { done <- all(callers, func(int) error { return r.call(t.Context()) }) }()
		synctest.Wait()
		r.issuer.Revoke()
		if err := r.c.Ping(t.Context()); err != nil { // renews
			t.Fatal(err)
		}
		want(t, "renewals by the ping", mints(), 1)
		if failed := failures(<-done); failed != nil {
			t.Fatal(failed[0])
		}
		want(t, "late refusals", slow.Hits(), callers)
		want(t, "renewals", mints(), 1)
		want(t, "sends", sends(), 2*callers)
	})
}

func TestF03StaticKeyRefusedForAWhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(modern)))
		r.mustCall()
		sends, took := r.sends("tools/call"), elapsed()
		fault := r.refuse("tools/call", backendtest.Forever)
		time.AfterFunc(250*time.Millisecond, fault.Heal)
		r.mustCall()
		want(t, "sends", sends(), 3)
		want(t, "waited", took(), 300*time.Millisecond)
	})
}

func TestF05FiveLastingRefusalsThenOneSendEach(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(modern)))
		r.open()
		for range 10 {
			sends, took := r.sends("tools/call"), elapsed()
			wantKind(t, r.call(t.Context()), backend.KindAuthRefused)
			want(t, "sends", sends(), 1)
			want(t, "waited", took(), 0)
		}
		want(t, "transitions", len(r.traced.transitions), 1)
	})
}

// open makes five calls that are refused for good.
func (r *rig) open() *backendtest.Injection {
	r.t.Helper()
	r.mustCall()
	fault := r.refuse("tools/call", backendtest.Forever)
	for range 5 {
		wantKind(r.t, r.call(r.t.Context()), backend.KindAuthRefused)
	}
	want(r.t, "phase", r.c.Facts().Guard.Phase, guard.Open)
	return fault
}

// The secret lies in a real file, whose watcher is no part of virtual time: this
// test runs on the wall clock, without a wait of its own.
func TestF06RotationOfTheSecretFileClosesTheBreaker(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("old-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := auth.NewRegistry().New(auth.Spec{Type: "bearer", Decode: func(into any) error {
		into.(*auth.BearerOptions).Token = auth.NewFileValue(path)
		return nil
	}}, auth.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Close)
	srv := backendtest.NewServer(t, rich(backendtest.WithRevision(modern), backendtest.WithToken("old-token"))...)
	rotated := make(chan struct{}, 1)
	c, err := backend.NewHTTPBackendClient(auth.NewRegistry(), backend.Options{
		Name: "weather", URL: srv.URL, Auth: source,
		AuthRetry: guard.Options{InitialWait: time.Millisecond, CoolDown: time.Hour, MaxCoolDown: time.Hour},
		Trace: &backend.Trace{Renewal: func(_ string, e auth.Event) {
			if e.Kind == auth.Rotated && e.Generation == 2 {
				rotated <- struct{}{}
			}
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	r := &rig{t: t, srv: srv, c: c, traced: &recorder{}}
	r.mustCall()
	srv.SetTokens("new-token")
	for range 5 {
		wantKind(t, r.call(t.Context()), backend.KindAuthRefused)
	}
	want(t, "phase", c.Facts().Guard.Phase, guard.Open)
	sends := r.sends("tools/call")
	if err := os.WriteFile(path, []byte("new-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	<-rotated
	r.mustCall()
	want(t, "sends", sends(), 1)
	want(t, "phase", c.Facts().Guard.Phase, guard.Closed)
	last, _ := srv.Last("tools/call")
	want(t, "credential", last.Credential, "new-token")
}

func TestF07HealedBackendClosesTheBreaker(t *testing.T) {
	t.Run("pass", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t, fixed(), rich(backendtest.WithRevision(modern)))
			r.open().Heal()
			sends := r.sends("tools/call")
			r.mustCall()
			want(t, "sends", sends(), 1)
			want(t, "phase", r.c.Facts().Guard.Phase, guard.Closed)
		})
	})
	t.Run("reject", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t, fixed(), rich(backendtest.WithRevision(modern)), guardOptions(guard.Options{WhenOpen: guard.Reject}))
			r.open().Heal()
			sends := r.sends("tools/call")
			for range 3 {
				e := wantKind(t, r.call(t.Context()), backend.KindBreakerOpen)
				want(t, "sentinel", errors.Is(e, backend.ErrAuthenticationFailed), true)
				want(t, "retry after given", e.RetryAfter > 0, true)
			}
			want(t, "sends while open", sends(), 0)
			time.Sleep(time.Until(r.c.Facts().Guard.NextProbe))
			r.mustCall()
			want(t, "sends", sends(), 1)
			want(t, "phase", r.c.Facts().Guard.Phase, guard.Closed)
		})
	})
}

func TestRejectUnderManyCallersSendsOneProbeAfterTheCoolDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const callers = 64
		r := newRig(t, fixed(), rich(backendtest.WithRevision(modern)), guardOptions(guard.Options{WhenOpen: guard.Reject}))
		fault := r.open()
		sends := r.sends("tools/call")
		for _, err := range all(callers, func(int) error { return r.call(t.Context()) }) {
			wantKind(t, err, backend.KindBreakerOpen)
		}
		want(t, "sends while cooling", sends(), 0)

		time.Sleep(time.Until(r.c.Facts().Guard.NextProbe))
		held := r.srv.Inject(backendtest.Latency(time.Second).ForMethod("tools/call"))
		errs := all(callers, func(int) error { return r.call(t.Context()) })
		rejected := 0
		for _, err := range errs {
			if e, ok := errors.AsType[*backend.Error](err); ok && e.Kind == backend.KindBreakerOpen {
				rejected++
			}
		}
		want(t, "rejected", rejected, callers-1)
		want(t, "phase", r.c.Facts().Guard.Phase, guard.Open)
		fault.Heal()
		held.Heal()
	})
}

func TestF08TokenServerDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newIssuerRig(t, rich(backendtest.WithRevision(modern)))
		r.mustCall()
		r.issuer.Fail(backendtest.Unavailable(), backendtest.Forever)
		r.issuer.Revoke()
		sends := r.sends("tools/call")
		e := wantKind(t, r.call(t.Context()), backend.KindRenewalUnavailable)
		want(t, "sends", sends(), 4)
		want(t, "sentinel", errors.Is(e, backend.ErrAuthenticationFailed), true)
		r.issuer.Heal()
		time.Sleep(30 * time.Second)
		r.mustCall()
	})
}

func TestF09GrantRefusedForGood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newIssuerRig(t, rich(backendtest.WithRevision(modern)))
		r.mustCall()
		r.issuer.Fail(backendtest.InvalidGrant(), backendtest.Forever)
		r.issuer.Revoke()
		sends, asked, took := r.sends("tools/call"), r.asked(), elapsed()
		e := wantKind(t, r.call(t.Context()), backend.KindGrantExpired)
		want(t, "sends", sends(), 1)
		want(t, "waited", took(), 0)
		want(t, "asked", asked(), 1)
		want(t, "count", r.c.Facts().Guard.Count, 1)
		want(t, "hint", strings.Contains(e.Hint(), "sign in again"), true)
		for range 4 {
			wantKind(t, r.call(t.Context()), backend.KindGrantExpired)
		}
		want(t, "asked once for this generation", asked(), 1)
		want(t, "phase", r.c.Facts().Guard.Phase, guard.Open)

		// The half-open probe asks once more: the client was mended meanwhile.
		r.issuer.Heal()
		time.Sleep(time.Until(r.c.Facts().Guard.NextProbe))
		r.mustCall()
		want(t, "asked", asked(), 2)
	})
}

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
		time.Sleep(10 * time.Second)
		wantKind(t, r.call(t.Context()), backend.KindAuthRefused)
		want(t, "renewals do not close it", r.c.Facts().Guard.Phase != guard.Closed, true)
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

func TestF22LostSessionTogetherWithARevokedCredential(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newIssuerRig(t, rich(backendtest.WithRevision(elder)))
		r.mustCall()
		mints, executions := r.mints(), r.executions()
		r.srv.DropSessions()
		r.issuer.Revoke()
		r.mustCall()
		want(t, "sessions opened", r.srv.Sessions(), 2)
		want(t, "renewals", mints(), 1)
		want(t, "executions", executions(), 1)
	})
}

func TestF22UnderManyCallers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const callers = 20
		r := newIssuerRig(t, rich(backendtest.WithRevision(elder)))
		r.mustCall()
		mints, executions := r.mints(), r.executions()
		r.srv.DropSessions()
		r.issuer.Revoke()
		if failed := failures(all(callers, func(int) error { return r.call(t.Context()) })); failed != nil {
			t.Fatalf("%d calls failed: %v", len(failed), failed[0])
		}
		want(t, "renewals", mints(), 1)
		want(t, "executions", executions(), callers)
		want(t, "sessions opened", r.srv.Sessions(), 2)
	})
}

func TestF24AlternatingBackendDoesNotHammerTheTokenServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newIssuerRig(t, rich(backendtest.WithRevision(modern)))
		r.mustCall()
		// Each first send of a call is refused, whatever it carries.
		odd := false
		r.srv.Inject(backendtest.Status(401, backendtest.Forever).ForMethod("tools/call").When(
			func(_ *http.Request, _ backendtest.Message) bool { odd = !odd; return odd }))
		asked, took := r.asked(), elapsed()
		for range 60 {
			r.mustCall()
		}
		most := int(took()/time.Second) + 3 // one a second, and a burst of three
		if n := asked(); n > most {
			t.Errorf("the token server was asked %d times in %v, want at most %d", n, took(), most)
		}
	})
}

func TestF25AnswersSoonAfterTheTokenServerIsBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newIssuerRig(t, rich(backendtest.WithRevision(modern)))
		r.mustCall()
		r.issuer.Fail(backendtest.Unavailable(), backendtest.Forever)
		r.issuer.Revoke()
		for until := time.Now().Add(10 * time.Minute); time.Now().Before(until); time.Sleep(time.Second) {
			if err := r.call(t.Context()); err == nil {
				t.Fatal("answered without a token")
			}
		}
		want(t, "phase", r.c.Facts().Guard.Phase, guard.Open)
		r.issuer.Heal()
		took := elapsed()
		for r.call(t.Context()) != nil {
			if took() > 30*time.Second {
				t.Fatal("no answer within 30 s")
			}
			time.Sleep(time.Second)
		}
	})
}

func TestF26ListsOpenAndEveryCallRefused(t *testing.T) {
	for _, revision := range []string{elder, modern} {
		t.Run(revision, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, fixed(), rich(backendtest.WithRevision(revision), backendtest.WithToken("another"), backendtest.WithGuardedCallsOnly()))
				for n := range 5 {
					want(t, "count", r.c.Facts().Guard.Count, n)
					wantKind(t, r.call(t.Context()), backend.KindAuthRefused)
					caps, err := r.c.ListCapabilities(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					want(t, "tools", len(caps.Tools), 1)
				}
				want(t, "phase", r.c.Facts().Guard.Phase, guard.Open)
				want(t, "calls only", r.c.Facts().Guard.CallsOnly, true)
				sends := r.sends("tools/call")
				wantKind(t, r.call(t.Context()), backend.KindAuthRefused)
				want(t, "sends while open", sends(), 1)
				if err := r.c.Probe(t.Context()); err != nil {
					t.Error(err)
				}
				want(t, "phase", r.c.Facts().Guard.Phase, guard.Open)
			})
		})
	}
}

func TestF27OneForbiddenToolHurtsOnlyItsCallers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), []backendtest.Option{backendtest.WithRevision(modern),
			backendtest.WithTool("echo", backendtest.Echo), backendtest.WithTool("admin", backendtest.Echo)})
		r.mustCall()
		r.srv.Inject(backendtest.Status(403, backendtest.Forever).ForName("admin"))
		sends := r.sends("tools/call")
		forbidden := make(chan error, 1)
		took := elapsed()
		go func() {
			_, err := r.c.CallTool(t.Context(), "admin", nil)
			forbidden <- err
		}()
		synctest.Wait()
		r.mustCall()
		want(t, "others waited", took(), 0)
		wantKind(t, <-forbidden, backend.KindAuthForbidden)
		want(t, "its caller waited", took(), 700*time.Millisecond)
		want(t, "sends", sends(), 5)
		want(t, "phase", r.c.Facts().Guard.Phase, guard.Closed)
		want(t, "count", r.c.Facts().Guard.Count, 0)
	})
}

func TestF28ShortDeadlinesStillOpenTheBreaker(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(modern)))
		r.mustCall()
		r.refuse("tools/call", backendtest.Forever)
		for n := 0; r.c.Facts().Guard.Phase != guard.Open; n++ {
			if n > 50 {
				t.Fatal("the breaker stays closed")
			}
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			if r.call(ctx) == nil {
				t.Fatal("answered")
			}
			cancel()
		}
	})
}

func TestF29TwoBackendsShareOneCredential(t *testing.T) {
	bubble(t, func(t *testing.T) {
		issuer := backendtest.NewIssuer(t, backendtest.WithPipe())
		source := clientCredentials(t, issuer)
		var rigs []*rig
		for range 2 {
			rigs = append(rigs, newRig(t, nil, rich(backendtest.WithRevision(modern), backendtest.WithBearer(issuer)),
				func(o *backend.Options) { o.Auth = source }))
		}
		for _, r := range rigs {
			r.mustCall()
		}
		want(t, "first token", issuer.Mints(), 1)
		issuer.Revoke()
		if failed := failures(all(20, func(i int) error { return rigs[i%2].call(t.Context()) })); failed != nil {
			t.Fatal(failed[0])
		}
		want(t, "renewals", issuer.Mints(), 2)
		want(t, "token requests", issuer.Requests(), 2)
		for _, r := range rigs {
			want(t, "second token seen", r.srv.ByToken(2) >= 10, true)
		}
	})
}

func TestF30OpenBreakerCoolDownOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const callers = 1000
		r := newRig(t, fixed(), rich(backendtest.WithRevision(modern)))
		r.open()
		time.Sleep(time.Until(r.c.Facts().Guard.NextProbe))
		sends := r.sends("tools/call")
		slow := 0
		waited := make([]time.Duration, callers)
		errs := all(callers, func(i int) error {
			began := time.Now()
			defer func() { waited[i] = time.Since(began) }()
			return r.call(t.Context())
		})
		for i, err := range errs {
			wantKind(t, err, backend.KindAuthRefused)
			if waited[i] > 0 {
				slow++
			}
		}
		want(t, "calls that waited", slow, 1)
		want(t, "sends", sends(), callers+3)
	})
}

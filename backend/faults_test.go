package backend_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/guard"
)

// The faults of docs/guard.md, met by a client, each by its number: a credential
// that is refused, and a token server that does not help.

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
		sends = r.sends("tools/call")
		errs := all(callers, func(int) error { return r.call(t.Context()) })
		rejected := 0
		for _, err := range errs {
			if e, ok := errors.AsType[*backend.Error](err); ok && e.Kind == backend.KindBreakerOpen {
				rejected++
			}
		}
		want(t, "rejected", rejected, callers-1)
		want(t, "sends of the one that probes", sends(), 4)
		want(t, "phase", r.c.Facts().Guard.Phase, guard.Open)
		fault.Heal()
		held.Heal()
	})
}

// Nothing is renewed for a call that meets an open breaker. It fails for the same
// reason as those that opened it.
func TestAnOpenBreakerNamesWhyNothingWasRenewed(t *testing.T) {
	for kind, failure := range map[backend.Kind]backendtest.TokenFailure{
		backend.KindRenewalUnavailable: backendtest.Unavailable(), backend.KindGrantExpired: backendtest.InvalidClient(),
	} {
		bubble(t, func(t *testing.T) {
			r := newIssuerRig(t, rich(backendtest.WithRevision(modern)))
			r.mustCall()
			r.issuer.Fail(failure, backendtest.Forever)
			r.issuer.Revoke()
			for range 5 {
				wantKind(t, r.call(t.Context()), kind)
			}
			want(t, "phase", r.c.Facts().Guard.Phase, guard.Open)
			sends := r.sends("tools/call")
			wantKind(t, r.call(t.Context()), kind)
			want(t, "sends", sends(), 1)
		})
	}
}

func TestF08TokenServerDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newIssuerRig(t, rich(backendtest.WithRevision(modern)))
		r.mustCall()
		r.issuer.Fail(backendtest.Unavailable(), backendtest.Forever)
		r.issuer.Revoke()
		sends, asked, took := r.sends("tools/call"), r.asked(), elapsed()
		e := wantKind(t, r.call(t.Context()), backend.KindRenewalUnavailable)
		want(t, "sends", sends(), 4)
		want(t, "waited", took(), 700*time.Millisecond)
		want(t, "asked, once a step", asked(), 3)
		want(t, "count", r.c.Facts().Guard.Count, 1)
		want(t, "sentinel", errors.Is(e, backend.ErrAuthenticationFailed), true)
		for range 3 { // also where the limit keeps the token server from being asked
			wantKind(t, r.call(t.Context()), backend.KindRenewalUnavailable)
		}
		want(t, "sends", sends(), 16)
		if n, most := asked(), 2*int(took()/time.Second)+4; n > most { // callers' and background
			t.Errorf("the token server was asked %d times in %v, want at most %d", n, took(), most)
		}
		r.issuer.Heal()
		time.Sleep(30 * time.Second)
		mints := r.mints()
		r.mustCall()
		want(t, "sends of the next call", sends(), 17)
		want(t, "renewed without it", mints(), 0)
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

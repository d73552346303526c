package backend_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/guard"
)

// More faults by their number: those that a clock decides.

// The file itself is watched in TestF06RotationOfTheSecretFileClosesTheBreaker;
// what a change of it means is shown here, in virtual time.
func TestF06RotationIsAnsweredAtOnce(t *testing.T) {
	for _, mode := range []guard.WhenOpen{guard.Pass, guard.Reject} {
		t.Run(string(mode), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, fixed(), rich(backendtest.WithRevision(modern), backendtest.WithToken("static-token")),
					guardOptions(guard.Options{WhenOpen: mode}))
				r.mustCall()
				r.srv.SetTokens("new-token")
				for range 5 {
					wantKind(t, r.call(t.Context()), backend.KindAuthRefused)
				}
				want(t, "phase", r.c.Facts().Guard.Phase, guard.Open)
				sends, took := r.sends("tools/call"), elapsed()
				r.tokens.set("new-token")
				if o, err := r.source.Rotate(t.Context()); o != auth.New || err != nil {
					t.Fatal(o, err)
				}
				want(t, "phase before any call", r.c.Facts().Guard.Phase, guard.Closed)
				r.mustCall()
				want(t, "sends", sends(), 1)
				want(t, "waited", took(), 0)
				last, _ := r.srv.Last("tools/call")
				want(t, "credential", last.Credential, "new-token")
			})
		})
	}
}

// Those who wait in a recovery when the secret changes are answered at once.
func TestF06RotationReleasesThoseWhoWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const callers = 20
		r := newRig(t, fixed(), rich(backendtest.WithRevision(modern), backendtest.WithToken("static-token")))
		r.mustCall()
		r.srv.SetTokens("new-token")
		sends, took := r.sends("tools/call"), elapsed()
		done := make(chan []error)
		go func() { done <- all(callers, func(int) error { return r.call(t.Context()) }) }()
		time.Sleep(50 * time.Millisecond)
		r.tokens.set("new-token")
		if o, err := r.source.Rotate(t.Context()); o != auth.New || err != nil {
			t.Fatal(o, err)
		}
		if failed := failures(<-done); failed != nil {
			t.Fatalf("%d calls failed: %v", len(failed), failed[0])
		}
		want(t, "waited", took(), 50*time.Millisecond)
		want(t, "sends", sends(), 2*callers)
		want(t, "count", r.c.Facts().Guard.Count, 0)
	})
}

func TestF14HangingProbeUnderReject(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(modern)), guardOptions(guard.Options{WhenOpen: guard.Reject}))
		r.open().Heal()
		time.Sleep(time.Until(r.c.Facts().Guard.NextProbe))
		held := r.srv.Inject(backendtest.Hang(1).ForMethod("tools/call"))
		probe := make(chan error, 1)
		go func() { probe <- r.call(t.Context()) }()
		synctest.Wait()
		sends, took := r.sends("tools/call"), elapsed()
		for range 14 {
			wantKind(t, r.call(t.Context()), backend.KindBreakerOpen)
			time.Sleep(time.Second)
		}
		want(t, "phase", r.c.Facts().Guard.Phase, guard.HalfOpen)
		time.Sleep(time.Second + time.Millisecond)
		want(t, "the lease ended", r.c.Facts().Guard.Phase, guard.Open)
		want(t, "after", took(), 15*time.Second+time.Millisecond)
		wantKind(t, r.call(t.Context()), backend.KindBreakerOpen)
		want(t, "sends beside the probe", sends(), 0)
		time.Sleep(time.Until(r.c.Facts().Guard.NextProbe))
		r.mustCall() // somebody else probes
		want(t, "phase", r.c.Facts().Guard.Phase, guard.Closed)
		held.Heal()
		if err := <-probe; err != nil {
			t.Error(err)
		}
	})
}

// A jump of the wall clock cannot be made in a test. What makes it harmless can
// be seen: every time that decides something carries a reading of the monotonic
// clock, and Go compares times by that where both have it. This test runs on the
// real clock, because virtual time has no such reading, and waits for nothing.
func TestF21JumpOfTheWallClockDecidesNothing(t *testing.T) {
	issuer := backendtest.NewIssuer(t, backendtest.WithPipe(), backendtest.WithTTL(time.Hour))
	srv := backendtest.NewServer(t, rich(backendtest.WithPipe(), backendtest.WithRevision(modern), backendtest.WithBearer(issuer))...)
	c, err := backend.NewHTTPBackendClient(auth.NewRegistry(), backend.Options{
		Name: "weather", URL: srv.URL, Dial: srv.Dial, Auth: clientCredentials(t, issuer),
		AuthRetry: guard.Options{InitialWait: time.Millisecond, OpenAfter: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	r := &rig{t: t, srv: srv, c: c, traced: &recorder{}}
	measured := func(what string, at time.Time) {
		t.Helper()
		if at.IsZero() || at == at.Round(0) { // Round strips the monotonic reading
			t.Errorf("%s is %v: a time of the wall clock", what, at)
		}
	}
	for range 10 {
		r.mustCall()
	}
	f := c.Facts().Credential
	measured("issued", f.Issued)
	measured("expires", f.Expires)
	want(t, "lifetime", f.Expires.Sub(f.Issued), time.Hour)
	want(t, "renewals", issuer.Mints(), 1)
	want(t, "sends", srv.Requests("tools/call"), 10)

	issuer.WrongAudience(true)
	issuer.Revoke()
	wantKind(t, r.call(t.Context()), backend.KindAuthRefused)
	g := c.Facts().Guard
	want(t, "phase", g.Phase, guard.Open)
	measured("since", g.Since)
	measured("opened at", g.OpenedAt)
	measured("next probe", g.NextProbe)
	measured("issued", c.Facts().Credential.Issued)
	measured("last renewal", c.Facts().Credential.LastRenewal.At)
}

// The background tries go on for those who are only rejected, and what they find
// ends the cool-down however long it is.
func TestF25UnderRejectAndAnEndlessCoolDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const long = 24 * time.Hour
		r := newIssuerRig(t, rich(backendtest.WithRevision(modern)),
			guardOptions(guard.Options{WhenOpen: guard.Reject, CoolDown: long, MaxCoolDown: long}))
		r.mustCall()
		r.issuer.Fail(backendtest.Unavailable(), backendtest.Forever)
		r.issuer.Revoke()
		for range 5 {
			wantKind(t, r.call(t.Context()), backend.KindRenewalUnavailable)
		}
		sends := r.sends("tools/call")
		for until := time.Now().Add(10 * time.Minute); time.Now().Before(until); time.Sleep(5 * time.Second) {
			wantKind(t, r.call(t.Context()), backend.KindBreakerOpen)
		}
		want(t, "sends while open", sends(), 0)
		r.issuer.Heal()
		asked, mints, took := r.asked(), r.mints(), elapsed()
		for r.call(t.Context()) != nil {
			if took() > 30*time.Second {
				t.Fatal("no answer within 30 s")
			}
			time.Sleep(time.Second)
		}
		want(t, "sends", sends(), 1)
		want(t, "token requests", asked(), 1)
		want(t, "renewals", mints(), 1)
		want(t, "phase", r.c.Facts().Guard.Phase, guard.Closed)
	})
}

// A token is renewed ahead of its time: calls never meet its end.
func TestTokensAreRenewedBeforeTheyExpire(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newIssuerRig(t, rich(backendtest.WithRevision(modern)))
		r.issuer.SetTTL(time.Minute)
		took := elapsed()
		for range 600 {
			r.mustCall()
			time.Sleep(time.Second)
		}
		want(t, "refusals", r.srv.Refused(""), 0)
		if n, most := r.issuer.Mints(), 1+int(took()/(42*time.Second)); n < 10 || n > most {
			t.Errorf("%d tokens in %v, want one in 42 to 48 s", n, took())
		}
		want(t, "sends", r.srv.Requests("tools/call"), 600)
	})
}

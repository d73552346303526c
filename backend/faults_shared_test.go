package backend_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/guard"
)

// The last faults by their number: what is lost, shared, or only half refused.

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

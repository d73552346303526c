package backend_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/guard"
)

// The nine promises, for every method of BackendClient, in both eras. fixed is a
// credential that does not change when it is read again.
func fixed() *tokens { return &tokens{token: "static-token"} }

func TestAcceptedRequestIsSentOnce(t *testing.T) {
	eachOperation(t, fixed, func(t *testing.T, r *rig, op operation) {
		sends, renewals := r.sends(op.request), r.renewals()
		if err := op.run(t.Context(), r.c); err != nil {
			t.Fatal(err)
		}
		want(t, "sends", sends(), 1)
		want(t, "renewals", renewals(), 0)
	})
}

func TestOneRefusalIsRenewedAndAnsweredWithoutAWait(t *testing.T) {
	eachOperation(t, minting, func(t *testing.T, r *rig, op operation) {
		sends, renewals, took := r.sends(op.request), r.renewals(), elapsed()
		r.refuse(op.request, 1)
		if err := op.run(t.Context(), r.c); err != nil {
			t.Fatal(err)
		}
		want(t, "sends", sends(), 2)
		want(t, "renewals", renewals(), 1)
		want(t, "waited", took(), 0)
		last, _ := r.srv.Last(op.request)
		want(t, "credential", last.Credential, r.tokens.token)
	})
}

func TestOneRefusalOfAFixedCredentialIsAnsweredAfterTheFirstWait(t *testing.T) {
	eachOperation(t, fixed, func(t *testing.T, r *rig, op operation) {
		sends, took := r.sends(op.request), elapsed()
		r.refuse(op.request, 1)
		if err := op.run(t.Context(), r.c); err != nil {
			t.Fatal(err)
		}
		want(t, "sends", sends(), 2)
		want(t, "waited", took(), 100*time.Millisecond)
	})
}

func TestLastingRefusalIsSentFourTimes(t *testing.T) {
	eachOperation(t, fixed, func(t *testing.T, r *rig, op operation) {
		sends, took := r.sends(op.request), elapsed()
		r.refuse(op.request, backendtest.Forever)
		e := wantKind(t, op.run(t.Context(), r.c), backend.KindAuthRefused)
		want(t, "sends", sends(), 4)
		want(t, "waited", took(), 700*time.Millisecond)
		want(t, "attempts", e.Attempts, 4)
		want(t, "status", e.Status, 401)
		want(t, "challenge", e.Challenge.Error, "invalid_token")
		want(t, "sentinel", errors.Is(e, backend.ErrAuthenticationFailed), true)
		want(t, "other sentinel", errors.Is(e, backend.ErrBackendUnavailable), false)
		want(t, "count", r.c.Facts().Guard.Count, 1)
	})
}

func TestOtherFailureIsSentOnce(t *testing.T) {
	eachOperation(t, fixed, func(t *testing.T, r *rig, op operation) {
		for _, status := range []int{500, 502, 503, 504} {
			sends, renewals := r.sends(op.request), r.renewals()
			r.srv.Inject(backendtest.Status(status, 1).ForMethod(op.request))
			e := wantKind(t, op.run(t.Context(), r.c), backend.KindServerError)
			want(t, "sends", sends(), 1)
			want(t, "renewals", renewals(), 0)
			want(t, "status", e.Status, status)
			want(t, "sentinel", errors.Is(e, backend.ErrBackendUnavailable), true)
			want(t, "other sentinel", errors.Is(e, backend.ErrAuthenticationFailed), false)
		}
	})
}

func TestFiveExhaustedSequencesOpenTheBreaker(t *testing.T) {
	eachOperation(t, fixed, func(t *testing.T, r *rig, op operation) {
		r.refuse(op.request, backendtest.Forever)
		for n := range 5 {
			want(t, "phase", r.c.Facts().Guard.Phase, guard.Closed)
			want(t, "count", r.c.Facts().Guard.Count, n)
			sends := r.sends(op.request)
			wantKind(t, op.run(t.Context(), r.c), backend.KindAuthRefused)
			want(t, "sends", sends(), 4)
		}
		want(t, "phase", r.c.Facts().Guard.Phase, guard.Open)
		want(t, "transitions", len(r.traced.transitions), 1)

		// Open: exactly one send, at once.
		for range 3 {
			sends, took := r.sends(op.request), elapsed()
			wantKind(t, op.run(t.Context(), r.c), backend.KindAuthRefused)
			want(t, "sends while open", sends(), 1)
			want(t, "waited", took(), 0)
		}
		want(t, "transitions", len(r.traced.transitions), 1)
	})
}

func TestSuccessClosesTheBreakerAndClearsTheCount(t *testing.T) {
	eachOperation(t, fixed, func(t *testing.T, r *rig, op operation) {
		refusing := r.refuse(op.request, backendtest.Forever)
		for range 4 {
			wantKind(t, op.run(t.Context(), r.c), backend.KindAuthRefused)
		}
		refusing.Heal()
		if err := op.run(t.Context(), r.c); err != nil {
			t.Fatal(err)
		}
		want(t, "count", r.c.Facts().Guard.Count, 0)

		refusing = r.refuse(op.request, backendtest.Forever)
		for range 5 {
			wantKind(t, op.run(t.Context(), r.c), backend.KindAuthRefused)
		}
		want(t, "phase", r.c.Facts().Guard.Phase, guard.Open)
		refusing.Heal()
		if err := op.run(t.Context(), r.c); err != nil {
			t.Fatal(err)
		}
		want(t, "phase", r.c.Facts().Guard.Phase, guard.Closed)
		want(t, "count", r.c.Facts().Guard.Count, 0)
	})
}

func TestConcurrentCallersShareOneRecovery(t *testing.T) {
	eachOperation(t, minting, func(t *testing.T, r *rig, op operation) {
		const callers = 20
		old := r.tokens.token
		sends, renewals, took := r.sends(op.request), r.renewals(), elapsed()
		r.srv.Inject(backendtest.Status(401, backendtest.Forever).ForMethod(op.request).When(carries(old)))
		if failed := failures(all(callers, func(int) error { return op.run(t.Context(), r.c) })); failed != nil {
			t.Fatalf("%d of %d failed: %v", len(failed), callers, failed[0])
		}
		want(t, "renewals", renewals(), 1)
		want(t, "waited", took(), 0)
		want(t, "count", r.c.Facts().Guard.Count, 0)
		if n := sends(); n > 2*callers {
			t.Errorf("sends: got %d, want at most %d", n, 2*callers)
		}
	})
}

func TestConcurrentCallersOfALastingRefusalCountOnce(t *testing.T) {
	eachOperation(t, fixed, func(t *testing.T, r *rig, op operation) {
		const callers = 20
		sends := r.sends(op.request)
		r.refuse(op.request, backendtest.Forever)
		errs := all(callers, func(int) error { return op.run(t.Context(), r.c) })
		for _, err := range errs {
			wantKind(t, err, backend.KindAuthRefused)
		}
		want(t, "count", r.c.Facts().Guard.Count, 1)
		if n := sends(); n > callers+3 {
			t.Errorf("sends: got %d, want at most %d", n, callers+3)
		}
	})
}

func TestDeadlineInAWaitGivesBothErrors(t *testing.T) {
	eachOperation(t, fixed, func(t *testing.T, r *rig, op operation) {
		sends, took := r.sends(op.request), elapsed()
		r.refuse(op.request, backendtest.Forever)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := op.run(ctx, r.c)
		want(t, "context error", errors.Is(err, context.DeadlineExceeded), true)
		want(t, "sentinel", errors.Is(err, backend.ErrAuthenticationFailed), true)
		want(t, "sends", sends(), 1)
		want(t, "waited", took(), 50*time.Millisecond)
		want(t, "count", r.c.Facts().Guard.Count, 0)
	})
}

func TestCancelInAWaitGivesBothErrors(t *testing.T) {
	eachOperation(t, fixed, func(t *testing.T, r *rig, op operation) {
		r.refuse(op.request, backendtest.Forever)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		time.AfterFunc(250*time.Millisecond, cancel)
		sends := r.sends(op.request)
		err := op.run(ctx, r.c)
		want(t, "context error", errors.Is(err, context.Canceled), true)
		want(t, "sentinel", errors.Is(err, backend.ErrAuthenticationFailed), true)
		want(t, "sends", sends(), 2)
	})
}

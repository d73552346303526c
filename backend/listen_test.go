package backend_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/guard"
)

// listener runs Listen until stop is called, and keeps what it was told.
type listener struct {
	told chan string
	stop context.CancelFunc
	done chan error
}

func (r *rig) listen() *listener {
	ctx, stop := context.WithCancel(r.t.Context())
	l := &listener{told: make(chan string, 100), stop: stop, done: make(chan error, 1)}
	go func() { l.done <- r.c.Listen(ctx, func(method string) { l.told <- method }) }()
	r.t.Cleanup(stop)
	synctest.Wait()
	return l
}

// heard returns what was told since the last time.
func (l *listener) heard() (all []string) {
	synctest.Wait()
	for {
		select {
		case m := <-l.told:
			all = append(all, m)
		default:
			return all
		}
	}
}

// established counts the streams that were opened, to whichever backend.
func established(all []string) int { return count(all, "") + count(all, backend.Restarted) }

func count(all []string, method string) (n int) {
	for _, m := range all {
		if m == method {
			n++
		}
	}
	return n
}

const toolsChanged = "notifications/tools/list_changed"

// standing is the request that carries the stream.
func standing(revision string) string {
	if revision == modern {
		return "subscriptions/listen"
	}
	return backendtest.MethodGet
}

func eachEra(t *testing.T, test func(t *testing.T, revision string)) {
	for _, revision := range []string{elder, modern} {
		t.Run(revision, func(t *testing.T) {
			bubble(t, func(t *testing.T) { test(t, revision) })
		})
	}
}

func TestListenerIsToldOfChanges(t *testing.T) {
	eachEra(t, func(t *testing.T, revision string) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(revision)))
		l := r.listen()
		want(t, "established", count(l.heard(), ""), 1)
		r.srv.AddTool(backendtest.Tool{Name: "new"})
		time.Sleep(time.Second)
		if n := count(l.heard(), toolsChanged); n == 0 {
			t.Error("nothing was told of a new tool")
		}
		time.Sleep(24 * time.Hour) // silence is no reason to end
		want(t, "requests", r.srv.Requests(standing(revision)), 1)
		l.stop()
		want(t, "ends with its context", errors.Is(<-l.done, context.Canceled), true)
		want(t, "calls in flight", r.c.Facts().InFlight, 0)
	})
}

func TestF23StreamRefusedAtReconnectComesBack(t *testing.T) {
	eachEra(t, func(t *testing.T, revision string) {
		r := newIssuerRig(t, rich(backendtest.WithRevision(revision)))
		l := r.listen()
		want(t, "established", count(l.heard(), ""), 1)
		mints, sends := r.mints(), r.sends(standing(revision))
		r.issuer.Revoke()
		r.srv.Down()
		if err := r.srv.Up(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		want(t, "established again", established(l.heard()), 1)
		want(t, "renewals", mints(), 1)
		want(t, "sends", sends(), 2)
		want(t, "nothing counted", r.c.Facts().Guard.Count, 0)
		sends = r.sends("tools/call")
		r.mustCall()
		want(t, "calls unaffected", sends(), 1)
		want(t, "renewals", mints(), 1)
		r.srv.AddTool(backendtest.Tool{Name: "new"})
		time.Sleep(time.Second)
		want(t, "told again", count(l.heard(), toolsChanged) > 0, true)
	})
}

func TestStreamRefusedForGoodNeverOpensTheBreaker(t *testing.T) {
	eachEra(t, func(t *testing.T, revision string) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(revision)))
		r.mustCall()
		r.refuse(standing(revision), backendtest.Forever)
		r.listen()
		time.Sleep(time.Hour)
		want(t, "phase", r.c.Facts().Guard.Phase, guard.Closed)
		want(t, "count", r.c.Facts().Guard.Count, 0)
		// One try every 30 s at most, a little earlier at the start.
		if n := r.srv.Requests(standing(revision)); n > 140 || n < 90 {
			t.Errorf("%d tries in an hour", n)
		}
		sends := r.sends("tools/call")
		r.mustCall()
		want(t, "calls unaffected", sends(), 1)
	})
}

func TestListenerComesBackAfterAnOutage(t *testing.T) {
	eachEra(t, func(t *testing.T, revision string) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(revision), backendtest.WithDown()))
		l := r.listen()
		time.Sleep(10 * time.Minute)
		want(t, "established", len(l.heard()), 0)
		if err := r.srv.Up(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(36 * time.Second)
		want(t, "established", count(l.heard(), ""), 1)
		r.srv.DropSessions()
		time.Sleep(2 * time.Second)
		want(t, "established again", established(l.heard()), map[string]int{elder: 1, modern: 0}[revision])
	})
}

// A server of an elder revision tells of updates on the standing stream alone.
func TestWhatWasUpdatedBeforeTheFirstStreamIsReported(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const uri = "file:///notes"
		r := newRig(t, fixed(), rich(backendtest.WithRevision(elder), backendtest.WithSubscriptions()))
		var updates atomic.Int32
		defer r.c.Watch(uri, func([]byte) { updates.Add(1) })()
		if err := r.srv.WaitSubscriptions(t.Context(), uri, 1); err != nil {
			t.Fatal(err)
		}
		if err := r.srv.UpdateResource(uri, "second"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		want(t, "updates without a stream", int(updates.Load()), 0)
		r.listen()
		time.Sleep(time.Minute)
		want(t, "updates", int(updates.Load()), 1)
	})
}

func TestBackendWithoutAStreamIsAskedSeldom(t *testing.T) {
	eachEra(t, func(t *testing.T, revision string) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(revision)))
		refusal := backendtest.Status(405, backendtest.Forever)
		if revision == modern {
			refusal = backendtest.Status(404, backendtest.Forever).RPCError(-32601, "no such method", nil)
		}
		r.srv.Inject(refusal.ForMethod(standing(revision)))
		l := r.listen()
		time.Sleep(time.Hour)
		want(t, "established", len(l.heard()), 0)
		if n := r.srv.Requests(standing(revision)); n > 13 {
			t.Errorf("%d tries in an hour", n)
		}
	})
}

func TestCloseEndsAListener(t *testing.T) {
	eachEra(t, func(t *testing.T, revision string) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(revision)))
		l := r.listen()
		if err := r.c.Close(); err != nil {
			t.Fatal(err)
		}
		wantKind(t, <-l.done, backend.KindClosed)
		wantKind(t, r.call(t.Context()), backend.KindClosed)
		wantKind(t, r.c.Probe(t.Context()), backend.KindClosed)
		wantKind(t, r.c.Listen(t.Context(), func(string) {}), backend.KindClosed)
	})
}

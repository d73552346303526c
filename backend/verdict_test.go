package backend_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/guard"
)

// One row for each kind of answer: what it proves, how often a call is sent that
// always gets it, what the caller sees. The credential was accepted before.
func TestVerdictIsDecidedByTheAnswerAlone(t *testing.T) {
	no := false
	type row struct {
		name    string
		answer  backendtest.Fault
		options guard.Options
		verdict guard.Verdict
		sends   int
		kind    backend.Kind // 0: a JSON-RPC error, passed on
		count   int
	}
	status := func(code int) backendtest.Fault { return backendtest.Status(code, backendtest.Forever) }
	rows := []row{
		{"401", status(401), guard.Options{}, guard.Refused, 4, backend.KindAuthRefused, 1},
		{"401 invalid_token", status(401).Challenge("invalid_token"), guard.Options{}, guard.Refused, 4, backend.KindAuthRefused, 1},
		{"401 insufficient_scope", status(401).Challenge("insufficient_scope"), guard.Options{}, guard.Refused, 4, backend.KindAuthRefused, 1},
		{"401 invalid_request", status(401).Challenge("invalid_request"), guard.Options{}, guard.Invalid, 1, backend.KindAuthRefused, 1},
		{"401 other scheme", status(401).Header("WWW-Authenticate", `Basic realm="x"`), guard.Options{}, guard.Refused, 4, backend.KindAuthRefused, 1},
		{"401 broken challenge", status(401).Header("WWW-Authenticate", `Bearer ="",,= error`), guard.Options{}, guard.Refused, 4, backend.KindAuthRefused, 1},
		{"401 with a JSON-RPC error", status(401).RPCError(-32000, "no", nil), guard.Options{}, guard.Refused, 4, backend.KindAuthRefused, 1},
		{"403", status(403), guard.Options{}, guard.Denied, 4, backend.KindAuthForbidden, 0},
		{"403, retryOn403 off", status(403), guard.Options{RetryOn403: &no}, guard.Denied, 1, backend.KindAuthForbidden, 0},
		{"403 text", status(403).Body("access denied"), guard.Options{}, guard.Denied, 4, backend.KindAuthForbidden, 0},
		{"403 JSON of another kind", status(403).Header("Content-Type", "application/json").Body(`{"error":"no"}`), guard.Options{}, guard.Denied, 4, backend.KindAuthForbidden, 0},
		{"403 JSON-RPC error", status(403).RPCError(-32000, "not your session", nil), guard.Options{}, guard.Neutral, 1, 0, 0},
		{"403 insufficient_scope", status(403).Challenge("insufficient_scope", "write"), guard.Options{}, guard.Scope, 1, backend.KindScopeMissing, 0},
		{"403 insufficient_scope with a JSON-RPC error", status(403).Challenge("insufficient_scope").RPCError(-32000, "no", nil), guard.Options{}, guard.Scope, 1, backend.KindScopeMissing, 0},
		{"404", status(404), guard.Options{}, guard.Neutral, 1, backend.KindProtocolError, 0},
		{"404 JSON-RPC error", status(404).RPCError(-32601, "no such method", nil), guard.Options{}, guard.Neutral, 1, 0, 0},
		{"500 JSON-RPC error", status(500).RPCError(-32603, "unauthorized", nil), guard.Options{}, guard.Neutral, 1, backend.KindServerError, 0},
		{"502 that speaks of 401", status(502).Body("upstream said 401 Unauthorized").Header("WWW-Authenticate", "Bearer"), guard.Options{}, guard.Neutral, 1, backend.KindServerError, 0},
	}
	for code := 300; code < 600; code++ {
		kind := backend.KindProtocolError
		switch {
		case code == 401 || code == 403 || code == 404:
			continue
		case code == 429 || code >= 500:
			kind = backend.KindServerError
		}
		rows = append(rows, row{fmt.Sprint("any ", code), status(code), guard.Options{}, guard.Neutral, 1, kind, 0})
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				r := newRig(t, fixed(), rich(backendtest.WithRevision(modern)), guardOptions(row.options))
				r.mustCall()
				sends, executions := r.sends("tools/call"), r.executions()
				r.srv.Inject(row.answer.ForMethod("tools/call"))
				err := r.call(t.Context())
				want(t, "sends", sends(), row.sends)
				want(t, "executions", executions(), 0)
				last := r.traced.results[len(r.traced.results)-1]
				want(t, "verdict", last.Verdict, row.verdict)
				want(t, "count", r.c.Facts().Guard.Count, row.count)
				want(t, "phase", r.c.Facts().Guard.Phase, guard.Closed)
				if row.kind == 0 {
					if _, ok := err.(*backend.RPCError); !ok {
						t.Fatalf("got %v (%T), want the JSON-RPC error", err, err)
					}
					return
				}
				e := wantKind(t, err, row.kind)
				want(t, "status", e.Status, last.Status)
				want(t, "backend's words kept out", strings.Contains(e.Error(), "denied"), false)
			})
		})
	}
}

func TestAcceptedIsEveryStatusOf2xx(t *testing.T) {
	for code := 200; code < 300; code++ {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				r := newRig(t, fixed(), rich(backendtest.WithRevision(modern)))
				r.mustCall()
				r.refuse("tools/call", backendtest.Forever).Heal()
				r.srv.Inject(backendtest.Status(code, 1).ForMethod("tools/call"))
				_ = r.call(t.Context()) // most of these have no answer to read
				want(t, "verdict", r.traced.results[len(r.traced.results)-1].Verdict, guard.Accepted)
			})
		})
	}
}

func TestNewCredentialDeniedWith403IsRetriedLikeARefusal(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(modern)))
		if err := r.c.Ping(t.Context()); err != nil { // accepted for lists only
			t.Fatal(err)
		}
		sends, took := r.sends("tools/call"), elapsed()
		r.srv.Inject(backendtest.Status(403, backendtest.Forever).ForMethod("tools/call"))
		e := wantKind(t, r.call(t.Context()), backend.KindAuthRefused)
		want(t, "status", e.Status, 403)
		want(t, "sends", sends(), 4)
		want(t, "waited", took(), 700*time.Millisecond)
		want(t, "count", r.c.Facts().Guard.Count, 1)
	})
}

func TestMaxRetriesBoundsTheSends(t *testing.T) {
	for n := range 4 {
		bubble(t, func(t *testing.T) {
			r := newRig(t, fixed(), rich(backendtest.WithRevision(modern)), guardOptions(guard.Options{MaxRetries: &n}))
			r.mustCall()
			sends := r.sends("tools/call")
			r.refuse("tools/call", backendtest.Forever)
			wantKind(t, r.call(t.Context()), backend.KindAuthRefused)
			want(t, "sends", sends(), n+1)
		})
	}
}

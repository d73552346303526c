package backend_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/wire"
)

// The transport of 2024-11-05.

func overSSE(o *backend.Options) { o.Transport = backend.TransportSSE }

func legacy(opts ...backendtest.Option) []backendtest.Option {
	return rich(append([]backendtest.Option{backendtest.WithLegacySSE()}, opts...)...)
}

// eachLegacyOperation runs a test for every method, with a session that is open.
func eachLegacyOperation(t *testing.T, st func() *tokens, test func(t *testing.T, r *rig, op operation)) {
	t.Helper()
	for _, op := range operations(elder) {
		t.Run(op.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, st(), legacy(), overSSE)
				if err := op.run(t.Context(), r.c); err != nil {
					t.Fatalf("warm-up: %v", err)
				}
				test(t, r, op)
				want(t, "sessions", r.srv.Sessions(), 1)
			})
		})
	}
}

func TestLegacyServerAnswersEveryMethod(t *testing.T) {
	for name, flavour := range map[string]backendtest.Option{"sdk": backendtest.WithSDK(), "mcp-go": backendtest.WithMCPGo()} {
		for _, op := range operations(elder) {
			t.Run(name+"/"+op.name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					r := newRig(t, fixed(), legacy(flavour), overSSE)
					for range 3 {
						if err := op.run(t.Context(), r.c); err != nil {
							t.Fatal(err)
						}
					}
					want(t, "sends", r.srv.Requests(op.request), 3)
					want(t, "sessions", r.srv.Sessions(), 1)
					want(t, "probes", r.srv.Requests("server/discover"), 0)
					want(t, "revision", string(r.c.Facts().Revision), elder)
					for _, x := range r.srv.Exchanges() {
						want(t, "credential of "+x.Method, x.Credential, "static-token")
					}
				})
			})
		}
	}
}

// The promises of the origin hold here, too.
func TestLegacyRefusalIsRenewedAndAnsweredWithoutAWait(t *testing.T) {
	eachLegacyOperation(t, minting, func(t *testing.T, r *rig, op operation) {
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

func TestLegacyRefusalOfAFixedCredentialIsAnsweredAfterTheFirstWait(t *testing.T) {
	eachLegacyOperation(t, fixed, func(t *testing.T, r *rig, op operation) {
		sends, took := r.sends(op.request), elapsed()
		r.refuse(op.request, 1)
		if err := op.run(t.Context(), r.c); err != nil {
			t.Fatal(err)
		}
		want(t, "sends", sends(), 2)
		want(t, "waited", took(), 100*time.Millisecond)
	})
}

func TestLegacyLastingRefusalIsSentFourTimesAndOpensTheBreaker(t *testing.T) {
	eachLegacyOperation(t, fixed, func(t *testing.T, r *rig, op operation) {
		r.refuse(op.request, backendtest.Forever)
		for n := range 5 {
			want(t, "count", r.c.Facts().Guard.Count, n)
			sends, took := r.sends(op.request), elapsed()
			e := wantKind(t, op.run(t.Context(), r.c), backend.KindAuthRefused)
			want(t, "sends", sends(), 4)
			want(t, "waited", took(), 700*time.Millisecond)
			want(t, "challenge", e.Challenge.Error, "invalid_token")
		}
		want(t, "phase", r.c.Facts().Guard.Phase, guard.Open)
		sends := r.sends(op.request)
		wantKind(t, op.run(t.Context(), r.c), backend.KindAuthRefused)
		want(t, "sends while open", sends(), 1)
	})
}

func TestLegacyOtherFailureIsSentOnce(t *testing.T) {
	eachLegacyOperation(t, fixed, func(t *testing.T, r *rig, op operation) {
		for _, status := range []int{500, 503} {
			sends, renewals := r.sends(op.request), r.renewals()
			r.srv.Inject(backendtest.Status(status, 1).ForMethod(op.request))
			e := wantKind(t, op.run(t.Context(), r.c), backend.KindServerError)
			want(t, "sends", sends(), 1)
			want(t, "renewals", renewals(), 0)
			want(t, "status", e.Status, status)
		}
	})
}

// A refusal on the way to the first call is the call's.
func TestLegacyRefusalInsideTheHandshakeIsTheCallsRefusal(t *testing.T) {
	for _, method := range []string{backendtest.MethodGet, "initialize", "notifications/initialized"} {
		t.Run(method, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, minting(), legacy(), overSSE)
				r.refuse(method, 1)
				r.mustCall()
				want(t, "fetches", r.tokens.count(), 2)
				want(t, "refused", r.srv.Refused(""), 1)
				want(t, "executions", r.srv.Executions("echo"), 1)
				synctest.Wait()
				want(t, "streams", r.srv.Streams(), 1)
			})
		})
	}
}

func TestLegacyRevokedTokenUnderManyCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const callers = 20
		r := newIssuerRig(t, legacy(), overSSE)
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
		want(t, "sessions", r.srv.Sessions(), 1)
	})
}

func TestLegacySessionsHaveStreamsOfTheirOwn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, legacy(), overSSE)
		var sessions []*backend.Session
		for i := range 3 {
			s := r.c.NewSession(backend.SessionOptions{})
			sessions = append(sessions, s)
			want(t, "streams", r.srv.Streams(), i)
			for range 3 {
				if _, err := r.do(t.Context(), &backend.Request{ID: []byte("1"), Session: s}); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i, s := range sessions {
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			want(t, "streams", r.srv.Streams(), 2-i)
		}
		want(t, "executions", r.srv.Executions("echo"), 9)
	})
}

// The end of the stream is the end of its session and of what is in flight there.
func TestLegacyStreamThatEndsFailsItsCallsAndIsReplaced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const callers = 5
		r := newRig(t, fixed(), legacy(backendtest.WithTool("slow", backendtest.Slow(time.Hour))), overSSE)
		l := r.listen()
		want(t, "established", count(l.heard(), ""), 1)
		failed := make(chan []error, 1)
		go func() {
			failed <- all(callers, func(int) error { return errorOf(r.c.CallTool(t.Context(), "slow", nil)) })
		}()
		synctest.Wait()
		took := elapsed()
		r.srv.Down()
		for _, err := range <-failed {
			e := wantKind(t, err, backend.KindUnreachable)
			want(t, "outcome unknown", e.OutcomeUnknown, true)
		}
		want(t, "waited", took(), 0)
		if err := r.srv.Up(); err != nil {
			t.Fatal(err)
		}
		r.mustCall()
		time.Sleep(2 * time.Second)
		want(t, "established again", established(l.heard()), 1)
		want(t, "executions", r.srv.Executions("slow"), callers)
		want(t, "sessions", r.srv.Sessions(), 2)
		r.srv.AddTool(backendtest.Tool{Name: "new"})
		time.Sleep(time.Second)
		want(t, "told", count(l.heard(), toolsChanged) > 0, true)
	})
}

func TestLegacyServerThatForgotTheSessionIsAskedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), legacy(), overSSE)
		r.mustCall()
		r.srv.Inject(backendtest.Status(404, 1).ForMethod("tools/call"))
		r.mustCall()
		want(t, "executions", r.srv.Executions("echo"), 2)
		want(t, "sessions", r.srv.Sessions(), 2)
		synctest.Wait()
		want(t, "streams", r.srv.Streams(), 1)
	})
}

func TestLegacyProgressReachesItsCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, legacy(backendtest.WithTool("steps", func(ctx context.Context, _ json.RawMessage) (any, error) {
			return "done", backendtest.Progress(ctx, 1, 2, "half")
		})), overSSE)
		got, err := r.do(t.Context(), &backend.Request{Method: "tools/call", Name: "steps", ID: []byte(`"mine"`),
			Params: []byte(`{"name":"steps","_meta":{"progressToken":"p"}}`), ClientRevision: elder})
		if err != nil {
			t.Fatal(err)
		}
		want(t, "progress", strings.Contains(got, `"progressToken":"p"`), true)
		want(t, "answer", strings.Contains(got, `"id":"mine"`), true)
	})
}

func TestLegacyCallThatIsLeftIsCancelled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), legacy(backendtest.WithTool("slow", backendtest.Slow(time.Hour))), overSSE)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantKind(t, errorOf(r.c.CallTool(ctx, "slow", nil)), backend.KindTimeout)
		synctest.Wait()
		want(t, "notes", r.srv.Requests(wire.NoteCancelled), 1)
		sent, _ := r.srv.Last("tools/call")
		note, _ := r.srv.Last(wire.NoteCancelled)
		call, _ := wire.Scan(sent.Body)
		cancelled, _ := wire.Scan(note.Body)
		want(t, "of the call", string(cancelled.RequestID.Of(note.Body)), string(call.ID.Of(sent.Body)))
		want(t, "credential", note.Credential, "static-token")
		r.mustCall()
	})
}

// scripted is a server by hand: stream is what it says to a GET.
func scripted(stream string, more ...string) backendtest.Option {
	return backendtest.WithHandler(func(w http.ResponseWriter, req *http.Request, m backendtest.Message) bool {
		if m.Method != backendtest.MethodGet {
			return false
		}
		for i := 0; i+1 < len(more); i += 2 {
			w.Header().Set(more[i], more[i+1])
		}
		if w.Header().Get("Content-Type") == "" {
			w.Header().Set("Content-Type", "text/event-stream")
		}
		_, _ = io.WriteString(w, stream)
		_ = http.NewResponseController(w).Flush()
		if strings.Contains(stream, "endpoint") {
			<-req.Context().Done()
		}
		return true
	})
}

// A credential goes to the configured origin and nowhere else.
func TestLegacyEndpointOfAnotherOriginGetsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		other := backendtest.NewServer(t, backendtest.WithPipe())
		for _, endpoint := range []string{other.URL, "//" + other.Addr() + "/message", "https:/message", "http://me:secret@%s/message", "ftp://%s/"} {
			r := newRig(t, fixed(), []backendtest.Option{backendtest.WithLegacySSE(), scripted("event: endpoint\ndata: " + endpoint + "\n\n")}, overSSE)
			e := wantKind(t, r.call(t.Context()), backend.KindProtocolError)
			want(t, "says so", strings.Contains(e.Detail, "same origin"), true)
			want(t, "posts", r.srv.Requests("initialize"), 0)
			want(t, "there", other.Requests(""), 0)
			synctest.Wait()
			want(t, "streams", r.srv.Streams(), 0)
		}
	})
}

func TestLegacyStreamThatIsNone(t *testing.T) {
	for name, row := range map[string]struct {
		server backendtest.Option
		kind   backend.Kind
		detail string
		gets   int
	}{
		"a web page":            {scripted("<html>", "Content-Type", "text/html"), backend.KindProtocolError, "is not answered with a stream", 1},
		"an end at once":        {scripted(": nothing\n\n"), backend.KindUnreachable, "", 3},
		"405":                   {backendtest.WithFault(backendtest.Status(405, backendtest.Forever).ForMethod("GET")), backend.KindProtocolError, "", 1},
		"503":                   {backendtest.WithFault(backendtest.Status(503, backendtest.Forever).ForMethod("GET")), backend.KindServerError, "", 1},
		"a redirect":            {backendtest.WithFault(backendtest.Status(307, backendtest.Forever).ForMethod("GET").Header("Location", "https://elsewhere.example/")), backend.KindProtocolError, "redirects to https://elsewhere.example:443", 1},
		"nobody at the address": {backendtest.WithDown(), backend.KindUnreachable, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, fixed(), []backendtest.Option{backendtest.WithLegacySSE(), row.server}, overSSE)
				e := wantKind(t, r.call(t.Context()), row.kind)
				want(t, "detail: "+e.Detail, strings.Contains(e.Detail, row.detail), true)
				want(t, "outcome known", e.OutcomeUnknown, false)
				want(t, "gets", r.srv.Requests(backendtest.MethodGet), row.gets)
				want(t, "posts", r.srv.Requests("initialize"), 0)
			})
		})
	}
}

func TestLegacyHandshakeThatIsLeftLeavesNothing(t *testing.T) {
	for name, server := range map[string]backendtest.Option{
		"before the head":     backendtest.WithFault(backendtest.Hang(backendtest.Forever).ForMethod("GET")),
		"before the endpoint": scripted("data: {\"endpoint\":1}\n\n"),
		"before the answer":   backendtest.WithFault(backendtest.Hang(backendtest.Forever).ForMethod("initialize")),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, fixed(), []backendtest.Option{backendtest.WithLegacySSE(), server}, overSSE)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				wantKind(t, r.call(ctx), backend.KindTimeout)
				synctest.Wait()
				want(t, "streams", r.srv.Streams(), 0)
			})
		})
	}
}

func TestLegacyCloseEndsStreamsAndCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), legacy(backendtest.WithTool("slow", backendtest.Slow(time.Hour))), overSSE)
		l := r.listen()
		failed := make(chan error, 1)
		go func() { failed <- errorOf(r.c.CallTool(t.Context(), "slow", nil)) }()
		synctest.Wait()
		_ = r.c.Close()
		wantKind(t, <-failed, backend.KindClosed)
		wantKind(t, <-l.done, backend.KindClosed)
	})
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), legacy(), overSSE)
		r.mustCall()
		want(t, "streams", r.srv.Streams(), 1)
		_ = r.c.Close()
		synctest.Wait()
		want(t, "streams", r.srv.Streams(), 0)
	})
}

func TestLegacyWordsInAnAnswerAreNoRefusal(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, minting(), []backendtest.Option{backendtest.WithLegacySSE(), backendtest.WithTool("echo", backendtest.Failing("HTTP 401 unauthorized"))}, overSSE)
		raw, err := r.c.CallTool(t.Context(), "echo", nil)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "text kept", strings.Contains(string(raw), "HTTP 401 unauthorized"), true)
		want(t, "executions", r.srv.Executions("echo"), 1)
		want(t, "fetches", r.tokens.count(), 1)
		want(t, "sentinel", errors.Is(err, backend.ErrAuthenticationFailed), false)
	})
}

// What stands in the events is read as the standard says, whatever its framing.
func TestLegacyEventsOfOtherKindsAreSkipped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		stream := make(chan string, 10)
		r := newRig(t, nil, []backendtest.Option{backendtest.WithLegacySSE(), backendtest.WithHandler(func(w http.ResponseWriter, req *http.Request, m backendtest.Message) bool {
			if m.Method != backendtest.MethodGet {
				switch m.Method {
				case "initialize":
					stream <- fmt.Sprintf("data: {\"jsonrpc\":\"2.0\",\ndata: \"id\":%s,\"result\":{\"protocolVersion\":\"2024-11-05\",\"capabilities\":{}}}\n\n", m.ID)
				case "tools/call":
					stream <- fmt.Sprintf(": comment\n\nevent: ping\ndata: {\"id\":%s}\n\nevent: message\r\ndata: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"a\":1}}\r\n\r\n", m.ID, m.ID)
				}
				w.WriteHeader(http.StatusAccepted)
				return true
			}
			w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
			_, _ = io.WriteString(w, "event: endpoint\r\ndata: /message?sessionId=1#x\r\n\r\n")
			for {
				_ = http.NewResponseController(w).Flush()
				select {
				case s := <-stream:
					_, _ = io.WriteString(w, s)
				case <-req.Context().Done():
					return true
				}
			}
		})}, overSSE)
		got, err := r.do(t.Context(), &backend.Request{ID: []byte("7"), ClientRevision: elder})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(`{"jsonrpc":"2.0","id":7,"result":{"a":1}}`, got); diff != "" {
			t.Error(diff)
		}
		want(t, "revision", r.c.Facts().Revision, wire.Rev20241105)
	})
}

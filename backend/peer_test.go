package backend_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/wire"
)

// bodies returns the bodies of all requests of a method.
func (r *rig) bodies(method string) (all []string) {
	for _, x := range r.srv.Exchanges() {
		if x.Method == method {
			all = append(all, string(x.Body))
		}
	}
	return all
}

// Requests of an elder server to a client that cannot see or serve them are
// answered, so that the server need not wait for its own timeout.
func TestRequestsOfTheServerAreAnswered(t *testing.T) {
	const asks = "data: {\"jsonrpc\":\"2.0\",\"id\":\"s-1\",\"method\":\"ping\"}\n\n" +
		"data: {\"jsonrpc\":\"2.0\",\"id\":\"s-2\",\"method\":\"elicitation/create\",\"params\":{}}\n\n" +
		"data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{}}\n\n"
	for name, call := range map[string]func(t *testing.T, r *rig) error{
		"our own call": func(t *testing.T, r *rig) error { return r.call(t.Context()) },
		"a client of 2026-07-28": func(t *testing.T, r *rig) error {
			got, err := r.do(t.Context(), &backend.Request{ID: []byte("1"), ClientRevision: modern})
			want(t, "kept from the client", strings.Contains(got, "s-1") || strings.Contains(got, "s-2"), false)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, fixed(), []backendtest.Option{backendtest.WithRevision(elder), script("text/event-stream", say(asks))})
				if err := call(t, r); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				got := strings.Join(r.bodies(backendtest.MethodResponse), "\n")
				want(t, "answers", len(r.bodies(backendtest.MethodResponse)), 2)
				want(t, "pong", strings.Contains(got, `{"jsonrpc":"2.0","id":"s-1","result":{}}`), true)
				want(t, "declined", strings.Contains(got, `"id":"s-2","error":{"code":-32601`), true)
				last, _ := r.srv.Last(backendtest.MethodResponse)
				want(t, "credential", last.Credential, "static-token")
				want(t, "session", last.Session != "", true)
			})
		})
	}
}

// A client of an elder revision sees and answers them itself.
func TestRequestsOfTheServerReachAnElderClient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, []backendtest.Option{backendtest.WithRevision(elder), script("text/event-stream",
			say("data: {\"jsonrpc\":\"2.0\",\"id\":\"s-1\",\"method\":\"ping\"}\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{}}\n\n"))})
		got, err := r.do(t.Context(), &backend.Request{ID: []byte("1"), ClientRevision: elder})
		if err != nil {
			t.Fatal(err)
		}
		want(t, "seen", strings.Contains(got, "s-1"), true)
		want(t, "answers", r.srv.Requests(backendtest.MethodResponse), 0)
	})
}

// Who leaves a call of an elder backend has it cancelled there, once; its id is
// not given to another request before.
func TestCallThatIsLeftIsCancelledAtAnElderBackend(t *testing.T) {
	eachEra(t, func(t *testing.T, revision string) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(revision)))
		r.mustCall()
		held := r.srv.Inject(backendtest.Hang(1).ForMethod("tools/call"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := r.do(ctx, &backend.Request{ID: []byte(`"mine"`)})
		wantKind(t, err, backend.KindTimeout)
		synctest.Wait()
		notes := r.bodies(wire.NoteCancelled)
		if revision == modern {
			want(t, "notes", len(notes), 0)
			return
		}
		want(t, "notes", len(notes), 1)
		want(t, "note", notes[0], `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"mine"}}`)
		held.Heal()
		if _, err := r.do(t.Context(), &backend.Request{ID: []byte(`"mine"`)}); err != nil {
			t.Fatal(err)
		}
		last, _ := r.srv.Last("tools/call")
		want(t, "id is free", strings.Contains(string(last.Body), `"id":"mine"`), true)
	})
}

// A server that repeats the credential wherever it can does not get it into
// anything that is shown.
func TestCredentialIsInNothingThatIsShown(t *testing.T) {
	const secret = "s3cr3t-canary-0123456789abcdef"
	bubble(t, func(t *testing.T) {
		st := &tokens{token: secret}
		r := newRig(t, st, []backendtest.Option{backendtest.WithRevision(elder),
			backendtest.WithHTTPMiddleware(func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					m, _ := backendtest.MessageFrom(req.Context())
					echo := req.Header.Get("Authorization")
					switch m.Name {
					case "401":
						w.Header().Set("WWW-Authenticate", `Bearer realm="`+echo+`", error="`+secret+`", error_description="`+echo+`", scope="`+secret+`"`)
						w.WriteHeader(401)
						_, _ = io.WriteString(w, echo)
					case "403":
						w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope", scope="`+secret+`"`)
						w.WriteHeader(403)
					case "307":
						w.Header().Set("Location", "https://"+secret+".example.com/"+secret)
						w.WriteHeader(307)
					case "500":
						w.WriteHeader(500)
						_, _ = io.WriteString(w, echo)
					case "html":
						w.Header().Set("Content-Type", "text/html; x="+secret)
						_, _ = io.WriteString(w, echo)
					default:
						next.ServeHTTP(w, req)
					}
				})
			})})
		for _, tool := range []string{"401", "403", "307", "500", "html"} {
			_, err := r.c.CallTool(t.Context(), tool, nil)
			if err == nil {
				t.Fatalf("%s: no error", tool)
			}
			shown := shownOf(err, r)
			for _, form := range []string{secret, secret[:8], "czNjcjN0", "7333637233742d63"} {
				if strings.Contains(strings.ToLower(shown), strings.ToLower(form)) {
					t.Errorf("%s shows the credential: %s", tool, shown)
				}
			}
		}
	})
}

package backend_test

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
)

// A server that breaks HTTP itself with the credential it was sent: net/http
// repeats what it could not read in its errors.
func TestCredentialIsInNoErrorOfTheTransport(t *testing.T) {
	const secret = "s3cr3t-canary-0123456789abcdef"
	for name, answer := range map[string]string{
		"no HTTP":           "%s\r\n\r\n",
		"version":           "HTTP/%s 200 OK\r\n\r\n",
		"status":            "HTTP/1.1 %s\r\n\r\n",
		"header line":       "HTTP/1.1 200 OK\r\n%s\r\n\r\n",
		"header name":       "HTTP/1.1 200 OK\r\nX %s: y\r\n\r\n",
		"content length":    "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n",
		"transfer encoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n",
		"chunk":             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n",
		"trailer":           "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n%s\r\n\r\n",
		"location":          "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://[%s\r\nContent-Length: 0\r\n\r\n",
		"content type":      "HTTP/1.1 200 OK\r\nContent-Type: text/%s; =\r\nContent-Length: 0\r\n\r\n",
		"retry after":       "HTTP/1.1 503 Service Unavailable\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, &tokens{token: secret}, []backendtest.Option{backendtest.WithRevision(modern),
					backendtest.WithHTTPMiddleware(func(next http.Handler) http.Handler {
						return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
							if m, _ := backendtest.MessageFrom(req.Context()); m.Method != "tools/call" {
								next.ServeHTTP(w, req)
								return
							}
							c, rw, err := http.NewResponseController(w).Hijack()
							if err != nil {
								panic(err)
							}
							defer c.Close()
							writeRaw(rw, fmt.Sprintf(answer, secret))
						})
					})})
				err := r.call(t.Context())
				if err == nil {
					t.Fatal("no error")
				}
				shown := shownOf(err, r)
				for e := err; e != nil; e = errors.Unwrap(e) {
					shown += fmt.Sprintf("\n%v %+v %#v", e, e, e)
				}
				if strings.Contains(shown, secret[:8]) {
					t.Errorf("shows the credential: %v", err)
				}
			})
		})
	}
}

func writeRaw(rw *bufio.ReadWriter, text string) {
	_, _ = rw.WriteString(text)
	_ = rw.Flush()
}

// A JSON-RPC error is an answer, and as an error it is logged.
func TestCredentialIsInNoRPCError(t *testing.T) {
	const secret = "s3cr3t-canary-0123456789abcdef"
	eachEra(t, func(t *testing.T, revision string) {
		r := newRig(t, &tokens{token: secret}, rich(backendtest.WithRevision(revision)))
		r.mustCall()
		for _, op := range operations(revision) {
			for _, status := range []int{200, 400, 403} {
				r.srv.Inject(backendtest.Status(status, 1).ForMethod(op.request).RPCError(-32000, "no "+secret, map[string]string{"token": secret}))
				err := op.run(t.Context(), r.c)
				if err == nil {
					t.Fatalf("%s: no error", op.name)
				}
				shown := fmt.Sprintf("%v %+v %#v %+v", err, err, err, r.c.Facts())
				if rpc, ok := errors.AsType[*backend.RPCError](err); ok {
					want(t, "code", rpc.Code, -32000)
					shown += string(rpc.Data)
				} else if op.request != "server/discover" { // refused that way, it decides the revision
					t.Errorf("%s: got %v (%T), want the JSON-RPC error", op.name, err, err)
				}
				if strings.Contains(shown, secret[:8]) {
					t.Errorf("%s with status %d shows the credential: %s", op.name, status, shown)
				}
			}
		}
		raw, err := r.do(t.Context(), &backend.Request{ID: []byte("1")})
		if err != nil || strings.Contains(raw, "error") {
			t.Error(raw, err)
		}
		r.srv.Inject(backendtest.Status(200, 1).ForMethod("tools/call").RPCError(-32000, "no "+secret, nil))
		raw, err = r.do(t.Context(), &backend.Request{ID: []byte("1")})
		if err != nil || !strings.Contains(raw, secret) {
			t.Errorf("the answer did not pass as it was: %s, %v", raw, err)
		}
		last := r.traced.calls[len(r.traced.calls)-1]
		want(t, "told to the trace", strings.Contains(fmt.Sprint(last.Err), secret[:8]), false)
	})
}

// A server may keep what it was sent before: the credential that was replaced is
// as little shown as the one that replaced it, and may still be valid.
func TestReplacedCredentialIsNotShownEither(t *testing.T) {
	bubble(t, func(t *testing.T) {
		issuer := backendtest.NewIssuer(t, backendtest.WithPipe(), backendtest.WithTTL(time.Minute))
		source := clientCredentials(t, issuer)
		r := newRig(t, nil, []backendtest.Option{backendtest.WithRevision(modern), backendtest.WithBearer(issuer),
			backendtest.WithHTTPMiddleware(func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					m, _ := backendtest.MessageFrom(req.Context())
					if m.Name != "tell" {
						next.ServeHTTP(w, req)
						return
					}
					w.Header().Set("WWW-Authenticate", `Bearer realm="`+issuer.Token(1)+`"`)
					w.WriteHeader(401)
				})
			})}, func(o *backend.Options) { o.Auth = source })
		r.source = source
		r.mustCall()
		time.Sleep(50 * time.Second) // renewed ahead of time meanwhile: the first one is valid still
		r.mustCall()
		want(t, "tokens", issuer.Mints(), 2)
		want(t, "first one valid", issuer.Valid(issuer.Token(1)), true)
		issuer.Fail(backendtest.Unavailable(), backendtest.Forever)
		_, err := r.c.CallTool(t.Context(), "tell", nil)
		if err == nil {
			t.Fatal("no error")
		}
		if strings.Contains(shownOf(err, r), issuer.Token(1)) {
			t.Errorf("shows the credential of before: %v, %+v", err, r.c.Facts().Challenge)
		}
	})
}

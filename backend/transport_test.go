package backend_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/guard"
)

// bearer is a round tripper that sends a token and knows nothing of renewal.
type bearer struct {
	base  http.RoundTripper
	token func() string
}

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+b.token())
	return b.base.RoundTrip(req)
}

// newTransport puts the guard in front of a server, in memory.
func newTransport(t testing.TB, srv *backendtest.Server, st *tokens, o backend.TransportOptions) *backend.Transport {
	t.Helper()
	source := auth.NewSource("test", st, auth.SourceOptions{})
	t.Cleanup(source.Close)
	base := &http.Transport{DialContext: srv.Dial}
	t.Cleanup(base.CloseIdleConnections)
	o.Origin, o.Name = srv.URL, "weather"
	if o.Base == nil {
		o.Base = base
	}
	tr, err := backend.NewTransport(source, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	return tr
}

func connectSDK(ctx context.Context, endpoint string, rt http.RoundTripper) (*mcp.ClientSession, error) {
	client := mcp.NewClient(&mcp.Implementation{Name: "sdk", Version: "1"}, nil)
	return client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint: endpoint, HTTPClient: &http.Client{Transport: rt}, MaxRetries: -1, DisableStandaloneSSE: true}, nil)
}

func sdkCall(ctx context.Context, s *mcp.ClientSession, tool string) error {
	r, err := s.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: map[string]any{}})
	if err == nil && r.IsError {
		err = errors.New("the tool failed")
	}
	return err
}

// What a bare 401 does to a session of the official SDK, and what becomes of it
// under a Transport. In both cases one slow call is in flight meanwhile.
func TestSDKSessionSurvivesARefusalOnlyUnderTheTransport(t *testing.T) {
	type outcome struct{ slow, refused, after error }
	run := func(t *testing.T, rt func(*backendtest.Server) http.RoundTripper) (o outcome, srv *backendtest.Server) {
		srv = backendtest.NewServer(t, backendtest.WithPipe(), backendtest.WithRevision(elder),
			backendtest.WithTool("echo", backendtest.Echo), backendtest.WithTool("slow", backendtest.Slow(time.Minute)))
		// A dying session sends DELETE while it holds a lock, and this server would
		// let that wait for the slow tool.
		srv.Inject(backendtest.Status(405, backendtest.Forever).ForMethod(backendtest.MethodDelete))
		s, err := connectSDK(t.Context(), srv.URL, rt(srv))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		slow := make(chan error, 1)
		go func() { slow <- sdkCall(t.Context(), s, "slow") }()
		synctest.Wait()
		srv.Inject(backendtest.Status(401, 1).ForMethod("tools/call").ForName("echo").Challenge("invalid_token"))
		o.refused = sdkCall(t.Context(), s, "echo")
		o.after = sdkCall(t.Context(), s, "echo")
		o.slow = <-slow
		return o, srv
	}
	t.Run("bare", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			o, srv := run(t, func(srv *backendtest.Server) http.RoundTripper {
				return bearer{srv.Client().Transport, func() string { return "static-token" }}
			})
			if o.refused == nil || o.after == nil || o.slow == nil {
				t.Errorf("the session survived (%v), so this test shows nothing", o)
			}
			want(t, "executions of echo", srv.Executions("echo"), 0)
		})
	})
	t.Run("under the transport", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			o, srv := run(t, func(srv *backendtest.Server) http.RoundTripper {
				return newTransport(t, srv, minting(), backend.TransportOptions{})
			})
			if o != (outcome{}) {
				t.Errorf("got %v, want no error", o)
			}
			want(t, "executions of echo", srv.Executions("echo"), 2)
			want(t, "executions of slow", srv.Executions("slow"), 1)
			want(t, "sends of echo and slow", srv.Requests("tools/call"), 4)
			want(t, "sessions", srv.Sessions(), 1)
		})
	})
}

// A refusal that lasts reaches the SDK as an error of that call: the session goes
// on, and so does a call in flight.
func TestSDKSessionSurvivesALastingRefusal(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := backendtest.NewServer(t, backendtest.WithPipe(), backendtest.WithRevision(elder),
			backendtest.WithTool("echo", backendtest.Echo), backendtest.WithTool("slow", backendtest.Slow(time.Minute)))
		tr := newTransport(t, srv, fixed(), backend.TransportOptions{})
		s, err := connectSDK(t.Context(), srv.URL, tr)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		slow := make(chan error, 1)
		go func() { slow <- sdkCall(t.Context(), s, "slow") }()
		synctest.Wait()
		fault := srv.Inject(backendtest.Status(401, backendtest.Forever).ForName("echo").Challenge("invalid_token"))
		err = sdkCall(t.Context(), s, "echo")
		want(t, "sentinel", errors.Is(err, backend.ErrAuthenticationFailed), true)
		want(t, "sends", srv.Refused("tools/call"), 4)
		fault.Heal()
		if err := sdkCall(t.Context(), s, "echo"); err != nil {
			t.Errorf("the session died: %v", err)
		}
		if err := <-slow; err != nil {
			t.Errorf("the call in flight died: %v", err)
		}
		want(t, "sessions", srv.Sessions(), 1)
	})
}

func post(ctx context.Context, rt http.RoundTripper, url, body string, header ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return rt.RoundTrip(req)
}

const toolsCall = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{}}}`

// plainServer answers by hand, with 200 unless a fault says otherwise.
func plainServer(t testing.TB, opts ...backendtest.Option) *backendtest.Server {
	return backendtest.NewServer(t, append([]backendtest.Option{backendtest.WithPipe(),
		backendtest.WithHandler(func(w http.ResponseWriter, _ *http.Request, m backendtest.Message) bool {
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID)
			return true
		})}, opts...)...)
}

func TestTransportReturnsEveryOtherAnswerUnchanged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := plainServer(t)
		tr := newTransport(t, srv, fixed(), backend.TransportOptions{})
		for _, status := range []int{301, 308, 400, 404, 405, 409, 429, 500, 502, 503, 504} {
			srv.Inject(backendtest.Status(status, 1).Header("X-Mine", "yes").Body("as it was"))
			before := srv.Requests("")
			resp, err := post(t.Context(), tr, srv.URL, toolsCall)
			if err != nil {
				t.Fatalf("%d: %v", status, err)
			}
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			want(t, "status", resp.StatusCode, status)
			want(t, "header", resp.Header.Get("X-Mine"), "yes")
			want(t, "body", string(body), "as it was")
			want(t, "sends", srv.Requests("")-before, 1)
		}
	})
}

func TestTransportReplaysAForbiddenRPCError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := plainServer(t)
		tr := newTransport(t, srv, fixed(), backend.TransportOptions{})
		srv.Inject(backendtest.Status(403, 1).RPCError(-32000, "another user's session", nil))
		resp, err := post(t.Context(), tr, srv.URL, toolsCall)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		want(t, "status", resp.StatusCode, 403)
		want(t, "body kept", strings.Contains(string(body), "another user's session"), true)
		want(t, "sends", srv.Requests(""), 1)
		want(t, "phase", tr.State().Phase, guard.Closed)
	})
}

func TestTransportOverwritesTheCallersCredential(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := plainServer(t)
		tr := newTransport(t, srv, fixed(), backend.TransportOptions{})
		resp, err := post(t.Context(), tr, srv.URL, toolsCall, "Authorization", "Bearer of-the-caller",
			"Idempotency-Key", "k", "X-Request-Id", "r")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		last, _ := srv.Last("tools/call")
		want(t, "credential", last.Credential, "static-token")
		want(t, "idempotency key", last.Header.Get("Idempotency-Key"), "")
		want(t, "other header", last.Header.Get("X-Request-Id"), "r")
		want(t, "body", string(last.Body), toolsCall)
	})
}

func TestTransportSendsTheCredentialToItsOriginOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		home, other := plainServer(t), plainServer(t)
		base := &http.Transport{DialContext: backendtest.Dialer(home, other)}
		t.Cleanup(base.CloseIdleConnections)
		tr := newTransport(t, home, fixed(), backend.TransportOptions{Base: base})
		resp, err := post(t.Context(), tr, other.URL, toolsCall)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		last, _ := other.Last("tools/call")
		want(t, "credential", last.Credential, "")

		// A redirect elsewhere ends there, also under a client that follows.
		home.Inject(backendtest.Status(307, 1).Header("Location", other.URL))
		client := &http.Client{Transport: tr}
		before := other.Requests("")
		_, err = client.Post(home.URL, "application/json", strings.NewReader(toolsCall))
		e := wantKind(t, err, backend.KindProtocolError)
		want(t, "names the other origin", strings.Contains(e.Error(), other.Addr()), true)
		want(t, "requests there", other.Requests("")-before, 0)
	})
}

func TestTransportRefusesBodiesBeyondItsLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := plainServer(t)
		tr := newTransport(t, srv, fixed(), backend.TransportOptions{RequestBytes: 64})
		_, err := post(t.Context(), tr, srv.URL, toolsCall)
		wantKind(t, err, backend.KindProtocolError)
		want(t, "sends", srv.Requests(""), 0)
	})
}

func TestTransportFindsTheClassInTheBody(t *testing.T) {
	for body, class := range map[string]guard.Class{
		toolsCall: guard.Call,
		`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a:b"}}`: guard.Call,
		`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`:                            guard.List,
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}`:                guard.List,
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`:                    guard.Stream,
		`{"jsonrpc":"2.0","id":1,"result":{}}`:                                      guard.Stream,
		`{"jsonrpc":"2.0","id":1,"method":"vendor/own"}`:                            guard.Call,
	} {
		t.Run(body, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				srv := plainServer(t)
				var got []guard.Class
				tr := newTransport(t, srv, fixed(), backend.TransportOptions{Trace: &backend.Trace{
					SendEnd: func(_ context.Context, s backend.SendInfo, _ backend.SendResult) { got = append(got, s.Class) }}})
				resp, err := post(t.Context(), tr, srv.URL, body)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				want(t, "sends", len(got), 1)
				want(t, "class", got[0], class)
			})
		})
	}
}

func TestTransportNeedsASourceAndAnOrigin(t *testing.T) {
	source := auth.NewSource("test", fixed(), auth.SourceOptions{})
	defer source.Close()
	for name, o := range map[string]backend.TransportOptions{
		"no origin":          {},
		"credentials in URL": {Origin: "https://user:pass@example.com/mcp"},
		"scheme":             {Origin: "ftp://example.com"},
		"insecure":           {Origin: "http://example.com/mcp"},
		"guard":              {Origin: "https://example.com/mcp", AuthRetry: guard.Options{OpenAfter: -1}},
	} {
		if _, err := backend.NewTransport(source, o); err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "pass") {
			t.Errorf("%s: the error shows the password", name)
		}
	}
	if _, err := backend.NewTransport(nil, backend.TransportOptions{Origin: "https://example.com"}); err == nil {
		t.Error("no source: no error")
	}
}

// A refusal that stays is an *Error and never a response: a 401 ends the sessions
// of common SDK clients for good.
func TestTransportNeverHandsOutARefusal(t *testing.T) {
	for _, row := range []struct {
		name  string
		fault backendtest.Fault
		sends int
		kind  backend.Kind
	}{
		{"401", backendtest.Status(401, backendtest.Forever), 4, backend.KindAuthRefused},
		{"401 invalid_request", backendtest.Status(401, backendtest.Forever).Challenge("invalid_request"), 1, backend.KindAuthRefused},
		{"403", backendtest.Status(403, backendtest.Forever), 4, backend.KindAuthRefused}, // nothing was accepted yet
		{"403 insufficient_scope", backendtest.Status(403, backendtest.Forever).Challenge("insufficient_scope", "write"), 1, backend.KindScopeMissing},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				srv := plainServer(t)
				tr := newTransport(t, srv, fixed(), backend.TransportOptions{})
				srv.Inject(row.fault)
				resp, err := post(t.Context(), tr, srv.URL, toolsCall)
				want(t, "no response", resp == nil, true)
				e := wantKind(t, err, row.kind)
				want(t, "sentinel", errors.Is(err, backend.ErrAuthenticationFailed), true)
				want(t, "attempts", e.Attempts, row.sends)
				want(t, "sends", srv.Requests(""), row.sends)
			})
		})
	}
	bubble(t, func(t *testing.T) {
		srv := plainServer(t)
		tr := newTransport(t, srv, fixed(), backend.TransportOptions{})
		srv.Inject(backendtest.Status(401, backendtest.Forever))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := post(ctx, tr, srv.URL, toolsCall)
		want(t, "context error", errors.Is(err, context.DeadlineExceeded), true)
		want(t, "sentinel", errors.Is(err, backend.ErrAuthenticationFailed), true)
		want(t, "sends", srv.Requests(""), 1)
	})
}

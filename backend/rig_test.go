package backend_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/guard"
)

func TestMain(m *testing.M) {
	programs.Main()
	goleak.VerifyTestMain(m)
}

const (
	modern = "2026-07-28"
	elder  = "2025-11-25"
)

// tokens is a strategy whose credentials the test makes up. It counts fetches.
type tokens struct {
	mu        sync.Mutex
	token     string
	renewable bool
	mint      func(n int) (string, error) // nil: token as it stands
	fetches   int
}

func (s *tokens) Fetch(context.Context) (auth.Material, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetches++
	if s.mint != nil {
		t, err := s.mint(s.fetches)
		if err != nil {
			return auth.Material{}, err
		}
		s.token = t
	}
	return auth.Material{
		Headers:   []auth.Header{{Name: "Authorization", Value: auth.NewSecret("Bearer " + s.token)}},
		Renewable: s.renewable,
	}, nil
}

func (s *tokens) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

// set changes the token that the next fetch finds.
func (s *tokens) set(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = token
}

// minting makes renewable credentials t1, t2, ...
func minting() *tokens {
	return &tokens{renewable: true, mint: func(n int) (string, error) { return fmt.Sprintf("token-%d", n), nil }}
}

// rig is a client in front of a faulty server, in memory.
type rig struct {
	t      testing.TB
	srv    *backendtest.Server
	tokens *tokens
	source *auth.Source
	c      *backend.Client
	traced *recorder
}

type rigOption func(*backend.Options)

// bubble runs a test in virtual time.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// newRig must be called inside a bubble. With st nil there is no credential.
func newRig(t testing.TB, st *tokens, server []backendtest.Option, opts ...rigOption) *rig {
	t.Helper()
	r := &rig{t: t, tokens: st, traced: &recorder{}}
	r.srv = backendtest.NewServer(t, append([]backendtest.Option{backendtest.WithPipe()}, server...)...)
	o := backend.Options{Name: "weather", URL: r.srv.URL, Dial: r.srv.Dial, Trace: r.traced.trace()}
	if st != nil {
		r.source = auth.NewSource("test", st, auth.SourceOptions{})
		t.Cleanup(r.source.Close)
		o.Auth = r.source
	}
	for _, opt := range opts {
		opt(&o)
	}
	var err error
	if r.c, err = backend.NewHTTPBackendClient(auth.NewRegistry(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.c.Close() })
	return r
}

func guardOptions(o guard.Options) rigOption {
	return func(b *backend.Options) { b.AuthRetry = o }
}

// rich is a server with something for every method.
func rich(opts ...backendtest.Option) []backendtest.Option {
	return append([]backendtest.Option{
		backendtest.WithTool("echo", backendtest.Echo),
		backendtest.WithResource("file:///notes", "remember"),
		backendtest.WithPrompt("greet", "hello {name}"),
		backendtest.WithCompletion(func(context.Context, string, string, string) ([]string, error) {
			return []string{"Ada"}, nil
		}),
	}, opts...)
}

// operation is one method of BackendClient, and the request that stands for it.
type operation struct {
	name    string
	request string
	class   guard.Class
	run     func(context.Context, *backend.Client) error
}

// operations lists every method of BackendClient that sends.
func operations(revision string) []operation {
	ping, list := "ping", "tools/list"
	if revision == modern {
		ping, list = "server/discover", "server/discover"
	}
	return []operation{
		{"CallTool", "tools/call", guard.Call, func(ctx context.Context, c *backend.Client) error {
			_, err := c.CallTool(ctx, "echo", json.RawMessage(`{"a":1}`))
			return err
		}},
		{"ReadResource", "resources/read", guard.Call, func(ctx context.Context, c *backend.Client) error {
			_, err := c.ReadResource(ctx, "file:///notes")
			return err
		}},
		{"GetPrompt", "prompts/get", guard.Call, func(ctx context.Context, c *backend.Client) error {
			_, err := c.GetPrompt(ctx, "greet", map[string]string{"name": "Ada"})
			return err
		}},
		{"Complete", "completion/complete", guard.Call, func(ctx context.Context, c *backend.Client) error {
			_, err := c.Complete(ctx, json.RawMessage(`{"type":"ref/prompt","name":"greet"}`), json.RawMessage(`{"name":"name","value":"A"}`))
			return err
		}},
		{"ListCapabilities", list, guard.List, func(ctx context.Context, c *backend.Client) error {
			_, err := c.ListCapabilities(ctx)
			return err
		}},
		{"Ping", ping, guard.List, func(ctx context.Context, c *backend.Client) error { return c.Ping(ctx) }},
	}
}

// eachOperation runs a test for every method in both eras, with a client whose
// revision and session are known already.
func eachOperation(t *testing.T, st func() *tokens, test func(t *testing.T, r *rig, op operation), opts ...rigOption) {
	t.Helper()
	for _, revision := range []string{elder, modern} {
		for _, op := range operations(revision) {
			t.Run(revision+"/"+op.name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					r := newRig(t, st(), rich(backendtest.WithRevision(revision)), opts...)
					if err := op.run(t.Context(), r.c); err != nil {
						t.Fatalf("warm-up: %v", err)
					}
					test(t, r, op)
				})
			})
		}
	}
}

// sends counts the requests of a method from now on.
func (r *rig) sends(method string) func() int {
	before := r.srv.Requests(method)
	return func() int { return r.srv.Requests(method) - before }
}

// executions counts what the server carried out from now on.
func (r *rig) executions() func() int {
	before := r.srv.Executions("")
	return func() int { return r.srv.Executions("") - before }
}

// renewals counts fetches of the credential from now on.
func (r *rig) renewals() func() int {
	before := r.tokens.count()
	return func() int { return r.tokens.count() - before }
}

func (r *rig) call(ctx context.Context) error {
	_, err := r.c.CallTool(ctx, "echo", json.RawMessage(`{"a":1}`))
	return err
}

func (r *rig) mustCall() {
	r.t.Helper()
	if err := r.call(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// refuse answers the next requests of a method 401.
func (r *rig) refuse(method string, times int) *backendtest.Injection {
	return r.srv.Inject(backendtest.Status(401, times).ForMethod(method).Challenge("invalid_token"))
}

func wantKind(t testing.TB, err error, kind backend.Kind) *backend.Error {
	t.Helper()
	e, ok := errors.AsType[*backend.Error](err)
	if !ok {
		t.Fatalf("got %v (%T), want an *Error of kind %s", err, err, kind)
	}
	if e.Kind != kind {
		t.Fatalf("got kind %s (%v), want %s", e.Kind, err, kind)
	}
	return e
}

func want[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// elapsed measures virtual time.
func elapsed() func() time.Duration {
	began := time.Now()
	return func() time.Duration { return time.Since(began) }
}

// all runs n functions at once and collects their errors.
func all(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	return errs
}

func failures(errs []error) (failed []error) {
	for _, err := range errs {
		if err != nil {
			failed = append(failed, err)
		}
	}
	return failed
}

// recorder keeps what the trace hooks were told.
type recorder struct {
	mu          sync.Mutex
	sends       []backend.SendInfo
	results     []backend.SendResult
	calls       []backend.CallResult
	transitions []guard.Transition
	renewals    []auth.Event
	sessions    []backend.SessionEvent
}

func (r *recorder) trace() *backend.Trace {
	note := func(fn func()) {
		r.mu.Lock()
		defer r.mu.Unlock()
		fn()
	}
	return &backend.Trace{
		SendEnd: func(_ context.Context, s backend.SendInfo, x backend.SendResult) {
			note(func() { r.sends, r.results = append(r.sends, s), append(r.results, x) })
		},
		CallEnd: func(_ context.Context, _ backend.CallInfo, x backend.CallResult) {
			note(func() { r.calls = append(r.calls, x) })
		},
		Renewal:    func(_ string, e auth.Event) { note(func() { r.renewals = append(r.renewals, e) }) },
		Transition: func(_ string, tr guard.Transition) { note(func() { r.transitions = append(r.transitions, tr) }) },
		Session:    func(e backend.SessionEvent) { note(func() { r.sessions = append(r.sessions, e) }) },
		Inject:     func(_ context.Context, h http.Header) { h.Set("Traceparent", "00-1-1-01") },
	}
}

// issuerRig is a client whose credential a token server mints.
type issuerRig struct {
	*rig
	issuer *backendtest.Issuer
}

// clientCredentials makes a source over the issuer.
func clientCredentials(t testing.TB, issuer *backendtest.Issuer) *auth.Source {
	t.Helper()
	source, err := auth.NewRegistry().New(auth.Spec{
		Type: "client_credentials", HTTPClient: issuer.Client(),
		Decode: func(into any) error {
			o := into.(*auth.ClientCredentialsOptions)
			o.TokenURL, o.ClientID, o.ClientSecret = issuer.TokenURL, issuer.ClientID, auth.NewValue(issuer.ClientSecret)
			return nil
		},
	}, auth.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Close)
	return source
}

// newIssuerRig must be called inside a bubble.
func newIssuerRig(t testing.TB, server []backendtest.Option, opts ...rigOption) *issuerRig {
	t.Helper()
	issuer := backendtest.NewIssuer(t, backendtest.WithPipe())
	source := clientCredentials(t, issuer)
	opts = append([]rigOption{func(o *backend.Options) { o.Auth = source }}, opts...)
	r := newRig(t, nil, append(server, backendtest.WithBearer(issuer)), opts...)
	r.source = source
	return &issuerRig{rig: r, issuer: issuer}
}

// mints counts tokens from now on.
func (r *issuerRig) mints() func() int {
	before := r.issuer.Mints()
	return func() int { return r.issuer.Mints() - before }
}

// asked counts requests at the token server from now on.
func (r *issuerRig) asked() func() int {
	before := r.issuer.Requests()
	return func() int { return r.issuer.Requests() - before }
}

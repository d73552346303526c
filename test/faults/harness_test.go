// Package faults runs the fault table of docs/faults.md through the whole
// gateway: real HTTP on both sides, the official SDK as client, and counts at
// the backend and at the token server. Every test also looks for its
// credentials in everything the gateway showed.
package faults

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/config"
	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/server"
	"github.com/recloser-mcp/recloser/status"
	"github.com/recloser-mcp/recloser/test/leak"
)

// strayLog is what was logged past the gateway's own logger.
var strayLog = &buffer{}

// artifacts keep what was shown for the search over all outputs.
var artifacts *leak.Artifacts

func TestMain(m *testing.M) {
	if spec := os.Getenv(remoteEnv); spec != "" {
		beRemote(spec)
		return
	}
	programs.Main()
	var err error
	if artifacts, err = leak.Open("faults"); err != nil {
		panic(err)
	}
	slog.SetDefault(slog.New(slog.NewJSONHandler(strayLog, &slog.HandlerOptions{Level: slog.LevelDebug})))
	goleak.VerifyTestMain(m)
}

// random returns a credential that nothing else looks like.
func random() string {
	var b [24]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// gateway is a running gateway and everything it has shown.
type gateway struct {
	*server.Server
	t       *testing.T
	log     *buffer
	secrets []string
	issuers []*backendtest.Issuer

	mu    sync.Mutex
	texts []string           // of errors that clients saw
	turns []guard.Transition // of the breakers
}

type buffer struct {
	mu      sync.Mutex
	b       bytes.Buffer
	written chan struct{} // closed and replaced with each write
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.written != nil {
		close(b.written)
		b.written = nil
	}
	return b.b.Write(p)
}

// await blocks until the text was written.
func (b *buffer) await(t *testing.T, text string) {
	t.Helper()
	for {
		b.mu.Lock()
		if b.written == nil {
			b.written = make(chan struct{})
		}
		there, more := bytes.Contains(b.b.Bytes(), []byte(text)), b.written
		b.mu.Unlock()
		if there {
			return
		}
		select {
		case <-more:
		case <-t.Context().Done():
			t.Fatalf("%q was never written", text)
		}
	}
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// serve runs a gateway over the backends of an mcpServers map, in which $NAME is
// a secret of env. It is probed once, at the start.
func serve(t *testing.T, servers string, env map[string]string, issuers ...*backendtest.Issuer) *gateway {
	t.Helper()
	return serveWith(t, auth.NewRegistry(), servers, env, issuers...)
}

// serveWith is serve with a registry of credentials.
func serveWith(t *testing.T, registry *auth.OutgoingAuthRegistry, servers string, env map[string]string, issuers ...*backendtest.Issuer) *gateway {
	t.Helper()
	return serveProbing(t, time.Hour, registry, servers, env, issuers...)
}

// serveProbing is serveWith with probes after the first one.
func serveProbing(t *testing.T, every time.Duration, registry *auth.OutgoingAuthRegistry, servers string, env map[string]string, issuers ...*backendtest.Issuer) *gateway {
	t.Helper()
	doc, _, err := config.Parse("test.yaml", fmt.Appendf(nil, `
listen: 127.0.0.1:0
admin: {listen: "127.0.0.1:0"}
health: {interval: %s}
log: {level: debug, format: json}
mcpServers:%s`, every, servers), config.LoadOptions{Registry: registry,
		Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{t: t, log: &buffer{}, issuers: issuers}
	for _, v := range env {
		g.secrets = append(g.secrets, v)
	}
	g.Server, err = server.New(t.Context(), doc, server.Options{Version: "test", Registry: registry,
		Observe: &server.Observer{Transition: func(_ string, turn guard.Transition) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.turns = append(g.turns, turn)
		}},
		Logger: slog.New(slog.NewJSONHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		g.lookForSecrets()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the gateway ended with %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", g.log)
		}
	})
	return g
}

// lookForSecrets searches everything shown for every credential in use.
func (g *gateway) lookForSecrets() {
	secrets := g.secrets
	for _, i := range g.issuers {
		for n := 1; n <= i.Mints(); n++ {
			secrets = append(secrets, i.Token(n))
		}
	}
	g.mu.Lock()
	shown := map[string]string{"log": g.log.String(), "default log": strayLog.String(), "status": g.get("/api/v1/status"), "metrics": g.get("/metrics"), "errors": strings.Join(g.texts, "\n")}
	g.mu.Unlock()
	if err := artifacts.Keep(g.t.Name(), shown, secrets...); err != nil {
		g.t.Error(err)
	}
	for name, text := range shown {
		for _, hit := range leak.Find([]byte(text), secrets...) {
			g.t.Errorf("the %s shows a credential: %s", name, hit)
		}
	}
}

func (g *gateway) get(path string) string {
	resp, err := http.Get("http://" + g.AdminAddr() + path)
	if err != nil {
		g.t.Error(err)
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

// client connects the official SDK, which speaks the newest revision.
func (g *gateway) client() *mcp.ClientSession { return g.clientOf("") }

// clientOf connects the official SDK at a revision.
func (g *gateway) clientOf(revision string) *mcp.ClientSession {
	g.t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	c := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	s, err := c.Connect(g.t.Context(), &mcp.StreamableClientTransport{Endpoint: "http://" + g.Addr() + "/mcp",
		HTTPClient: &http.Client{Transport: transport}, MaxRetries: -1}, &mcp.ClientSessionOptions{ProtocolVersion: revision})
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = s.Close(); transport.CloseIdleConnections() })
	return s
}

// listed waits until the tool is in the catalog: nothing can be called before.
func (g *gateway) listed(s *mcp.ClientSession, tools ...string) {
	g.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		list, err := s.ListTools(g.t.Context(), nil)
		if err != nil {
			g.t.Fatal(err)
		}
		have := map[string]bool{}
		for _, tool := range list.Tools {
			have[tool.Name] = true
		}
		missing := ""
		for _, name := range tools {
			if !have[name] {
				missing = name
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(end) {
			g.t.Fatalf("%s is not listed", missing)
		}
	}
}

// answer is what a client got.
type answer struct {
	text    string
	isError bool
	err     error
	took    time.Duration
	data    struct {
		Backend, Reason, Hint string
		Status, Attempts      int
		RetryAfterMs          int64
		OutcomeUnknown        bool
	}
}

func (g *gateway) call(ctx context.Context, s *mcp.ClientSession, tool string) answer {
	return g.callWith(ctx, s, &mcp.CallToolParams{Name: tool, Arguments: map[string]any{"text": "hello"}})
}

func (g *gateway) callWith(ctx context.Context, s *mcp.ClientSession, params *mcp.CallToolParams) (a answer) {
	began := time.Now()
	res, err := s.CallTool(ctx, params)
	a.took, a.err = time.Since(began), err
	if err != nil {
		g.mu.Lock()
		g.texts = append(g.texts, err.Error())
		g.mu.Unlock()
		var wire *jsonrpc.Error
		if errors.As(err, &wire) && wire.Data != nil {
			_ = json.Unmarshal(wire.Data, &a.data)
			g.mu.Lock()
			g.texts = append(g.texts, string(wire.Data))
			g.mu.Unlock()
		}
		return a
	}
	a.isError = res.IsError
	for _, c := range res.Content {
		if text, ok := c.(*mcp.TextContent); ok {
			a.text += text.Text
		}
	}
	return a
}

// calls makes n calls at once and returns their answers.
func (g *gateway) calls(s *mcp.ClientSession, tool string, n int) []answer {
	out := make([]answer, n)
	var wg sync.WaitGroup
	for i := range out {
		wg.Go(func() { out[i] = g.call(g.t.Context(), s, tool) })
	}
	wg.Wait()
	return out
}

// together makes n calls whose first sends are all out before the first of them is
// answered.
func (g *gateway) together(s *backendtest.Server, c *mcp.ClientSession, n int, then func()) []answer {
	g.t.Helper()
	held := s.Inject(backendtest.Hang(n).ForMethod(call))
	answers := make(chan []answer, 1)
	go func() { answers <- g.calls(c, "b_echo", n) }()
	if err := held.Wait(g.t.Context(), n); err != nil {
		g.t.Fatal(err)
	}
	if then != nil {
		then()
	}
	held.Heal()
	return <-answers
}

// wantError checks an error as an MCP client sees it.
func wantError(t *testing.T, a answer, reason string, attempts int) {
	t.Helper()
	switch {
	case a.err == nil:
		t.Errorf("answered %q, want an error %s", a.text, reason)
	case a.data.Reason != reason || a.data.Attempts != attempts || a.data.Hint == "" || a.data.Backend != "b":
		t.Errorf("error %v, data %+v: want reason %s after %d attempts, with a hint", a.err, a.data, reason, attempts)
	}
}

func wantAnswer(t *testing.T, a answer) {
	t.Helper()
	if a.err != nil || a.isError {
		t.Errorf("error %v (%+v), want an answer", a.err, a.data)
	}
}

// wantCount is a count at the backend or the token server.
func wantCount(t *testing.T, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %d, want %d", what, got, want)
	}
}

// wantStatus wants the status that calls have led to. A client may have its answer a
// moment before the gateway has noted the call; until then the call is in flight.
func wantStatus(t *testing.T, g *gateway, statusWant, reason string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		b := find(t, g)
		if string(b.Status) == statusWant && string(b.Reason) == reason {
			return
		}
		if b.InFlight == 0 || time.Now().After(end) {
			t.Errorf("status %s / %s, want %s / %s: %s", b.Status, b.Reason, statusWant, reason, b.Message)
			return
		}
	}
}

// find returns the status of the backend b.
func find(t *testing.T, g *gateway) status.Backend {
	t.Helper()
	for _, b := range g.Status().Backends {
		if b.Name == "b" {
			return b
		}
	}
	t.Fatal("backend b has no status")
	return status.Backend{}
}

// breaker is that of the backend b.
func (g *gateway) breaker() status.Breaker {
	for _, b := range g.Status().Backends {
		if b.Name == "b" {
			return b.Breaker
		}
	}
	g.t.Error("backend b has no status")
	return status.Breaker{}
}

// open makes the five calls that open the breaker of b.
func (g *gateway) open(s *mcp.ClientSession, reason string) {
	g.t.Helper()
	for range 5 {
		if a := g.call(g.t.Context(), s, "b_echo"); a.err == nil || a.data.Reason != reason {
			g.t.Fatalf("error %v (%+v), want reason %s", a.err, a.data, reason)
		}
	}
	if b := g.breaker(); b.State != status.BreakerOpen {
		g.t.Fatalf("breaker %+v, want it open", b)
	}
}

// cool waits for the moment at which, by the gateway's own word, the next call
// probes.
func (g *gateway) cool() {
	for {
		b := g.breaker()
		if !b.NextProbe.After(time.Now()) {
			return
		}
		<-time.After(time.Until(b.NextProbe))
	}
}

// static is a backend with a static token, and clientCredentials one whose tokens
// an issuer mints.
func static(s *backendtest.Server, more string) string {
	return fmt.Sprintf("\n  b: {url: %q, auth: {type: bearer, token: \"${KEY}\"}%s}", s.URL, more)
}

func clientCredentials(name string, s *backendtest.Server, i *backendtest.Issuer, more ...string) string {
	return fmt.Sprintf("\n  %s: {url: %q, auth: {type: client_credentials, tokenURL: %q, clientID: id, clientSecret: \"${SECRET}\"}%s}",
		name, s.URL, i.TokenURL, strings.Join(more, ""))
}

// minted is a gateway over one backend whose tokens an issuer mints, and a client
// of it that has listed echo.
func minted(t *testing.T, more string, options ...backendtest.Option) (*backendtest.Server, *backendtest.Issuer, *gateway, *mcp.ClientSession) {
	t.Helper()
	secret := random()
	issuer := backendtest.NewIssuer(t, backendtest.WithClient("id", secret))
	s := backendtest.NewServer(t, append(options, backendtest.WithBearer(issuer))...)
	g := serve(t, clientCredentials("b", s, issuer, more), map[string]string{"SECRET": secret}, issuer)
	c := g.client()
	g.listed(c, "b_echo")
	return s, issuer, g, c
}

package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/catalog"
	"github.com/recloser-mcp/recloser/gateway"
	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	modern = "2026-07-28"
	elder  = "2025-11-25"
)

// pipes is a listener in memory, so that time is virtual inside a bubble.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// rig is a gateway in front of real servers, all in memory: for use in a bubble.
type rig struct {
	t        testing.TB
	g        *gateway.Gateway
	catalog  *catalog.Catalog
	sessions *session.Store
	clients  []*backend.Client
	http     *http.Client
	trips    *pipes
	srv      *http.Server
}

// settings are what a test wants otherwise.
type settings struct {
	gateway  func(*gateway.Options)
	backend  func(i int, o *backend.Options)
	sessions session.Options
	catalog  catalog.Options
	passes   []string          // passthroughHeaders
	rules    catalog.Selection // of each backend
}

// newRig runs a gateway in front of the servers, named a, b, c and so on.
func newRig(t testing.TB, set settings, servers ...*backendtest.Server) *rig {
	t.Helper()
	r := &rig{t: t, sessions: session.New(set.sessions), trips: newPipes()}
	o := gateway.Options{Sessions: r.sessions, ServerInfo: gateway.ServerInfo{Name: "recloser", Version: "test"}}
	var listed []catalog.Backend
	for i, s := range servers {
		name := string(rune('a' + i))
		bo := backend.Options{Name: name, URL: s.URL, Dial: s.Dial, Proxy: "none", AuthRetry: guard.Options{}}
		if set.backend != nil {
			set.backend(i, &bo)
		}
		c, err := backend.NewHTTPBackendClient(auth.NewRegistry(), bo)
		if err != nil {
			t.Fatal(err)
		}
		r.clients = append(r.clients, c)
		listed = append(listed, catalog.Backend{Name: name, Slug: name, Client: c, Selection: set.rules})
		o.Backends = append(o.Backends, gateway.Backend{Name: name, Slug: name, Client: c, PassthroughHeaders: set.passes})
	}
	r.catalog = catalog.New(set.catalog, listed)
	o.Catalog = r.catalog
	if set.gateway != nil {
		set.gateway(&o)
	}
	r.g = gateway.New(o)
	r.srv = &http.Server{Handler: r.g}
	r.http = &http.Client{Transport: &http.Transport{DialContext: r.trips.dial, DisableCompression: true}}

	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() { r.catalog.Run(ctx) })
	wg.Go(func() {
		if err := r.srv.Serve(r.trips); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() {
		end, stop := context.WithTimeout(context.Background(), time.Minute)
		defer stop()
		if err := r.g.Shutdown(end); err != nil {
			t.Errorf("shutdown: %v, %d in flight", err, r.g.InFlight())
		}
		r.http.CloseIdleConnections()
		if err := r.srv.Shutdown(end); err != nil {
			t.Errorf("shutdown of the listener: %v", err)
		}
		cancel()
		wg.Wait()
		if err := r.sessions.Close(end); err != nil {
			t.Errorf("close of the sessions: %v", err)
		}
		for _, c := range r.clients {
			_ = c.Close()
		}
	})
	return r
}

// answer is what a client gets.
type answer struct {
	status int
	header http.Header
	body   string
}

// rpc is a JSON-RPC answer, taken out of an event stream if need be.
type rpc struct {
	JSONRPC string
	ID      json.RawMessage
	Result  json.RawMessage
	Error   *rpcError
}

type rpcError struct {
	Code    int
	Message string
	Data    json.RawMessage
}

// request makes a request of any kind. Headers come in pairs; "" takes one out.
func (r *rig) request(method, path, body string, headers ...string) *http.Request {
	r.t.Helper()
	req, err := http.NewRequest(method, "http://127.0.0.1"+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
			continue
		}
		req.Header.Add(headers[i], headers[i+1])
	}
	return req
}

// do sends a request and reads the whole answer.
func (r *rig) do(req *http.Request) answer {
	r.t.Helper()
	resp, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatalf("answer broke off after %q: %v", b, err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func (r *rig) post(path, body string, headers ...string) answer {
	r.t.Helper()
	return r.do(r.request(http.MethodPost, path, body, headers...))
}

// open opens a session of an elder revision and returns its id.
func (r *rig) open(path, revision string, headers ...string) string {
	r.t.Helper()
	a := r.post(path, fmt.Sprintf(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":%q,"capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`, revision), headers...)
	id := a.header.Get("Mcp-Session-Id")
	if a.status != 200 || id == "" {
		r.t.Fatalf("initialize: %d %s", a.status, a.body)
	}
	if n := r.post(path, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, append(headers, "Mcp-Session-Id", id)...); n.status != 202 || n.body != "" {
		r.t.Fatalf("initialized: %d %s", n.status, n.body)
	}
	return id
}

const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`

// modernHeaders are those of a request of 2026-07-28.
func modernHeaders(method, name string) []string {
	h := []string{"Mcp-Protocol-Version", modern, "Mcp-Method", method}
	if name != "" {
		h = append(h, "Mcp-Name", name)
	}
	return h
}

// ask makes a request as a client of the revision would. params are members
// without brackets; name is what Mcp-Name mirrors.
func (r *rig) ask(revision, session, path, method, name, params string) answer {
	r.t.Helper()
	if revision == modern {
		if params != "" {
			params += ","
		}
		return r.post(path, fmt.Sprintf(`{"jsonrpc":"2.0","id":7,"method":%q,"params":{%s%s}}`, method, params, meta), modernHeaders(method, name)...)
	}
	return r.post(path, fmt.Sprintf(`{"jsonrpc":"2.0","id":7,"method":%q,"params":{%s}}`, method, params), "Mcp-Session-Id", session, "Mcp-Protocol-Version", revision)
}

// rpc takes the JSON-RPC answer out of an answer.
func (a answer) rpc(t testing.TB) (out rpc) {
	t.Helper()
	doc := []byte(a.body)
	if strings.HasPrefix(a.header.Get("Content-Type"), "text/event-stream") {
		for line := range bytes.Lines(doc) {
			if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok && bytes.Contains(data, []byte(`"id"`)) {
				doc = data
			}
		}
	}
	if err := json.Unmarshal(doc, &out); err != nil || out.JSONRPC != "2.0" {
		t.Fatalf("no answer: %d %s", a.status, a.body)
	}
	return out
}

// text returns the text of a tool's result.
func (a answer) text(t testing.TB) string {
	t.Helper()
	out := a.rpc(t)
	if out.Error != nil {
		t.Fatalf("error %d: %s %s", out.Error.Code, out.Error.Message, out.Error.Data)
	}
	var result struct {
		Content []struct{ Text string }
	}
	if err := json.Unmarshal(out.Result, &result); err != nil || len(result.Content) == 0 {
		t.Fatalf("no content: %s", out.Result)
	}
	return result.Content[0].Text
}

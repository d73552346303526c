package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/config"
	"github.com/recloser-mcp/recloser/server"
	"github.com/recloser-mcp/recloser/status"
)

func TestMain(m *testing.M) {
	programs.Main()
	goleak.VerifyTestMain(m)
}

const (
	mcpAddr   = "127.0.0.1:8484"
	adminAddr = "127.0.0.1:8485"
)

// pipes is a listener in memory, so that time is virtual inside a bubble.
type pipes struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return p.addr }

// network is what the listeners of one gateway are opened in.
type network struct {
	mu   sync.Mutex
	open map[string]*pipes
}

func (n *network) listen(_, address string) (net.Listener, error) {
	addr, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	p := &pipes{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open[address] = p
	return p, nil
}

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	p := n.open[address]
	n.mu.Unlock()
	if p == nil {
		return nil, fmt.Errorf("nobody listens on %s", address)
	}
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

// rig is a running gateway whose listeners, backends and token servers are all in
// memory: for use in a bubble.
type rig struct {
	*server.Server
	t    *testing.T
	log  *logs
	http *http.Client
	end  context.CancelFunc // as a signal does
	done chan struct{}      // closed when Run has returned
	err  error              // of Run
}

// peers are the servers that a document names.
type peers []backendtest.Peer

// start runs a gateway over a document. It is awake and idle when start returns:
// every backend that answers at once has been asked and listed.
func start(t *testing.T, document string, env map[string]string, p peers, opts ...func(*server.Options)) *rig {
	t.Helper()
	doc := parse(t, document, env)
	p.reach(doc)
	r := launch(t, doc, opts...)
	synctest.Wait()
	return r
}

// launch runs a gateway over a document whose backends are reached as it says, in a
// bubble or out of one.
func launch(t *testing.T, doc *config.Document, opts ...func(*server.Options)) *rig {
	t.Helper()
	n := &network{open: map[string]*pipes{}}
	r := &rig{t: t, log: &logs{}, done: make(chan struct{}),
		http: &http.Client{Transport: &http.Transport{DialContext: n.dial, DisableCompression: true}}}
	o := server.Options{Version: "test", Listen: n.listen, Logger: r.log.logger()}
	for _, opt := range opts {
		opt(&o)
	}
	var err error
	if r.Server, err = server.New(t.Context(), doc, o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.end = cancel
	go func() { defer close(r.done); r.err = r.Run(ctx) }()
	t.Cleanup(func() {
		r.http.CloseIdleConnections()
		cancel()
		<-r.done
		if r.err != nil {
			t.Errorf("Run: %v", r.err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", r.log)
		}
	})
	return r
}

// reach has the backends and token servers of a document be reached in memory.
func (p peers) reach(doc *config.Document) {
	for i := range doc.Backends {
		doc.Backends[i].Options.Dial, doc.Backends[i].Options.Proxy = backendtest.Dialer(p...), "none"
	}
	for i := range doc.Credentials {
		doc.Credentials[i].Spec.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: backendtest.Dialer(p...)}}
	}
}

// parse reads a document that has to hold.
func parse(t *testing.T, document string, env map[string]string) *config.Document {
	t.Helper()
	doc, _, err := config.Parse("test.yaml", []byte(document), config.LoadOptions{Env: func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}})
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// mem is a server in memory.
func mem(t *testing.T, opts ...backendtest.Option) *backendtest.Server {
	t.Helper()
	return backendtest.NewServer(t, append([]backendtest.Option{backendtest.WithPipe()}, opts...)...)
}

// logs keeps log records.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// messages returns the records of a level, each as its message.
func (l *logs) messages(level slog.Level) (out []string) {
	for line := range strings.Lines(l.String()) {
		var r struct{ Level, Msg string }
		if json.Unmarshal([]byte(line), &r) == nil && r.Level == level.String() {
			out = append(out, r.Msg)
		}
	}
	return out
}

// answer is an HTTP answer.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request and reads the whole answer. Headers come in pairs; Host is
// the request's host.
func (r *rig) do(method, url, body string, headers ...string) answer {
	r.t.Helper()
	resp, err := r.http.Do(r.request(method, url, body, headers...))
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func (r *rig) request(method, url, body string, headers ...string) *http.Request {
	r.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	return req
}

// admin reads from the admin listener.
func (r *rig) admin(path string, headers ...string) answer {
	r.t.Helper()
	return r.do(http.MethodGet, "http://"+adminAddr+path, "", headers...)
}

const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`

// ask makes a request of revision 2026-07-28. params are members without brackets.
func (r *rig) ask(method, name, params string, headers ...string) answer {
	r.t.Helper()
	if params != "" {
		params += ","
	}
	h := []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", method}
	if name != "" {
		h = append(h, "Mcp-Name", name)
	}
	return r.do(http.MethodPost, "http://"+mcpAddr+"/mcp",
		fmt.Sprintf(`{"jsonrpc":"2.0","id":7,"method":%q,"params":{%s%s}}`, method, params, meta), append(h, headers...)...)
}

// call calls a tool.
func (r *rig) call(tool string, headers ...string) answer {
	r.t.Helper()
	return r.ask("tools/call", tool, fmt.Sprintf(`"name":%q,"arguments":{}`, tool), headers...)
}

// open opens a session of an elder revision and returns its id.
func (r *rig) open() string {
	r.t.Helper()
	a := r.do(http.MethodPost, "http://"+mcpAddr+"/mcp",
		`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`)
	id := a.header.Get("Mcp-Session-Id")
	if a.status != http.StatusOK || id == "" {
		r.t.Fatalf("initialize: %d %s", a.status, a.body)
	}
	return id
}

// reason is the reason of an error that a client got, "" for an answer.
func (a answer) reason(t *testing.T) string {
	t.Helper()
	var out struct {
		Result json.RawMessage
		Error  *struct {
			Message string
			Data    struct{ Reason string }
		}
	}
	doc := a.body
	if strings.HasPrefix(a.header.Get("Content-Type"), "text/event-stream") {
		for line := range strings.Lines(a.body) {
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				doc = data
			}
		}
	}
	switch err := json.Unmarshal([]byte(doc), &out); {
	case err != nil:
		t.Fatalf("%d %s", a.status, a.body)
	case out.Error == nil && out.Result == nil:
		t.Fatalf("neither a result nor an error: %s", a.body)
	case out.Error == nil:
		return ""
	case out.Error.Data.Reason == "":
		return out.Error.Message
	}
	return out.Error.Data.Reason
}

// of returns the status of a backend.
func of(t *testing.T, s status.Status, name string) status.Backend {
	t.Helper()
	for _, b := range s.Backends {
		if b.Name == name {
			return b
		}
	}
	t.Fatalf("%s has no status", name)
	return status.Backend{}
}

// wantCount is a count at a backend or a token server.
func wantCount(t *testing.T, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %d, want %d", what, got, want)
	}
}

// sleep lets virtual time pass.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

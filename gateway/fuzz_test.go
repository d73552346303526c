package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/caller"
	"github.com/recloser-mcp/recloser/catalog"
	"github.com/recloser-mcp/recloser/gateway"
	"github.com/recloser-mcp/recloser/session"
	"github.com/recloser-mcp/recloser/wire"
)

// straight is a backend that answers at once, without a network. It is there for
// what needs many thousand calls.
type straight struct {
	*backend.Client // for sessions, which need no network until they are used
	do              func(*backend.Request) (*backend.Response, error)
}

func (s *straight) ListCapabilities(context.Context) (*backend.Capabilities, error) {
	return &backend.Capabilities{
		Revision: wire.Rev20260728, Capabilities: json.RawMessage(`{"tools":{},"resources":{}}`),
		Tools: []json.RawMessage{
			json.RawMessage(`{"name":"echo","inputSchema":{"type":"object"}}`),
			json.RawMessage(`{"name":"near","inputSchema":{"type":"object","properties":{"r":{"type":"string","x-mcp-header":"Region"}}}}`),
		},
		Resources: []json.RawMessage{json.RawMessage(`{"uri":"mem://x","name":"x"}`)},
		Templates: []json.RawMessage{json.RawMessage(`{"uriTemplate":"tpl://{x}","name":"x"}`)},
		Prompts:   []json.RawMessage{json.RawMessage(`{"name":"greet"}`)},
	}, nil
}

func (s *straight) Listen(ctx context.Context, _ func(string)) error {
	<-ctx.Done()
	return ctx.Err()
}

func (s *straight) Do(_ context.Context, q *backend.Request) (*backend.Response, error) {
	return s.do(q)
}

func (s *straight) Revision() wire.Revision { return wire.Rev20260728 }

func (s *straight) Watch(string, func([]byte)) (cancel func()) { return func() {} }

// newStraight makes a gateway in front of one backend without a network.
func newStraight(t testing.TB, s *straight) (*gateway.Gateway, *session.Store) {
	t.Helper()
	var err error
	s.Client, err = backend.NewHTTPBackendClient(auth.NewRegistry(), backend.Options{Name: "a", URL: "http://127.0.0.1:1/mcp", Dial: newPipes().dial})
	if err != nil {
		t.Fatal(err)
	}
	c := catalog.New(catalog.Options{}, []catalog.Backend{{Name: "a", Slug: "a", Client: s}})
	listed := make(chan struct{}, 10)
	stop := c.Subscribe(func(catalog.Change) { listed <- struct{}{} })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Run(ctx)
	}()
	<-listed
	stop()
	sessions := session.New(session.Options{Max: 1 << 20})
	g := gateway.New(gateway.Options{Catalog: c, Sessions: sessions, Backends: []gateway.Backend{{Name: "a", Slug: "a", Client: s}}})
	t.Cleanup(func() {
		cancel()
		<-ended
		_ = g.Shutdown(context.Background())
		_ = s.Client.Close()
	})
	return g, sessions
}

// FuzzPost: whatever is posted, the gateway answers with HTTP and JSON-RPC that
// are sound, keeps the id, and gives backends sound JSON only.
func FuzzPost(f *testing.F) {
	for _, body := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"ping"}`,
		`{"jsonrpc":"2.0","id":"x","method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a_echo","arguments":{"a":[1,2,{"b":null}]}}}`,
		`{"jsonrpc":"2.0","id":-7,"method":"tools/call","params":{"name":"\u0061_near","arguments":{"r":"x"},` + meta + `}}`,
		`{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"a_greet"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"tpl://1"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"a_greet"},"argument":{"name":"a","value":"b"}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"dG9vbHM6YQ"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},` + meta + `}}`,
		`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`,
		`{"jsonrpc":"2.0","id":1,"result":{}}`, `[]`, `{`, ``, "\xff",
	} {
		for mode := range byte(4) {
			f.Add([]byte(body), "2026-07-28", "tools/call", "a_echo", mode)
		}
	}
	s := &straight{}
	s.do = func(q *backend.Request) (*backend.Response, error) {
		if !json.Valid(q.Params) || !json.Valid(q.ID) || q.Name == "" && q.Method != wire.MethodComplete {
			return nil, errors.New("broken request")
		}
		doc := wire.ResultBody(q.ID, nil)
		return &backend.Response{Length: int64(len(doc)), Body: io.NopCloser(bytes.NewReader(doc))}, nil
	}
	g, sessions := newStraight(f, s)
	sess, err := sessions.Create(session.Info{Revision: wire.Rev20251125, Owner: caller.Anonymous.ID})
	if err != nil {
		f.Fatal(err)
	}
	over, cancel := context.WithCancel(context.Background())
	cancel() // standing streams end at once
	f.Fuzz(func(t *testing.T, body []byte, version, method, name string, mode byte) {
		r := httptest.NewRequest("POST", []string{"/mcp", "/mcp/a"}[mode>>2&1], bytes.NewReader(body)).WithContext(over)
		r.Header.Set("Content-Type", "application/json")
		if mode&1 == 0 {
			r.Header.Set("Mcp-Session-Id", sess.ID())
		}
		if mode&2 == 0 {
			r.Header["Mcp-Protocol-Version"] = []string{version}
			r.Header["Mcp-Method"] = []string{method}
			r.Header["Mcp-Name"] = []string{name}
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		known := []int{200, 202, 400, 404, 413, 415, 503}
		if !slices.Contains(known, w.Code) {
			t.Fatalf("status %d", w.Code)
		}
		sent, bad := wire.Scan(body)
		if w.Code == 202 {
			if w.Body.Len() > 0 || bad != nil || sent.Kind == wire.Request {
				t.Fatalf("202 for %q with %q", body, w.Body)
			}
			return
		}
		doc := w.Body.Bytes()
		if strings.HasPrefix(w.Header().Get("Content-Type"), "text/event-stream") {
			e, err := wire.NewEventReader(w.Body, 0).Next()
			if err != nil || !json.Valid(e.Data) {
				t.Fatalf("no event: %v %q", err, e.Data)
			}
			return
		}
		got, err := wire.Scan(doc)
		if err != nil || got.Kind != wire.Response || w.Header().Get("Content-Type") != "application/json" {
			t.Fatalf("no answer: %v %q", err, doc)
		}
		if bytes.Contains(doc, []byte(`"reason":"unknown"`)) {
			t.Fatalf("the backend got a broken request for %q", body)
		}
		if bad == nil && sent.Kind == wire.Request && !bytes.Equal(sent.ID.Of(body), got.ID.Of(doc)) {
			t.Fatalf("id %s was answered as %s", sent.ID.Of(body), got.ID.Of(doc))
		}
		if w.Code == http.StatusOK && bad != nil {
			t.Fatalf("200 for %q", body)
		}
	})
}

package gateway_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/caller"
	"github.com/recloser-mcp/recloser/session"
	"github.com/recloser-mcp/recloser/wire"
)

// sink is a client that takes everything and keeps nothing.
type sink struct {
	h      http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Flush()                      {}

// again is a body that can be read again and again.
type again struct{ bytes.Reader }

func (*again) Close() error { return nil }

// call prepares one small tools/call and returns what serves it once more.
func call(t testing.TB, revision string, stream bool) (serve func() int) {
	t.Helper()
	doc := []byte(`{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"hello"}]}}`)
	if stream {
		doc = wire.AppendEvent(nil, wire.Event{Type: "message", Data: doc})
	}
	out := &again{}
	resp := &backend.Response{Stream: stream, Length: int64(len(doc)), Body: out}
	g, sessions := newStraight(t, &straight{do: func(*backend.Request) (*backend.Response, error) {
		out.Reset(doc)
		return resp, nil
	}})
	body := []byte(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a_echo","arguments":{"x":1}}}`)
	r := httptest.NewRequest("POST", "/mcp", nil)
	r.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Mcp-Protocol-Version": {revision}}
	if revision == modern {
		body = []byte(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a_echo","arguments":{"x":1},` + meta + `}}`)
		r.Header["Mcp-Method"], r.Header["Mcp-Name"] = []string{"tools/call"}, []string{"a_echo"}
	} else {
		sess, err := sessions.Create(session.Info{Revision: wire.Revision(revision), Owner: caller.Anonymous.ID})
		if err != nil {
			t.Fatal(err)
		}
		r.Header["Mcp-Session-Id"] = []string{sess.ID()}
	}
	in := bytes.NewReader(nil)
	r.Body, r.ContentLength = io.NopCloser(in), int64(len(body))
	w := &sink{h: http.Header{}}
	return func() int {
		in.Reset(body)
		clear(w.h)
		w.status = 200
		g.ServeHTTP(w, r)
		return w.status
	}
}

// The gateway's part of a call, without net/http and without the backend.
func TestASmallCallAllocatesLittle(t *testing.T) {
	for _, c := range []struct {
		revision string
		stream   bool
		most     float64
	}{{modern, false, 8}, {elder, false, 12}, {modern, true, 14}, {elder, true, 34}} {
		serve := call(t, c.revision, c.stream)
		if n := testing.AllocsPerRun(200, func() {
			if serve() != 200 {
				t.Fatal("refused")
			}
		}); n > c.most {
			t.Errorf("%s, stream %v: %.0f allocations, want %.0f at most", c.revision, c.stream, n, c.most)
		} else {
			t.Logf("%s, stream %v: %.0f allocations", c.revision, c.stream, n)
		}
	}
}

func BenchmarkSmallCall(b *testing.B) {
	for _, revision := range []string{modern, elder} {
		b.Run(revision, func(b *testing.B) {
			serve := call(b, revision, false)
			b.ReportAllocs()
			for b.Loop() {
				serve()
			}
		})
	}
}

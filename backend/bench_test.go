package backend_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
)

const smallAnswer = `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"hello, this is a small answer"}]}}`

func fastServer(b testing.TB, contentType, body string) *httptest.Server {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", contentType)
		if r.Header.Get("Mcp-Method") == "server/discover" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"],"capabilities":{}}}`)
			return
		}
		_, _ = io.WriteString(w, body)
	}))
	b.Cleanup(srv.Close)
	return srv
}

func benchClient(b testing.TB, url string) *backend.Client {
	c, err := backend.NewHTTPBackendClient(auth.NewRegistry(), backend.Options{Name: "bench", URL: url})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return c
}

// doSmall makes a function that sends a small call through Do.
func doSmall(b testing.TB) func() {
	srv := fastServer(b, "application/json", smallAnswer)
	c := benchClient(b, srv.URL)
	q := &backend.Request{Method: "tools/call", Name: "echo", ID: []byte("1"), ClientRevision: modern,
		Params: []byte(`{"name":"echo","arguments":{"a":1},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}`)}
	return func() {
		resp, err := c.Do(b.Context(), q)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			b.Fatal(err)
		}
		_ = resp.Body.Close()
	}
}

// plainSmall makes a function that sends the same with net/http alone.
func plainSmall(b testing.TB) func() {
	srv := fastServer(b, "application/json", smallAnswer)
	tr := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100}
	b.Cleanup(tr.CloseIdleConnections)
	body := []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"a":1}}}`)
	template, err := http.NewRequestWithContext(b.Context(), http.MethodPost, srv.URL, nil)
	if err != nil {
		b.Fatal(err)
	}
	return func() {
		req := template.WithContext(b.Context())
		req.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "User-Agent": {"x"}, "Mcp-Method": {"tools/call"}}
		req.Body = io.NopCloser(bytes.NewReader(body))
		req.ContentLength = int64(len(body))
		resp, err := tr.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}

func bench(b *testing.B, fn func()) {
	fn()
	b.ReportAllocs()
	for b.Loop() {
		fn()
	}
}

func BenchmarkDoSmall(b *testing.B)    { bench(b, doSmall(b)) }
func BenchmarkPlainSmall(b *testing.B) { bench(b, plainSmall(b)) }

func TestCallCostsFewAllocationsMoreThanNetHTTP(t *testing.T) {
	ours, plain := doSmall(t), plainSmall(t)
	a, b := testing.AllocsPerRun(200, ours), testing.AllocsPerRun(200, plain)
	if a-b > 15 {
		t.Errorf("Do allocates %.0f times, net/http %.0f: more than 15 are ours", a, b)
	}
}

func BenchmarkDoMiB(b *testing.B) {
	text := strings.Repeat("lorem ipsum dolor sit amet, ", 1<<20/28)
	doc := `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"` + text + `"}]}}`
	for name, srv := range map[string]*httptest.Server{
		"json": fastServer(b, "application/json", doc),
		"sse":  fastServer(b, "text/event-stream", "event: message\ndata: "+doc+"\n\n"),
	} {
		b.Run(name, func(b *testing.B) {
			c := benchClient(b, srv.URL)
			q := &backend.Request{Method: "tools/call", Name: "echo", ID: []byte("1"), ClientRevision: modern, Params: []byte(`{"name":"echo"}`)}
			b.ReportAllocs()
			b.SetBytes(int64(len(doc)))
			for b.Loop() {
				resp, err := c.Do(b.Context(), q)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, resp.Body); err != nil || n < 1<<20 {
					b.Fatal(n, err)
				}
				_ = resp.Body.Close()
			}
		})
	}
}

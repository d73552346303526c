package gateway_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/caller"
	"github.com/recloser-mcp/recloser/gateway"
	"github.com/recloser-mcp/recloser/session"
)

func TestBadRequests(t *testing.T) {
	const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	deep := strings.Repeat("[", 2000) + strings.Repeat("]", 2000)
	call := func(params string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{` + params + `}}`
	}
	modernCall := modernHeaders("tools/call", "a_echo")
	synctest.Test(t, func(t *testing.T) {
		srv := sample(t, "one", backendtest.WithTools(backendtest.Tool{Name: "near", InputSchema: []byte(
			`{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"},"n":{"type":"integer","x-mcp-header":"N"}}}`)}))
		r := newRig(t, settings{gateway: func(o *gateway.Options) { o.Limits.RequestBytes = 64 << 10 }}, srv, sample(t, "two"))
		synctest.Wait()
		id := r.open("/mcp", elder)
		alone := r.open("/mcp/b", elder)
		in := []string{"Mcp-Session-Id", id}
		executions := srv.Executions("echo")
		for _, c := range []struct {
			what    string
			method  string
			path    string
			body    string
			headers []string
			status  int
			code    int // of the JSON-RPC error; 0: no error expected
			allow   string
		}{
			// Of any era.
			{what: "no JSON", body: `{"jsonrpc":`, headers: in, status: 400, code: -32700},
			{what: "nothing", body: ``, headers: in, status: 400, code: -32700},
			{what: "two documents", body: ping + ping, headers: in, status: 400, code: -32700},
			{what: "a batch", body: `[` + ping + `]`, headers: in, status: 400, code: -32600},
			{what: "an empty batch", body: `[]`, headers: in, status: 400, code: -32600},
			{what: "a number", body: `7`, headers: in, status: 400, code: -32600},
			{what: "an id that is null", body: `{"jsonrpc":"2.0","id":null,"method":"ping"}`, headers: in, status: 400, code: -32600},
			{what: "an id that is an object", body: `{"jsonrpc":"2.0","id":{},"method":"ping"}`, headers: in, status: 400, code: -32600},
			{what: "another version of JSON-RPC", body: `{"jsonrpc":"1.0","id":1,"method":"ping"}`, headers: in, status: 400, code: -32600},
			{what: "params that are an array", body: `{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}`, headers: in, status: 400, code: -32600},
			{what: "two names", body: call(`"name":"a","name":"b"`), headers: in, status: 400, code: -32602},
			{what: "too deep", body: `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":` + deep + `}}`, headers: in, status: 400, code: -32600},
			{what: "too large", body: `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"` + strings.Repeat("x", 100_000) + `"}}`, headers: in, status: 413, code: -32600},
			{what: "no content type", body: ping, headers: append([]string{"Content-Type", ""}, in...), status: 415, code: -32600},
			{what: "another content type", body: ping, headers: append([]string{"Content-Type", "", "Content-Type", "text/plain"}, in...), status: 415, code: -32600},
			{what: "two content types", body: ping, headers: append([]string{"Content-Type", "text/plain"}, in...), status: 415, code: -32600},
			{what: "JSON only", body: ping, headers: append([]string{"Accept", "", "Accept", "application/json"}, in...), status: 406, code: -32600},
			{what: "JSON not at all", body: ping, headers: append([]string{"Accept", "", "Accept", "text/event-stream, application/json;q=0"}, in...), status: 406, code: -32600},
			{what: "no such backend", path: "/mcp/nobody", body: ping, headers: in, status: 404, code: -32600},
			{what: "no such path", path: "/other", body: ping, headers: in, status: 404, code: -32600},
			{what: "PUT", method: "PUT", body: ping, headers: in, status: 405, code: -32600, allow: "POST, GET, DELETE"},

			// Of the elder era.
			{what: "no session", body: ping, status: 400, code: -32600},
			{what: "an unknown session", body: ping, headers: []string{"Mcp-Session-Id", "nonsense"}, status: 404, code: -32600},
			{what: "two sessions", body: ping, headers: []string{"Mcp-Session-Id", id, "Mcp-Session-Id", id}, status: 400, code: -32600},
			{what: "a session of another endpoint", body: ping, headers: []string{"Mcp-Session-Id", alone}, status: 404, code: -32600},
			{what: "a session at another endpoint", path: "/mcp/b", body: ping, headers: in, status: 404, code: -32600},
			{what: "an unknown version", body: ping, headers: append([]string{"Mcp-Protocol-Version", "1999-01-01"}, in...), status: 400, code: -32022},
			{what: "a notification without a session", body: `{"jsonrpc":"2.0","method":"notifications/initialized"}`, status: 400, code: -32600},
			{what: "initialize without a version", body: `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}`, status: 200, code: -32602},
			{what: "initialize without parameters", body: `{"jsonrpc":"2.0","id":1,"method":"initialize"}`, status: 200, code: -32602},
			{what: "an unknown method", body: `{"jsonrpc":"2.0","id":1,"method":"tools/explode"}`, headers: in, status: 200, code: -32601},
			{what: "a method of another era", body: `{"jsonrpc":"2.0","id":1,"method":"server/discover"}`, headers: in, status: 200, code: -32601},
			{what: "a method that is not offered", body: `{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{"level":"info"}}`, headers: in, status: 200, code: -32601},
			{what: "an unknown tool", body: call(`"name":"a_nothing"`), headers: in, status: 200, code: -32602},
			{what: "a tool without a prefix", body: call(`"name":"echo"`), headers: in, status: 200, code: -32602},
			{what: "no tool", body: call(`"arguments":{}`), headers: in, status: 200, code: -32602},
			{what: "a tool that is a number", body: call(`"name":7`), headers: in, status: 200, code: -32602},
			{what: "an unknown prompt", body: `{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"a_x"}}`, headers: in, status: 200, code: -32602},
			{what: "an unknown resource", body: `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"x://y"}}`, headers: in, status: 200, code: -32002},
			{what: "a completion of nothing", body: `{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt"}}}`, headers: in, status: 200, code: -32602},
			{what: "a cursor of one's own making", body: `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"page2"}}`, headers: in, status: 200, code: -32602},
			{what: "GET without a session", method: "GET", status: 400, code: -32600},
			{what: "GET of an unknown session", method: "GET", headers: []string{"Mcp-Session-Id", "x"}, status: 404, code: -32600},
			{what: "GET for JSON", method: "GET", headers: append([]string{"Accept", "", "Accept", "application/json"}, in...), status: 406, code: -32600},
			{what: "DELETE without a session", method: "DELETE", status: 400, code: -32600},
			{what: "DELETE of an unknown session", method: "DELETE", headers: []string{"Mcp-Session-Id", "x"}, status: 404, code: -32600},
			{what: "DELETE of another version", method: "DELETE", headers: append([]string{"Mcp-Protocol-Version", "1"}, in...), status: 400, code: -32022},

			// Of 2026-07-28.
			{what: "modern GET", method: "GET", headers: []string{"Mcp-Protocol-Version", modern}, status: 405, code: -32600, allow: "POST"},
			{what: "modern DELETE", method: "DELETE", headers: []string{"Mcp-Protocol-Version", modern}, status: 405, code: -32600, allow: "POST"},
			{what: "no version header", body: call(`"name":"a_echo",` + meta), headers: modernCall[2:], status: 400, code: -32020},
			{what: "two version headers", body: call(`"name":"a_echo",` + meta), headers: append([]string{"Mcp-Protocol-Version", modern}, modernCall...), status: 400, code: -32020},
			{what: "another version in the header", body: call(`"name":"a_echo",` + meta), headers: append([]string{"Mcp-Protocol-Version", elder}, modernCall[2:]...), status: 400, code: -32020},
			{what: "a version that is not spoken", body: call(`"name":"a_echo","_meta":{"io.modelcontextprotocol/protocolVersion":"2027-01-01"}`),
				headers: append([]string{"Mcp-Protocol-Version", "2027-01-01"}, modernCall[2:]...), status: 400, code: -32022},
			{what: "no version in the body", body: call(`"name":"a_echo","_meta":{}`), headers: modernCall, status: 400, code: -32602},
			{what: "no _meta", body: call(`"name":"a_echo"`), headers: modernCall, status: 400, code: -32602},
			{what: "no capabilities", body: call(`"name":"a_echo","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}`), headers: modernCall, status: 400, code: -32602},
			{what: "no method header", body: call(`"name":"a_echo",` + meta), headers: []string{"Mcp-Protocol-Version", modern, "Mcp-Name", "a_echo"}, status: 400, code: -32020},
			{what: "another method in the header", body: call(`"name":"a_echo",` + meta), headers: modernHeaders("tools/list", "a_echo"), status: 400, code: -32020},
			{what: "no name header", body: call(`"name":"a_echo",` + meta), headers: modernHeaders("tools/call", ""), status: 400, code: -32020},
			{what: "another name in the header", body: call(`"name":"a_echo",` + meta), headers: modernHeaders("tools/call", "a_who"), status: 400, code: -32020},
			{what: "broken base64 in the header", body: call(`"name":"a_echo",` + meta), headers: modernHeaders("tools/call", "=?base64?!?="), status: 400, code: -32020},
			{what: "the wrong case", body: call(`"name":"a_echo",` + meta), headers: modernHeaders("tools/call", "A_echo"), status: 400, code: -32020},
			{what: "no name in the body", body: call(meta), headers: modernCall, status: 200, code: -32602},
			{what: "an unknown modern method", body: `{"jsonrpc":"2.0","id":1,"method":"tools/explode","params":{` + meta + `}}`, headers: modernHeaders("tools/explode", ""), status: 404, code: -32601},
			{what: "initialize in the modern way", body: `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{` + meta + `}}`, headers: modernHeaders("initialize", ""), status: 404, code: -32601},
			{what: "a modern ping", body: `{"jsonrpc":"2.0","id":1,"method":"ping","params":{` + meta + `}}`, headers: modernHeaders("ping", ""), status: 404, code: -32601},
			{what: "a modern response", body: `{"jsonrpc":"2.0","id":1,"result":{}}`, headers: []string{"Mcp-Protocol-Version", modern}, status: 400, code: -32600},
			{what: "an unknown modern tool", body: call(`"name":"a_no",` + meta), headers: modernHeaders("tools/call", "a_no"), status: 200, code: -32602},
			{what: "an unknown modern resource", body: `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"x://y",` + meta + `}}`, headers: modernHeaders("resources/read", "x://y"), status: 200, code: -32602},
			{what: "no parameter header", body: call(`"name":"a_near","arguments":{"region":"eu"},` + meta), headers: modernHeaders("tools/call", "a_near"), status: 400, code: -32020},
			{what: "another parameter header", body: call(`"name":"a_near","arguments":{"region":"eu"},` + meta), headers: append(modernHeaders("tools/call", "a_near"), "Mcp-Param-Region", "us"), status: 400, code: -32020},
			{what: "a parameter header for nothing", body: call(`"name":"a_near","arguments":{"region":null},` + meta), headers: append(modernHeaders("tools/call", "a_near"), "Mcp-Param-Region", "us"), status: 400, code: -32020},
			{what: "two parameter headers", body: call(`"name":"a_near","arguments":{"region":"eu"},` + meta), headers: append(modernHeaders("tools/call", "a_near"), "Mcp-Param-Region", "eu", "Mcp-Param-Region", "eu"), status: 400, code: -32020},
			{what: "listen without a filter", body: `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{` + meta + `}}`, headers: modernHeaders("subscriptions/listen", ""), status: 400, code: -32602},
		} {
			method, path := c.method, c.path
			if method == "" {
				method = "POST"
			}
			if path == "" {
				path = "/mcp"
			}
			a := r.do(r.request(method, path, c.body, c.headers...))
			if a.status != c.status {
				t.Errorf("%s: status %d, want %d: %s", c.what, a.status, c.status, a.body)
			}
			if got := a.rpc(t); got.Error == nil || got.Error.Code != c.code || got.Error.Message == "" {
				t.Errorf("%s: %s, want code %d", c.what, a.body, c.code)
			}
			if a.header.Get("Allow") != c.allow {
				t.Errorf("%s: Allow is %q, want %q", c.what, a.header.Get("Allow"), c.allow)
			}
			// The connection stays usable.
			reused := false
			req := r.request("POST", "/mcp", ping, in...)
			req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
				GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }}))
			if after := r.do(req); after.status != 200 || after.body != `{"jsonrpc":"2.0","id":1,"result":{}}` || !reused {
				t.Errorf("%s: the next request: reused %v, %d %s", c.what, reused, after.status, after.body)
			}
		}
		if n := srv.Executions("echo") - executions; n != 0 {
			t.Errorf("bad requests made the backend execute %d calls", n)
		}
	})
}

func TestGoodRequestsThatLookUnusual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := sample(t, "one", backendtest.WithTools(backendtest.Tool{Name: "near", InputSchema: []byte(`{"type":"object","properties":{"at":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}},"n":{"type":"integer","x-mcp-header":"N"}}}`)}))
		green := sample(t, "two", backendtest.WithTool("grün", backendtest.Text("green")), backendtest.WithRevision(elder))
		r := newRig(t, settings{}, srv, green)
		synctest.Wait()
		id := r.open("/mcp", elder)
		in := []string{"Mcp-Session-Id", id}
		const echo = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a_echo","arguments":{}}}`
		for _, c := range []struct {
			what, body string
			headers    []string
			want       string
		}{
			{"no Accept", echo, append([]string{"Accept", ""}, in...), "{}"},
			{"Accept anything", echo, append([]string{"Accept", "", "Accept", "*/*"}, in...), "{}"},
			{"Accept ranges", echo, append([]string{"Accept", "", "Accept", "Application/* ; q=0.5", "Accept", "text/*"}, in...), "{}"},
			{"a content type with parameters", echo, append([]string{"Content-Type", "", "Content-Type", "Application/JSON; charset=utf-8"}, in...), "{}"},
			{"no version header", echo, in, "{}"},
			{"another elder version", echo, append([]string{"Mcp-Protocol-Version", "2025-03-26"}, in...), "{}"},
			{"a trailing slash", echo, in, "{}"},
			{"escapes in the name", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\u0061_ech\u006f"}}`, in, "{}"},
			{"an escaped method", `{"jsonrpc":"2.0","id":1,"method":"tools\/call","params":{"name":"a_echo"}}`, in, "{}"},
			{"a member after the name", `{"id":1,"params":{"arguments":{"name":"x"},"name":"a_echo"},"method":"tools/call","jsonrpc":"2.0"}`, in, `{"name":"x"}`},
			{"an encoded name", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a_echo",` + meta + `}}`, modernHeaders("tools/call", "=?base64?YV9lY2hv?="), "{}"},
			{"parameter headers", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a_near","arguments":{"at":{"region":"Zürich"},"n":42},` + meta + `}}`,
				append(modernHeaders("tools/call", "a_near"), "Mcp-Param-Region", "=?base64?WsO8cmljaA==?=", "Mcp-Param-N", "42.0"), `{"at":{"region":"Zürich"},"n":42}`},
		} {
			if a := r.post("/mcp", c.body, c.headers...); a.status != 200 || a.text(t) != c.want {
				t.Errorf("%s: %d %s", c.what, a.status, a.body)
			}
		}
		// Towards the backend the headers are made from the arguments.
		last, _ := srv.Last("tools/call")
		if got := last.Header.Get("Mcp-Param-Region") + " " + last.Header.Get("Mcp-Param-N") + " " + last.Header.Get("Mcp-Name"); got != "=?base64?WsO8cmljaA==?= 42 near" {
			t.Errorf("headers towards the backend: %q", got)
		}
		for _, n := range r.catalog.Snapshot().All().Entries(0) {
			if n.Name == "grün" {
				if a := r.ask(elder, id, "/mcp", "tools/call", "", fmt.Sprintf(`"name":%q`, n.Public)); a.text(t) != "green" {
					t.Errorf("%s: %s", n.Public, a.body)
				}
			}
		}
		for _, body := range []string{`{"jsonrpc":"2.0","method":"notifications/whatever"}`, `{"jsonrpc":"2.0","id":5,"result":{}}`,
			`{"jsonrpc":"2.0","id":5,"error":{"code":1,"message":"no"}}`} {
			if a := r.post("/mcp", body, in...); a.status != 202 || a.body != "" {
				t.Errorf("%s: %d %s", body, a.status, a.body)
			}
		}
		if a := r.post("/mcp", `{"jsonrpc":"2.0","method":"notifications/whatever"}`, "Mcp-Protocol-Version", modern); a.status != 202 || a.body != "" {
			t.Errorf("a modern notification: %d %s", a.status, a.body)
		}
		if a := r.do(r.request("DELETE", "/mcp", "", in...)); a.status != 204 {
			t.Errorf("DELETE: %d %s", a.status, a.body)
		}
		if a := r.post("/mcp", echo, in...); a.status != 404 {
			t.Errorf("after DELETE: %d %s", a.status, a.body)
		}
	})
}

func TestSessionsBelongToTheirCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, settings{gateway: func(o *gateway.Options) {
			o.Authenticate = func(r *http.Request) (caller.Identity, error) {
				switch who := r.Header.Get("Authorization"); who {
				case "Bearer ann", "Bearer bob":
					return caller.Identity{ID: who[7:]}, nil
				}
				return caller.Identity{}, &caller.Error{Status: 401, Challenge: `Bearer realm="recloser"`, Message: "who are you"}
			}
		}}, sample(t, "one"))
		synctest.Wait()
		ann, bob := []string{"Authorization", "Bearer ann"}, []string{"Authorization", "Bearer bob"}
		id := r.open("/mcp", elder, ann...)
		const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
		foreign := r.post("/mcp", ping, append(bob, "Mcp-Session-Id", id)...)
		unknown := r.post("/mcp", ping, append(bob, "Mcp-Session-Id", strings.Repeat("x", 32))...)
		if foreign.status != 404 || foreign.body != unknown.body || foreign.status != unknown.status {
			t.Errorf("a foreign session: %d %s; an unknown one: %d %s", foreign.status, foreign.body, unknown.status, unknown.body)
		}
		for _, method := range []string{"GET", "DELETE"} {
			if a := r.do(r.request(method, "/mcp", "", append(bob, "Mcp-Session-Id", id)...)); a.status != 404 {
				t.Errorf("%s: %d", method, a.status)
			}
		}
		if a := r.post("/mcp", ping, append(ann, "Mcp-Session-Id", id)...); a.status != 200 {
			t.Errorf("its owner: %d %s", a.status, a.body)
		}
		a := r.post("/mcp", ping, "Mcp-Session-Id", id)
		if a.status != 401 || a.header.Get("Www-Authenticate") != `Bearer realm="recloser"` || a.rpc(t).Error == nil {
			t.Errorf("nobody: %d %v %s", a.status, a.header, a.body)
		}
	})
}

func TestCheckComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, settings{gateway: func(o *gateway.Options) {
			o.Check = func(r *http.Request) error {
				if r.Header.Get("Origin") != "" {
					return &caller.Error{Status: 403, Message: "not from there"}
				}
				return nil
			}
			o.Authenticate = func(*http.Request) (caller.Identity, error) { return caller.Identity{}, errors.New("broken") }
		}}, sample(t, "one"))
		if a := r.post("/mcp", `{}`, "Origin", "https://evil.example"); a.status != 403 {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := r.post("/mcp", `{}`); a.status != 500 || strings.Contains(a.body, "broken") {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

func TestTooManySessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, settings{sessions: session.Options{Max: 2}}, sample(t, "one"))
		r.open("/mcp", elder)
		id := r.open("/mcp", elder)
		a := r.post("/mcp", `{"jsonrpc":"2.0","id":"x","method":"initialize","params":{"protocolVersion":"2025-11-25"}}`)
		if a.status != 503 || a.header.Get("Retry-After") == "" || a.header.Get("Mcp-Session-Id") != "" {
			t.Errorf("%d %v", a.status, a.header)
		}
		if e := a.rpc(t).Error; e.Code != gateway.CodeBackend || e.Message != "too many sessions are open" || !bytes.Contains(e.Data, []byte(`"reason":"no_capacity"`)) {
			t.Errorf("%s", a.body)
		}
		r.do(r.request("DELETE", "/mcp", "", "Mcp-Session-Id", id))
		r.open("/mcp", elder)
	})
}

// endless is a body that never ends, and counts what was read of it.
type endless struct{ read atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read.Add(int64(len(p)))
	return len(p), nil
}

func TestAnEndlessBodyIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, settings{gateway: func(o *gateway.Options) { o.Limits.RequestBytes = 1 << 20 }}, sample(t, "one"))
		body := &endless{}
		req := r.request("POST", "/mcp", "")
		req.Body, req.ContentLength = io.NopCloser(body), -1
		resp, err := r.http.Do(req)
		if err == nil {
			if resp.StatusCode != 413 {
				t.Errorf("status %d", resp.StatusCode)
			}
			_ = resp.Body.Close()
		}
		if n := body.read.Load(); n > 4<<20 {
			t.Errorf("%d bytes were read", n)
		}
	})
}

func TestABodyThatTricklesIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, settings{}, sample(t, "one"))
		pr, pw := io.Pipe()
		defer pw.Close()
		go func() {
			for i := 0; i < 1000; i++ {
				if _, err := pw.Write([]byte(" ")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		req := r.request("POST", "/mcp", "")
		req.Body, req.ContentLength = pr, -1
		start := time.Now()
		resp, err := r.http.Do(req)
		if err == nil {
			if resp.StatusCode != 408 {
				t.Errorf("status %d", resp.StatusCode)
			}
			_ = resp.Body.Close()
		}
		if took := time.Since(start); took > 61*time.Second {
			t.Errorf("it took %s", took)
		}
		_ = pr.Close()
		time.Sleep(2 * time.Second) // the sender notices
	})
}

func TestACallMayTakeLongerThanItsBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, settings{}, sample(t, "one", backendtest.WithTool("slow", backendtest.Slow(5*time.Minute))))
		synctest.Wait()
		if a := r.ask(modern, "", "/mcp", "tools/call", "a_slow", `"name":"a_slow"`); a.text(t) != "{}" {
			t.Error(a.body)
		}
	})
}

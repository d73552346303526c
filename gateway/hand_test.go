package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/wire"
)

// hand is a client by hand, for what no SDK does and for what an SDK hides.
type hand struct {
	r            *rig
	cell         cell
	session      string   // of an elder revision
	capabilities string   // JSON
	headers      []string // of every request
}

// hand begins a conversation by hand.
func (c cell) hand(r *rig, capabilities string, headers ...string) *hand {
	r.t.Helper()
	h := &hand{r: r, cell: c, capabilities: capabilities, headers: headers}
	if c.front == modern {
		return h
	}
	a := r.post(c.path, fmt.Sprintf(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":%q,"capabilities":%s,"clientInfo":{"name":"t","version":"1"}}}`, c.front, capabilities), headers...)
	if h.session = a.header.Get("Mcp-Session-Id"); a.status != 200 || h.session == "" {
		r.t.Fatalf("initialize: %d %s", a.status, a.body)
	}
	if a := h.say(`{"jsonrpc":"2.0","method":"notifications/initialized"}`); a.status != 202 || a.body != "" {
		r.t.Fatalf("initialized: %d %s", a.status, a.body)
	}
	return h
}

// in are the headers of a request in the session.
func (h *hand) in() []string {
	return append([]string{"Mcp-Session-Id", h.session, "Mcp-Protocol-Version", h.cell.front}, h.headers...)
}

// say sends any message of an elder client.
func (h *hand) say(body string) answer {
	h.r.t.Helper()
	return h.r.post(h.cell.path, body, h.in()...)
}

// reply answers a question, as an elder client does; how is a result or an error
// member.
func (h *hand) reply(id json.RawMessage, how string) {
	h.r.t.Helper()
	if a := h.say(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,%s}`, id, how)); a.status != 202 || a.body != "" {
		h.r.t.Errorf("reply: %d %s", a.status, a.body)
	}
}

// request makes a request. params and meta are members without brackets.
func (h *hand) request(id, method, name, params string, meta ...string) *http.Request {
	h.r.t.Helper()
	headers := h.in()
	if h.cell.front == modern {
		meta = append(meta, `"io.modelcontextprotocol/protocolVersion":"2026-07-28"`,
			`"io.modelcontextprotocol/clientCapabilities":`+h.capabilities)
		headers = append(modernHeaders(method, name), h.headers...)
	}
	if len(meta) > 0 {
		params = join(params, `"_meta":{`+strings.Join(meta, ",")+`}`)
	}
	return h.r.request(http.MethodPost, h.cell.path, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":{%s}}`, id, method, params), headers...)
}

// call makes a request that calls a tool of the backend.
func (h *hand) call(id, tool, params string, meta ...string) *http.Request {
	h.r.t.Helper()
	name := h.cell.public(tool)
	return h.request(id, "tools/call", name, join(`"name":"`+name+`"`, params), meta...)
}

// standing opens the stream of a session.
func (h *hand) standing() *stream {
	h.r.t.Helper()
	return h.r.stream(h.r.request(http.MethodGet, h.cell.path, "", h.in()...))
}

// message is any message of a stream or an answer.
type message struct {
	raw    string
	ID     json.RawMessage
	Method string
	Params json.RawMessage
	Result json.RawMessage
	Error  *rpcError
}

func parse(t testing.TB, raw []byte) message {
	t.Helper()
	m := message{raw: string(raw)}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatalf("%v: %q", err, raw)
	}
	return m
}

// message waits for the next message of the stream.
func (s *stream) message(t testing.TB) message {
	t.Helper()
	raw, ok := s.next(t)
	if !ok {
		t.Fatal("the stream has ended")
	}
	return parse(t, raw)
}

// until reads the stream up to the message with an id, and returns those before.
func (s *stream) until(t testing.TB, id string) (before []message, last message) {
	t.Helper()
	for {
		m := s.message(t)
		if string(m.ID) == id && m.Method == "" {
			return before, m
		}
		before = append(before, m)
	}
}

// exchange sends a request and returns the messages of its answer, be it JSON or
// a stream: the response is the last.
func (h *hand) exchange(q *http.Request) []message {
	h.r.t.Helper()
	return h.converse(q, func(m message) string { return `"error":{"code":-32601,"message":"what?"}` })
}

// converse sends a request and answers what it is asked meanwhile with a result or
// an error member.
func (h *hand) converse(q *http.Request, answer func(m message) string) (all []message) {
	h.r.t.Helper()
	resp, err := h.r.http.Do(q)
	if err != nil {
		h.r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			h.r.t.Fatalf("%v after %q", err, body)
		}
		return []message{parse(h.r.t, body)}
	}
	s := &stream{resp: resp, events: wire.NewEventReader(resp.Body, 64<<20)}
	for {
		raw, ok := s.next(h.r.t)
		if !ok {
			return all
		}
		m := parse(h.r.t, raw)
		all = append(all, m)
		if m.Method != "" && m.ID != nil {
			h.reply(m.ID, answer(m))
		}
	}
}

// inputs are what an input_required result asks for.
type inputs struct {
	ResultType    string
	InputRequests map[string]struct {
		Method string
		Params json.RawMessage
	}
	RequestState string
}

// inputs reads a result that asks for more.
func (m message) inputs(t testing.TB) (in inputs) {
	t.Helper()
	if m.Error != nil {
		t.Fatalf("error %d: %s", m.Error.Code, m.Error.Message)
	}
	if err := json.Unmarshal(m.Result, &in); err != nil || in.ResultType != "input_required" {
		t.Fatalf("nothing is asked: %s", m.raw)
	}
	return in
}

// answered are params that answer everything asked for alike.
func (in inputs) answered(result string) string {
	var responses []string
	for key := range in.InputRequests {
		responses = append(responses, fmt.Sprintf(`%q:%s`, key, result))
	}
	params := `"inputResponses":{` + strings.Join(responses, ",") + `}`
	if in.RequestState != "" {
		params += fmt.Sprintf(`,"requestState":%q`, in.RequestState)
	}
	return params
}

// text is the text of a tool's result.
func (m message) text(t testing.TB) string {
	t.Helper()
	if m.Error != nil {
		t.Fatalf("error %d: %s %s", m.Error.Code, m.Error.Message, m.Error.Data)
	}
	var r struct{ Content []struct{ Text string } }
	if err := json.Unmarshal(m.Result, &r); err != nil || len(r.Content) == 0 {
		t.Fatalf("no text: %s", m.raw)
	}
	return r.Content[0].Text
}

// byHand answers requests of a backend with a result in JSON, where fn returns
// one.
func byHand(fn func(m backendtest.Message) string) backendtest.Option {
	return backendtest.WithHandler(func(w http.ResponseWriter, _ *http.Request, m backendtest.Message) bool {
		result := fn(m)
		if result == "" {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(m.RPCResult(json.RawMessage(result)))
		return true
	})
}

func decode(t testing.TB, doc string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(doc), &v); err != nil {
		t.Fatalf("%v: %s", err, doc)
	}
	return v
}

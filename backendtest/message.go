package backendtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

// Names that Message.Method takes for what is not a JSON-RPC request.
const (
	MethodGet      = "GET"      // the standing stream of the elder revisions
	MethodDelete   = "DELETE"   // the end of a session of the elder revisions
	MethodResponse = "response" // a client's answer to a request of the server
	MethodBatch    = "batch"    // a JSON array
	MethodInvalid  = "invalid"  // a body that is no JSON-RPC message
)

// firstModern is the first revision without sessions and without initialize.
const firstModern = "2026-07-28"

// maxBody bounds what the server reads of a request.
const maxBody = 64 << 20

var errTooLarge = errors.New("backendtest: the request is too large")

// Message is what the server understood of a request before anything answered
// it. It is shared by everything that handles the request: do not modify it.
type Message struct {
	// Method is the JSON-RPC method, or one of the Method constants.
	Method string
	// ID is the raw JSON-RPC id, nil for notifications.
	ID json.RawMessage
	// Params are the raw params, nil when absent.
	Params json.RawMessage
	// Name is params.name, or params.uri when there is no name.
	Name string
	// Revision is the MCP-Protocol-Version header, else the revision in the
	// request's _meta, else empty.
	Revision string
	// Session is the Mcp-Session-Id header.
	Session string
	// Credential is the bearer token, or the whole credential header when it
	// is not a bearer token. Empty when there is none.
	Credential string
	// Body is the whole request body.
	Body []byte
}

// Modern reports whether the message belongs to revision 2026-07-28 or later.
func (m Message) Modern() bool { return m.Revision >= firstModern }

// arguments returns params.arguments as they came.
func (m Message) arguments() json.RawMessage {
	var p struct {
		Arguments json.RawMessage `json:"arguments"`
	}
	_ = json.Unmarshal(m.Params, &p) // params of another shape have none
	return p.Arguments
}

// RPCResult is the JSON-RPC response to m with the given result.
func (m Message) RPCResult(result json.RawMessage) []byte {
	return rpcBody(m.ID, "result", result)
}

// RPCError is the JSON-RPC error response to m. Data may be nil.
func (m Message) RPCError(code int, text string, data any) []byte {
	e := struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Data    any    `json:"data,omitempty"`
	}{code, text, data}
	return rpcBody(m.ID, "error", mustJSON(e))
}

func rpcBody(id json.RawMessage, member string, value json.RawMessage) []byte {
	if len(id) == 0 {
		id = json.RawMessage("null")
	}
	var b bytes.Buffer
	b.WriteString(`{"jsonrpc":"2.0","id":`)
	b.Write(id)
	b.WriteString(`,"` + member + `":`)
	b.Write(value)
	b.WriteByte('}')
	return b.Bytes()
}

// mustJSON marshals values of this package's own making.
func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic("backendtest: " + err.Error())
	}
	return b
}

type messageKey struct{}

// MessageFrom returns the message that a tool, a middleware or a handler of
// this package is answering. Ok is false for any other context.
func MessageFrom(ctx context.Context) (m Message, ok bool) {
	p, ok := ctx.Value(messageKey{}).(*Message)
	if !ok {
		return Message{}, false
	}
	return *p, true
}

// readMessage reads the body, leaves a fresh copy in r, and says what it holds.
func readMessage(r *http.Request, credentialHeader string) (*Message, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxBody {
		return nil, errTooLarge
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	m := &Message{
		Body:       body,
		Revision:   r.Header.Get("Mcp-Protocol-Version"),
		Session:    r.Header.Get("Mcp-Session-Id"),
		Credential: credentialOf(r.Header.Get(credentialHeader)),
	}
	if r.Method != http.MethodPost {
		m.Method = r.Method
		return m, nil
	}
	m.parse()
	return m, nil
}

func (m *Message) parse() {
	var wire struct {
		Method string          `json:"method"`
		ID     json.RawMessage `json:"id"`
		Params json.RawMessage `json:"params"`
	}
	trimmed := bytes.TrimLeft(m.Body, " \t\r\n")
	switch {
	case len(trimmed) > 0 && trimmed[0] == '[':
		m.Method = MethodBatch
		return
	case json.Unmarshal(m.Body, &wire) != nil:
		m.Method = MethodInvalid
		return
	case wire.Method == "" && len(wire.ID) > 0:
		m.Method = MethodResponse
	case wire.Method == "":
		m.Method = MethodInvalid
	default:
		m.Method = wire.Method
	}
	m.ID, m.Params = wire.ID, wire.Params
	var params struct {
		Name string `json:"name"`
		URI  string `json:"uri"`
		Meta struct {
			Revision string `json:"io.modelcontextprotocol/protocolVersion"`
		} `json:"_meta"`
	}
	// Params of another shape than an object are the server's business.
	_ = json.Unmarshal(wire.Params, &params)
	if m.Name = params.Name; m.Name == "" {
		m.Name = params.URI
	}
	if m.Revision == "" {
		m.Revision = params.Meta.Revision
	}
}

// credentialOf strips the bearer scheme, whose name is case-insensitive
// (RFC 9110 section 11.1).
func credentialOf(header string) string {
	scheme, token, ok := strings.Cut(header, " ")
	if ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return header
}

package gateway

import (
	"net/http"

	"github.com/recloser-mcp/recloser/catalog"
	"github.com/recloser-mcp/recloser/wire"
)

// postModern serves a message of 2026-07-28: it carries everything that is known
// of its client, and its headers say the same as its body.
func (q *request) postModern() {
	switch q.env.Kind {
	case wire.Notification:
		q.w.WriteHeader(http.StatusAccepted)
		return
	case wire.Response:
		q.fail(http.StatusBadRequest, wire.InvalidRequest, "clients of 2026-07-28 send no responses", nil)
		return
	}
	if q.checkMeta() && q.checkHeaders() {
		q.serve()
	}
}

// checkMeta wants the fields that every request has (basic/index, "Per-request
// protocol fields"), and a log level that is one, if any
// (server/utilities/logging, "Error Handling"). The version has been looked at
// already.
func (q *request) checkMeta() bool {
	c := q.env.ClientCapabilities.Of(q.body)
	if len(c) == 0 || c[0] != '{' {
		q.invalid(http.StatusBadRequest, "params._meta lacks "+wire.MetaClientCapabilities)
		return false
	}
	if l := q.env.LogLevel.Of(q.body); l != nil {
		if level, _ := wire.Unquote(l); !levels[level] {
			q.invalid(http.StatusBadRequest, wire.MetaLogLevel+" in params._meta is no log level: use "+knownLevels)
			return false
		}
	}
	return true
}

// checkHeaders compares the standard headers with the body (streamable-http,
// "Server Validation").
func (q *request) checkHeaders() bool {
	method, err := q.header(wire.HeaderMethod)
	switch {
	case err != nil || method == "":
		q.mismatch("the header Mcp-Method has to be there once")
		return false
	case method != q.env.Method:
		q.mismatch("Mcp-Method and the method of the body differ")
		return false
	}
	if wire.NameField(q.env.Method) == "" {
		return true
	}
	sent, err := q.header(wire.HeaderName)
	if err != nil || sent == "" {
		q.mismatch("the header Mcp-Name has to be there once")
		return false
	}
	var room [128]byte
	name, ok := wire.UnquoteBytes(room[:0], q.env.NameAt().Of(q.body))
	if !ok {
		q.invalid(http.StatusOK, "params lacks "+wire.NameField(q.env.Method))
		return false
	}
	if sent == string(name) && sent[0] != '=' {
		return true // the usual case, without decoding
	}
	if decoded, err := wire.DecodeHeaderValue(sent); err != nil || decoded != string(name) {
		q.mismatch("Mcp-Name and the name in the body differ")
		return false
	}
	return true
}

// checkParams compares the headers that mirror arguments of a tool with the
// arguments, and returns them as a backend of any name wants them
// (streamable-http, "Server Behavior for Custom Headers").
func (q *request) checkParams(tool *catalog.Entry) (values []wire.HeaderValue, ok bool) {
	values = wire.HeaderValues(q.env.Arguments.Of(q.body), tool.Params)
	if !q.modern() {
		return values, true
	}
	for _, p := range tool.Params {
		key := http.CanonicalHeaderKey(p.Name)
		sent, err := q.header(key)
		want := headerNamed(values, p.Name)
		switch {
		case err != nil:
			q.mismatch("the header " + p.Name + " is there several times")
		case want == nil && q.r.Header[key] != nil:
			q.mismatch("the header " + p.Name + " stands for an argument that is not there")
		case want != nil && q.r.Header[key] == nil:
			q.mismatch("the header " + p.Name + " is missing")
		case want != nil && !want.Matches(sent):
			q.mismatch("the header " + p.Name + " and the argument differ")
		default:
			continue
		}
		return nil, false
	}
	return values, true
}

func headerNamed(values []wire.HeaderValue, name string) *wire.HeaderValue {
	for i := range values {
		if values[i].Name == name {
			return &values[i]
		}
	}
	return nil
}

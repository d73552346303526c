package backendtest

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// answer is what a Status fault sends.
type answer struct {
	status  int
	header  http.Header
	body    []byte
	size    int64 // filler bytes after body
	rpcCode int   // non-zero: a JSON-RPC error to the request's own id
	rpcText string
	rpcData any
}

// Header adds a header to the answer of a Status fault: WWW-Authenticate,
// Retry-After, Location.
func (f Fault) Header(name, value string) Fault {
	h := f.answer.header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Add(name, value)
	f.answer.header = h
	return f
}

// Body sets the body of a Status fault's answer. Its type is text/plain unless
// Header says otherwise, or application/json when it starts with a brace.
func (f Fault) Body(b string) Fault {
	f.answer.body = []byte(b)
	return f
}

// BodySize makes the body of a Status fault n bytes long, streamed without an
// announced length, for as long as the client reads: 10 GB cost no memory.
func (f Fault) BodySize(n int64) Fault {
	f.answer.size = n
	return f
}

// HeaderSize adds a header of n bytes to the answer of a Status fault.
func (f Fault) HeaderSize(name string, n int) Fault {
	return f.Header(name, strings.Repeat("x", n))
}

// RPCError makes the body a JSON-RPC error response to the request, such as a
// policy's 403. Data may be nil.
func (f Fault) RPCError(code int, text string, data any) Fault {
	f.answer.rpcCode, f.answer.rpcText, f.answer.rpcData = code, text, data
	return f
}

// Challenge adds a WWW-Authenticate header of the Bearer scheme (RFC 6750
// section 3) with an error code, none when empty, and the scopes it asks for.
func (f Fault) Challenge(code string, scopes ...string) Fault {
	return f.Header("WWW-Authenticate", bearerChallenge(code, scopes...))
}

func bearerChallenge(code string, scopes ...string) string {
	var params []string
	if code != "" {
		params = append(params, `error="`+code+`"`)
	}
	if len(scopes) > 0 {
		params = append(params, `scope="`+strings.Join(scopes, " ")+`"`)
	}
	return strings.TrimSpace("Bearer " + strings.Join(params, ", "))
}

func (a answer) write(w http.ResponseWriter, m *Message) {
	body := a.body
	if a.rpcCode != 0 {
		body = m.RPCError(a.rpcCode, a.rpcText, a.rpcData)
	}
	h := w.Header()
	for name, values := range a.header {
		h[name] = append(h[name], values...)
	}
	if h.Get("Content-Type") == "" {
		kind := "text/plain; charset=utf-8"
		if bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
			kind = "application/json"
		}
		h.Set("Content-Type", kind)
	}
	if a.size == 0 && bodyAllowed(a.status) {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(a.status)
	if !bodyAllowed(a.status) {
		return
	}
	// A client that leaves in the middle is no fault of the answer.
	_, _ = w.Write(body)
	_, _ = io.CopyN(w, filler{}, a.size-min(a.size, int64(len(body))))
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// filler is endless.
type filler struct{}

func (filler) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

package gateway

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/wire"
)

// CodeBackend is the code of the JSON-RPC error that a client gets when a backend
// or the gateway cannot serve a sound request. Its data is an object:
//
//	backend       name in the configuration; absent when it is the gateway
//	reason        reason code, as in the status
//	status        HTTP status of the backend's last answer; absent without one
//	attempts      sends made
//	since         when the trouble began, RFC 3339; absent when unknown
//	retryAfterMs  when trying again makes sense; absent when unknown
//	outcomeUnknown  true: the backend may have acted on the request
//	hint          what the reader can do
//
// It lies outside the range that JSON-RPC reserves, as 2026-07-28 asks of codes
// that the specification does not define (basic/index, "Error Codes").
const CodeBackend = -31001

// Reason codes of the gateway itself.
const (
	reasonSessions = "no_capacity"
	reasonUnknown  = "unknown"
)

var (
	typeJSON = []string{"application/json"}
	typeSSE  = []string{"text/event-stream"}
	noStore  = []string{"no-store"}
)

// refuse answers with a JSON-RPC error and an HTTP status of its own. id is nil
// where none could be read.
func refuse(w http.ResponseWriter, status int, id []byte, code int, msg string) {
	send(w, status, wire.ErrorBody(id, code, msg, nil))
}

// send writes a complete JSON answer.
func send(w http.ResponseWriter, status int, doc []byte) {
	h := w.Header()
	h["Content-Type"] = typeJSON
	if status >= 400 {
		h["Cache-Control"] = noStore
	}
	setLength(h, len(doc))
	w.WriteHeader(status)
	_, _ = w.Write(doc) // a client that left is told by its context
}

// ownLength is the size up to which net/http counts the bytes of an answer by
// itself.
const ownLength = 2048

func setLength(h http.Header, n int) {
	if n > ownLength {
		h["Content-Length"] = []string{strconv.Itoa(n)}
	}
}

// fail answers the request with a JSON-RPC error.
func (q *request) fail(status, code int, msg string, data []byte) {
	q.failure = strconv.Itoa(code)
	send(q.w, status, wire.ErrorBody(q.id(), code, msg, data))
}

// invalid answers that the parameters are wrong. It is an answer like any other
// but where the specification wants a status.
func (q *request) invalid(status int, msg string) { q.fail(status, wire.InvalidParams, msg, nil) }

// mismatch answers that headers and body disagree (streamable-http, "Server
// Validation").
func (q *request) mismatch(msg string) {
	q.fail(http.StatusBadRequest, wire.HeaderMismatch, msg, nil)
}

// unknownMethod answers that a method is not served. 2026-07-28 wants it to be
// visible in the status too (streamable-http, "Protocol Version Header").
func (q *request) unknownMethod() {
	status := http.StatusOK
	if q.modern() {
		status = http.StatusNotFound
	}
	q.fail(status, wire.MethodNotFound, "the method is not served here", nil)
}

// unavailable answers that a backend could not be made to answer.
func (q *request) unavailable(err error) {
	q.failure = reasonOf(err)
	send(q.w, http.StatusOK, backendError(q.id(), err))
}

// backendError makes the JSON-RPC error for an error of a backend. Nothing in it
// was written by the backend.
func backendError(id []byte, err error) []byte {
	e, ok := errors.AsType[*backend.Error](err)
	if !ok {
		return wire.ErrorBody(id, CodeBackend, "the backend cannot be used", []byte(`{"reason":"unknown"}`))
	}
	msg := "backend " + e.Backend + " gives no answer: " + e.Kind.Reason()
	if e.Detail != "" {
		msg += ": " + e.Detail
	}
	if e.OutcomeUnknown {
		msg += " (outcome unknown)"
	}
	d := wire.Quote([]byte(`{"backend":`), e.Backend)
	d = wire.Quote(append(d, `,"reason":`...), e.Kind.Reason())
	if e.Status != 0 {
		d = strconv.AppendInt(append(d, `,"status":`...), int64(e.Status), 10)
	}
	d = strconv.AppendInt(append(d, `,"attempts":`...), int64(e.Attempts), 10)
	if !e.Since.IsZero() {
		d = append(e.Since.UTC().AppendFormat(append(d, `,"since":"`...), time.RFC3339Nano), '"')
	}
	if e.RetryAfter > 0 {
		d = strconv.AppendInt(append(d, `,"retryAfterMs":`...), e.RetryAfter.Milliseconds(), 10)
	}
	if e.OutcomeUnknown {
		d = append(d, `,"outcomeUnknown":true`...)
	}
	if hint := e.Hint(); hint != "" {
		d = wire.Quote(append(d, `,"hint":`...), hint)
	}
	return wire.ErrorBody(id, CodeBackend, msg, append(d, '}'))
}

func reasonOf(err error) string {
	if e, ok := errors.AsType[*backend.Error](err); ok {
		return e.Kind.Reason()
	}
	return reasonUnknown
}

// notFound answers that a name or URI is nobody's.
func (q *request) notFound(what, name string) {
	if b := q.paused(name); b != "" {
		data := wire.Quote([]byte(`{"backend":`), b)
		data = append(wire.Quote(append(data, `,"reason":"disabled","hint":`...), "to use it again: recloser backend resume "+b), '}')
		q.fail(http.StatusOK, CodeBackend, "backend "+shorten(b)+" is paused", data)
		return
	}
	msg := "there is no " + what + " " + strconv.Quote(shorten(name))
	if missing := q.view().Missing(); len(missing) > 0 {
		msg += "; backends that could not be listed yet: " + shorten(strings.Join(missing, ", "))
	}
	code := wire.InvalidParams
	var data []byte
	switch q.env.Method {
	case wire.MethodRead, wire.MethodSubscribe, wire.MethodUnsubscribe:
		data = append(wire.Quote([]byte(`{"uri":`), name), '}')
		if !q.modern() {
			code = wire.ResourceNotFound
		}
	}
	q.fail(http.StatusOK, code, msg, data)
}

// shorten cuts what came with a request to what a message can bear.
func shorten(s string) string {
	const limit = 200
	if len(s) > limit {
		return s[:limit] + "..."
	}
	return s
}

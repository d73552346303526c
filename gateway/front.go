package gateway

import (
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/recloser-mcp/recloser/wire"
)

// post serves one message of a client.
func (q *request) post() {
	if !isJSON(q.r.Header) {
		refuse(q.w, http.StatusUnsupportedMediaType, nil, wire.InvalidRequest, "the Content-Type of a message is application/json")
		return
	}
	if !accepts(q.r.Header, typeJSON[0], typeSSE[0]) {
		refuse(q.w, http.StatusNotAcceptable, nil, wire.InvalidRequest, "Accept has to name application/json and text/event-stream")
		return
	}
	if !q.read() {
		return
	}
	modern, ok := q.era()
	if !ok {
		return
	}
	// A standing stream is no operation with a duration.
	if q.env.Kind == wire.Request && q.env.Method != wire.MethodListen && q.g.o.Trace.Start != nil {
		o, began := q.operation(), time.Now()
		q.ctx = q.g.o.Trace.Start(q.ctx, q.r.Header, o)
		defer func() { q.g.o.Trace.End(q.ctx, o, time.Since(began), q.failure) }()
	}
	if modern {
		q.postModern()
	} else {
		q.postElder()
	}
}

// read reads the message and scans it; false means that it has been refused.
func (q *request) read() bool {
	var err error
	q.body, err = readTimed(q.w, q.r, q.g.requestBytes.Load())
	switch {
	case errors.Is(err, errTooLarge):
		drain(q.w, q.r, q.g.requestBytes.Load())
		refuse(q.w, http.StatusRequestEntityTooLarge, nil, wire.InvalidRequest, "the message is larger than the gateway allows")
		return false
	case errors.Is(err, os.ErrDeadlineExceeded):
		q.w.Header()["Connection"] = []string{"close"}
		refuse(q.w, http.StatusRequestTimeout, nil, wire.ParseError, "the body took too long")
		return false
	case err != nil:
		refuse(q.w, http.StatusBadRequest, nil, wire.ParseError, "the body ended early")
		return false
	}
	q.env, err = wire.Scan(q.body)
	if bad, ok := errors.AsType[*wire.ScanError](err); ok {
		refuse(q.w, http.StatusBadRequest, q.id(), bad.Code, bad.Error())
		return false
	}
	if q.env.Kind == wire.Batch {
		refuse(q.w, http.StatusBadRequest, nil, wire.InvalidRequest, "batches are not served: send one message at a time")
		return false
	}
	return true
}

// era decides by which rules a message is served; ok false means that it has
// been refused. A message is modern if it says so, in its header or in its
// _meta; initialize opens the elder era (basic/versioning, 2026-07-28).
func (q *request) era() (modern, ok bool) {
	said, err := q.header(wire.HeaderProtocol)
	if err != nil {
		q.fail(http.StatusBadRequest, wire.HeaderMismatch, "Mcp-Protocol-Version is there several times", nil)
		return false, false
	}
	header, declared := wire.Revision(said), q.env.Revision(q.body)
	elder := declared == "" || declared.Known() && !declared.Stateless()
	switch {
	case elder && q.env.Method == wire.MethodInitialize:
		return false, true
	case elder && (header == "" || header.Known() && !header.Stateless()):
		return false, true
	case header != "" && !header.Known():
		q.unsupported(header)
		return false, false
	case q.env.Kind != wire.Request:
		q.revision = wire.Rev20260728
		return true, true
	case header == "":
		q.mismatch("the header Mcp-Protocol-Version is missing")
	case declared == "":
		q.invalid(http.StatusBadRequest, "params._meta lacks "+wire.MetaProtocolVersion)
	case header != declared:
		q.mismatch("Mcp-Protocol-Version and " + wire.MetaProtocolVersion + " in params._meta differ")
	default:
		q.revision = declared
		return true, true
	}
	return false, false
}

// unsupported answers that the gateway does not speak a version
// (basic/versioning, "Protocol Version Negotiation").
func (q *request) unsupported(asked wire.Revision) {
	data := []byte(`{"supported":[`)
	for i, r := range wire.Revisions() {
		if i > 0 {
			data = append(data, ',')
		}
		data = wire.Quote(data, string(r))
	}
	data = append(wire.Quote(append(data, `],"requested":`...), shorten(string(asked))), '}')
	q.fail(http.StatusBadRequest, wire.UnsupportedVersion, "unsupported protocol version", data)
}

// operation names the request for telemetry. Names of a client's own making never
// become labels: a method that nobody defined is one of others.
func (q *request) operation() Operation {
	o := Operation{Method: q.env.Method, name: q.env.NameAt().Of(q.body), meta: q.env.Meta.Of(q.body)}
	if wire.ClassOf(o.Method) == wire.ClassUnknown {
		o.Method = "_OTHER"
	}
	return o
}

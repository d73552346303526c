package backend

import (
	"context"
	"io"
	"net/http"

	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/wire"
)

// Request is one request of the protocol, as a client made it.
type Request struct {
	Method string // of the protocol
	Name   string // tool, prompt or URI: the value that params hold, for Mcp-Name
	// ID is the client's id as raw JSON. It is used towards the backend too,
	// unless it is in flight there already. Empty: an id is made, and the answer
	// keeps it.
	ID []byte
	// Params is a raw JSON object, or nil. Names in it are the backend's.
	Params []byte
	// Header is sent beside the client's own headers: passed-through ones and
	// Mcp-Param-*. It is not written to.
	Header http.Header
	// ClientRevision is the revision that the answer is for. Empty stands for the
	// elder ones.
	ClientRevision wire.Revision
	Session        *Session // nil: the client's own
	// Tasks says that the backend answers with tasks: Response.Task tells which then.
	Tasks bool
	// StatelessOnly has the request fail with ErrSessions, unsent, when the backend
	// turns out to speak a revision with sessions.
	StatelessOnly bool
	// FreshID has the backend told an id of our own, for a request that repeats one
	// with the same ID (basic/patterns/mrtr, 2026-07-28).
	FreshID bool
	// Messages decides about what comes before the response. Nil: notifications
	// pass, and requests of an elder server pass to a client of such a revision;
	// for other clients they are declined.
	Messages Messages
	// Hold keeps back a response that a client of an elder revision has no word for,
	// input_required. An elder server's response to a client of 2026-07-28 it always
	// keeps back, but for large documents. See Response.Held.
	Hold bool
}

// Messages sees the requests and notifications that come in a stream before its
// response. Where it has a method ProgressToken() []byte, that returns the raw token
// for the client's progress, in place of the one in Params.
type Messages interface {
	// Message decides about one. e and raw are valid during the call only, which
	// must not block. For wire.Replace it returns what goes on instead; for
	// wire.Hold the body's Read returns wire.ErrHeld once.
	Message(e *wire.Envelope, raw []byte) (wire.Action, []byte)
}

// Response is the answer to a Request, in the form that the revision of the
// client wants: its id, and the members that an elder backend left out. A
// JSON-RPC error is an answer like any other.
type Response struct {
	Stream bool  // the body is a stream of server-sent events
	Length int64 // of the body; -1 when unknown
	// Body must be closed. It implements io.WriterTo, which writes each piece as
	// it arrives. Its errors are *Error; after some bytes they mean that the rest
	// is missing.
	Body io.ReadCloser
	// Status is that of the backend's answer where it is no 2xx: then the body is
	// a JSON-RPC error that came with it.
	Status int
	// Revision is that of the backend.
	Revision wire.Revision
	cl       *call
}

// Task returns the id of the task that the response tells of, "" when it tells of
// none. It is known once the body has been read to its end.
func (r *Response) Task() string {
	if r.cl == nil {
		return ""
	}
	return r.cl.task
}

// Held returns the response that Request.Hold kept back, in the form that the
// client's revision wants, nil when there is none. It is known once the body has
// been read to its end.
func (r *Response) Held() []byte {
	if r.cl == nil {
		return nil
	}
	return r.cl.held
}

// Do sends one request and returns its answer as it arrives. The error is an
// *[Error]; a JSON-RPC error of the backend is no error here. The context bounds
// the call, the reading of its body included.
//
// The request is executed at most once: it is sent again only when an answer's
// status says that it was refused, when its session was unknown, or when it
// never left.
func (c *Client) Do(ctx context.Context, q *Request) (*Response, error) {
	cl := c.newCall(ctx, q, ClassOf(q.Method))
	if err := cl.run(ctx); err != nil {
		cl.finish(err)
		return nil, err
	}
	resp, err := cl.reply()
	if err != nil {
		cl.finish(err)
		return nil, err
	}
	return resp, nil
}

// ClassOf returns what an accepted request of a method proves about the
// backend's authorization. Requests of methods that no revision defines are
// calls: they may well be guarded like one.
func ClassOf(method string) guard.Class {
	switch wire.ClassOf(method) {
	case wire.ClassHandshake, wire.ClassList, wire.ClassState:
		return guard.List
	case wire.ClassNotification, wire.ClassListen, wire.ClassClient:
		return guard.Stream
	}
	return guard.Call
}

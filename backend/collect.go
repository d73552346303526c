package backend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"

	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/wire"
)

// outcome runs the call and returns its one result.
func (cl *call) outcome(ctx context.Context) (json.RawMessage, error) {
	err := cl.run(ctx)
	if err != nil {
		cl.finish(err)
		return nil, err
	}
	var doc []byte
	if cl.x.status/100 != 2 {
		doc, err = cl.rejection(cl.x.resp)
	} else {
		doc, err = cl.readAnswer(cl.x.resp, cl.c.o.Limits.ResponseBytes)
	}
	if err != nil {
		cl.finish(err)
		return nil, err
	}
	a, bad := wire.ScanAnswer(doc)
	switch {
	case bad != nil:
		err = cl.unreadable("the answer is not a JSON-RPC response", nil)
		cl.finish(err)
		return nil, err
	case a.Error.Present():
		cl.rpc = cl.rpcError(doc, a)
		cl.finish(nil)
		return nil, cl.rpc
	}
	cl.finish(nil)
	return a.Result.Of(doc), nil
}

// readNested reads the answer to a request inside the call.
func (cl *call) readNested(m *message, resp *http.Response) ([]byte, *Error) {
	doc, err := cl.readAnswer(resp, handshakeBytes)
	if err != nil {
		err.Method = m.info.Method
		err.OutcomeUnknown = false
	}
	return doc, err
}

// readAnswer reads the response out of an answer of either form.
func (cl *call) readAnswer(resp *http.Response, limit int64) ([]byte, *Error) {
	m := cl.meter(resp, limit)
	switch {
	case isType(resp.Header, typeJSON):
		doc, err := io.ReadAll(m)
		if err != nil {
			return nil, cl.stopped(err)
		}
		return doc, nil
	case isType(resp.Header, typeSSE):
		return cl.readEvents(m, limit)
	}
	return nil, cl.unreadable("the answer is neither JSON nor an event stream", nil)
}

// readEvents reads a stream up to its response. Notifications are nobody's;
// requests are declined.
func (cl *call) readEvents(m *meter, limit int64) ([]byte, *Error) {
	m.left = math.MaxInt64 // of the stream; an event is bounded by its reader
	answered := false
	m.done = func() bool { return answered }
	events := wire.NewEventReader(m, int(limit))
	for {
		ev, err := events.Next()
		if errors.Is(err, io.EOF) {
			err = wire.ErrTruncated
		}
		if err != nil {
			return nil, cl.stopped(err)
		}
		if len(bytes.TrimSpace(ev.Data)) == 0 {
			continue
		}
		e, err := wire.Scan(ev.Data)
		switch {
		case e.Kind == wire.Response:
			doc := bytes.Clone(ev.Data)
			answered = true
			for err == nil {
				_, err = events.Next() // up to the end, which keeps the connection
			}
			return doc, nil
		case err != nil:
			return nil, cl.stopped(wire.ErrInvalid)
		case e.Kind == wire.Request && cl.session != nil:
			cl.c.decline(cl.session, &e, ev.Data)
		}
	}
}

// decline answers a request that a server of an elder revision makes of its
// client: a ping with a pong, all else with an error, so that it need not wait.
func (c *Client) decline(b *backendSession, e *wire.Envelope, raw []byte) {
	id := bytes.Clone(e.ID.Of(raw))
	why := "the client does not serve " + strings.ToValidUTF8(e.Method, "?")
	if c.o.Isolation == Shared {
		why += ": the session is shared by all clients (isolation: shared), so none of them can be asked"
	}
	body := wire.ErrorBody(id, wire.MethodNotFound, why, nil)
	if e.Method == wire.MethodPing {
		body = wire.ResultBody(id, nil)
	}
	m := &message{info: CallInfo{Backend: c.o.Name, Method: "response", Class: guard.Stream}, method: http.MethodPost,
		header: b.header, body: body, nested: true}
	c.background(farewellTime, func(ctx context.Context) { c.unguarded(ctx, m) })
}

package backend

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/recloser-mcp/recloser/wire"
)

// smallBytes is the size up to which an answer is read before it goes on.
const smallBytes = 32 << 10

// lingerTime is how long an event stream may stay open behind its response: its
// end keeps the connection for the next call, and mostly comes with it.
const lingerTime = 100 * time.Millisecond

var scratch = sync.Pool{New: func() any { return new([smallBytes]byte) }}

// meter is the answer's body as it arrives: it feeds the watchdog, bounds the
// size, and knows when the stream has said everything.
type meter struct {
	cl   *call
	body io.ReadCloser
	left int64       // bytes that may still come
	done func() bool // the response has been seen; nil: not a stream
	tail *time.Timer // it has, and the rest is only waited for

	again resumption
}

func (cl *call) meter(resp *http.Response, limit int64) *meter {
	cl.flow = meter{cl: cl, body: resp.Body, left: limit}
	return &cl.flow
}

var errTooLarge = errors.New("the answer is larger than allowed")

func (m *meter) Read(p []byte) (int, error) {
	if m.tail == nil && m.done != nil && m.done() {
		m.tail = time.AfterFunc(lingerTime, func() { _ = m.body.Close() })
	}
	n, err := m.body.Read(p)
	m.cl.dog.touch()
	if m.done != nil && m.tail == nil && m.cl.session != nil {
		if n > 0 {
			m.again.note(p[:n])
			m.again.tries = 0
		}
		// What came with the end is looked at first: it may be the response.
		if errors.Is(err, io.EOF) && (n > 0 || m.resume()) {
			err = nil
		}
	}
	if m.left -= int64(n); m.left < 0 {
		return n, errTooLarge
	}
	if m.tail != nil && err != nil {
		m.tail.Stop()
		return n, io.EOF
	}
	return n, err
}

// reply turns what the guard returned into an answer for the client.
func (cl *call) reply() (*Response, *Error) {
	resp := cl.x.resp
	if resp.StatusCode/100 != 2 {
		doc, err := cl.rejection(resp)
		if err != nil {
			return nil, err
		}
		return cl.whole(doc)
	}
	m := cl.meter(resp, cl.c.o.Limits.ResponseBytes)
	switch {
	case isType(resp.Header, typeJSON):
		return cl.document(resp, m)
	case isType(resp.Header, typeSSE):
		return cl.events(m), nil
	}
	return nil, cl.unreadable("the answer is neither JSON nor an event stream", nil)
}

// rejection reads an answer of an error status: the JSON-RPC error in it is the
// answer to the request, unless the status speaks of the server.
func (cl *call) rejection(resp *http.Response) ([]byte, *Error) {
	var doc []byte
	code := 0
	if resp.StatusCode/100 == 4 && resp.StatusCode != http.StatusTooManyRequests {
		doc = readRefusal(resp)
		if a, ok := rpcErrorIn(resp.Header, doc); ok {
			code = a.ErrorCode
		} else {
			doc = nil
		}
	}
	cl.c.doubt(cl.revision, resp.StatusCode, code)
	if doc != nil {
		return doc, nil
	}
	e := rejected(cl.info.Backend, cl.info.Method, cl.x)
	e.Attempts = cl.result.Attempts
	return nil, e
}

// document handles a JSON answer: small ones are read, checked and rewritten
// here, others while they pass.
func (cl *call) document(resp *http.Response, m *meter) (*Response, *Error) {
	n := resp.ContentLength
	if n > m.left {
		return nil, cl.unreadable("", errTooLarge)
	}
	if cl.holds() && (n > smallBytes && n < holdBytes || n < 0) {
		return cl.holdable(m)
	}
	if n >= 0 && n <= smallBytes {
		doc := make([]byte, n)
		if _, err := io.ReadFull(m, doc); err != nil {
			return nil, cl.stopped(err)
		}
		return cl.whole(doc)
	}
	if n > smallBytes {
		return cl.passing(m, n), nil
	}
	buf := scratch.Get().(*[smallBytes]byte)
	defer scratch.Put(buf)
	got, err := io.ReadFull(m, buf[:])
	start := bytes.Clone(buf[:got])
	switch {
	case err == nil:
		return cl.passing(io.MultiReader(bytes.NewReader(start), m), -1), nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return cl.whole(start)
	}
	return nil, cl.stopped(err)
}

// whole makes the answer from a complete document.
func (cl *call) whole(doc []byte) (*Response, *Error) {
	a, err := wire.ScanAnswer(doc)
	if err != nil {
		return nil, cl.unreadable("the answer is not a JSON-RPC response", err)
	}
	if a.Error.Present() {
		cl.rpc = cl.rpcError(doc, a)
	}
	cl.noteTask(doc)
	if cl.hold(doc, a) {
		cl.finish(nil)
		return cl.response(Response{Body: http.NoBody}), nil
	}
	// Whatever id came back: the connection says whose answer this is.
	o := cl.rewrite(cl.req.ID)
	if len(o.ID) > 0 && !bytes.Equal(a.ID.Of(doc), o.ID) || len(o.Members) > 0 && a.Result.Present() {
		if doc, err = wire.RewriteAnswer(make([]byte, 0, len(doc)+96), doc, o); err != nil {
			return nil, cl.unreadable("the answer is not a JSON-RPC response", err)
		}
	}
	if cl.rpc != nil {
		doc = cl.modernError(doc)
	}
	cl.finish(nil)
	w := &cl.out
	w.Reset(doc)
	w.Response = Response{Length: int64(len(doc)), Body: w, Revision: cl.revision, cl: cl}
	if cl.x.status/100 != 2 {
		w.Response.Status = cl.x.status
	}
	return &w.Response, nil
}

// wholeBody is a response together with its body.
type wholeBody struct {
	bytes.Reader
	Response
}

// Close implements io.Closer; there is nothing left to close.
func (*wholeBody) Close() error { return nil }

// passing makes an answer that is checked and rewritten on its way.
func (cl *call) passing(r io.Reader, length int64) *Response {
	var id []byte
	if len(cl.req.ID) > 0 && !bytes.Equal(cl.id, cl.req.ID) {
		id = cl.req.ID
	}
	o := cl.rewrite(id)
	if o.ID != nil || len(o.Members) > 0 {
		length = -1
	}
	return cl.response(Response{Length: length, Body: &passingBody{cl: cl, r: wire.NewAnswerRewriter(r, o)}})
}

// events makes an answer of a stream of events.
func (cl *call) events(m *meter) *Response {
	// Streams may go on for as long as they like; a single event may not.
	o := wire.StreamOptions{Rewrite: cl.rewrite(cl.req.ID), MaxEvent: int(m.left), DropIDs: true}
	if cl.watches() {
		o.Each = cl.each
	}
	m.left = math.MaxInt64
	s := wire.NewStreamRewriter(m, o)
	m.done = s.Done
	return cl.response(Response{Stream: true, Length: -1, Body: &passingBody{cl: cl, r: s, stream: s}})
}

// response completes an answer for the client.
func (cl *call) response(r Response) *Response {
	r.Revision, r.cl = cl.revision, cl
	return &r
}

// passingBody is the body of an answer that is still arriving. Its end, an error
// and Close all end the call.
type passingBody struct {
	cl *call
	r  interface {
		io.Reader
		io.WriterTo
	}
	stream *wire.StreamRewriter
	once   sync.Once
	err    error
}

// Read implements io.Reader. Its error is io.EOF, wire.ErrHeld or an *Error.
func (b *passingBody) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && !errors.Is(err, wire.ErrHeld) {
		err = b.end(err)
	}
	return n, err
}

// WriteTo implements io.WriterTo: one Write for each piece that arrives. Its
// error is that of w, or an *Error.
func (b *passingBody) WriteTo(w io.Writer) (int64, error) {
	out := &outlet{w: w}
	n, err := b.r.WriteTo(out)
	switch {
	case out.err != nil:
		_ = b.Close()
		return n, out.err
	case errors.Is(err, wire.ErrHeld):
		return n, err
	case err == nil:
		err = io.EOF
	}
	if err = b.end(err); errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// outlet remembers whether it was the writer that failed.
type outlet struct {
	w   io.Writer
	err error
}

func (o *outlet) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	o.err = err
	return n, err
}

// end settles the call at the end of its answer and returns the error to show.
func (b *passingBody) end(err error) error {
	b.once.Do(func() {
		if b.err = err; errors.Is(err, io.EOF) {
			b.cl.finish(nil)
			return
		}
		e := b.cl.stopped(err)
		b.cl.finish(e)
		b.err = e
	})
	return b.err
}

// Close ends the call if its answer was not read to the end. One goroutine may
// use the body; the context of the call ends a Read that blocks.
func (b *passingBody) Close() error {
	if b.stream != nil {
		defer b.stream.Close()
	}
	b.once.Do(func() {
		b.err = http.ErrBodyReadAfterClose
		e := b.cl.error(KindCanceled, context.Canceled)
		e.OutcomeUnknown = b.stream == nil || !b.stream.Done()
		b.cl.finish(e)
	})
	return nil
}

// stopped makes the error of an answer that broke off.
func (cl *call) stopped(err error) *Error {
	switch {
	case errors.Is(err, errTooLarge), errors.Is(err, wire.ErrTooLarge):
		return cl.unreadable("", errTooLarge)
	case context.Cause(cl.ctx) != nil:
		return cl.broken(err)
	case errors.Is(err, wire.ErrTruncated), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return cl.unreadable("the answer ended before it was complete", nil)
	case errors.Is(err, wire.ErrInvalid):
		return cl.unreadable("the answer is not a JSON-RPC response", nil)
	}
	return cl.broken(err)
}

// unreadable makes the error of an answer that is none. The backend may well
// have acted on the request.
func (cl *call) unreadable(detail string, err error) *Error {
	e := cl.error(KindProtocolError, err)
	e.Detail, e.OutcomeUnknown = detail, true
	if cl.x.status != 0 {
		e.Status = cl.x.status
	}
	return e
}

// rpcError copies the error out of a response. Errors are logged: where this one
// repeats the credential its words are left out.
func (cl *call) rpcError(doc []byte, a wire.Answer) *RPCError {
	text, _ := wire.Unquote(a.Message.Of(doc))
	e := &RPCError{Code: a.ErrorCode, Message: text, Data: bytes.Clone(a.Data.Of(doc))}
	if cl.credential == nil {
		return e
	}
	e.Message = cl.credential.Scrub(text)
	if data := string(e.Data); cl.credential.Scrub(data) != data {
		e.Data = nil
	}
	return e
}

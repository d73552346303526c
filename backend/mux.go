package backend

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/recloser-mcp/recloser/wire"
)

// link is a connection that carries messages and nothing else: the pipes of a
// process, or the stream and the address of the transport of 2024-11-05.
type link interface {
	// send delivers a message that came in a request with the headers h. refused
	// is an answer of HTTP to hand on in place of one to the message. Of an error
	// that is an *unsentError nothing has left.
	send(ctx context.Context, h http.Header, msg []byte) (refused *http.Response, err error)
	// post delivers a message of our own some time soon, or drops it.
	post(msg []byte)
}

// mux speaks streamable HTTP upward and messages downward, so that everything
// above an edge need not know which of the two a backend speaks. A request is
// answered by the messages that belong to it, up to its response; a GET is the
// standing stream.
//
// On one connection the ids of all clients meet, and an answer may come when its
// request was given up long ago. So every request goes down under a number of
// its own, as its id and as its progress token, and the client's come back in
// their places; a number is never used twice, and what names none that is in
// flight is dropped.
type mux struct {
	link link
	// odd is told of what arrives and is no message.
	odd func()
	// heard is told of each response, by the method of its request.
	heard func(method string)

	mu       sync.Mutex
	session  bool // all requests are of one session; else of whoever is stateless
	last     int64
	flights  map[int64]*flight
	standing *inbox
	waiting  []letter // until there is a stream
	err      error    // why it is over
}

// flight is a request that has no response yet.
type flight struct {
	inbox
	number    int64
	id, token []byte // the client's
	method    string
	over      func(answered bool) // called once, with the lock held; may be nil
}

var errStreamTaken = errors.New("the session has a standing stream")

func newMux(l link, odd func(), heard func(string)) *mux {
	return &mux{link: l, odd: odd, heard: heard, flights: map[int64]*flight{}}
}

// ofSession says that all requests from here on are of one session.
func (m *mux) ofSession() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.session = true
}

// post takes the message of a POST to the other end and returns the answer.
// over is told how a request ended.
func (m *mux) post(req *http.Request, msg []byte, e *wire.Envelope, over func(answered bool)) (*http.Response, error) {
	if e.Kind == wire.Request {
		return m.ask(req, msg, e, over)
	}
	msg, ok := m.told(msg, e)
	if ok {
		refused, err := m.link.send(req.Context(), req.Header, msg)
		if err != nil || refused != nil {
			return refused, err
		}
	}
	return respond(req, http.StatusAccepted, "", nil), nil
}

// ask delivers a request and waits for the first message that belongs to it: a
// backend that says nothing has not accepted anything.
func (m *mux) ask(req *http.Request, msg []byte, e *wire.Envelope, over func(bool)) (*http.Response, error) {
	f, msg, err := m.enroll(req.Context(), msg, e, over)
	if err != nil {
		return nil, &unsentError{err}
	}
	refused, err := m.link.send(req.Context(), req.Header, msg)
	if err != nil || refused != nil {
		_, unsent := errors.AsType[*unsentError](err)
		m.leave(f, refused == nil && !unsent)
		return refused, err
	}
	first, err := f.next()
	for err == nil && !first.final && handshake(e.Method) {
		m.declineAll([]letter{first}) // nobody listens before there is a session
		first, err = f.next()
	}
	if err != nil {
		m.leave(f, true)
		return nil, err
	}
	if first.final {
		status := http.StatusOK
		if first.code == wire.UnsupportedVersion && statelessRequest(req) {
			status = http.StatusBadRequest // as it is over HTTP, and tells the client to ask again
		}
		return respond(req, status, typeJSON, first.data), nil
	}
	body := &eventBody{in: &f.inbox, leave: func() { m.leave(f, true) }}
	body.frame(first.data)
	return stream(req, body), nil
}

// enroll gives a request its number, and returns it as it goes down.
func (m *mux) enroll(ctx context.Context, msg []byte, e *wire.Envelope, over func(bool)) (*flight, []byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, nil, m.err
	}
	m.last++
	f := &flight{number: m.last, id: bytes.Clone(e.ID.Of(msg)), token: bytes.Clone(e.ProgressToken.Of(msg)), method: e.Method, over: over}
	f.inbox = newInbox(ctx, m)
	m.flights[f.number] = f
	if m.standing == nil {
		f.hold(m.requestsWaiting())
	}
	number := strconv.AppendInt(nil, f.number, 10)
	edits := []wire.Edit{{Span: e.ID, New: number}}
	if e.ProgressToken.Present() {
		edits = append(edits, wire.Edit{Span: e.ProgressToken, New: number})
	}
	return f, oneLine(wire.Splice(nil, msg, edits...)), nil
}

// told prepares a notification or a response of the client. A note that a
// request is cancelled goes down with the request's number, unless nobody waits
// for its answer any more: then that has been said already.
func (m *mux) told(msg []byte, e *wire.Envelope) ([]byte, bool) {
	if e.Method != wire.NoteCancelled || !e.RequestID.Present() {
		return oneLine(bytes.Clone(msg)), true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.flights {
		if string(f.id) == string(e.RequestID.Of(msg)) {
			return oneLine(wire.Splice(nil, msg, wire.Edit{Span: e.RequestID, New: strconv.AppendInt(nil, f.number, 10)})), true
		}
	}
	return nil, false
}

// leave ends a request whose answer is not wanted any more, and says so if tell
// is set and there was none (basic/patterns/cancellation): here nothing is closed
// by which the other end could see it.
func (m *mux) leave(f *flight, tell bool) {
	m.mu.Lock()
	_, waits := m.flights[f.number]
	delete(m.flights, f.number)
	unread := f.shut(http.ErrBodyReadAfterClose)
	if waits {
		f.ended(false)
	}
	over := m.err != nil
	m.mu.Unlock()
	if over {
		return
	}
	m.declineAll(unread)
	if waits && tell && !handshake(f.method) {
		m.link.post(wire.CancelledNotification(strconv.AppendInt(nil, f.number, 10), ""))
	}
}

func (f *flight) ended(answered bool) {
	if f.over != nil {
		f.over(answered)
		f.over = nil
	}
}

// stand makes the answer to a GET: what belongs to no request. There is one such
// stream at a time.
func (m *mux) stand(req *http.Request) (*http.Response, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.err != nil:
		return nil, &unsentError{m.err}
	case m.standing != nil:
		return nil, errStreamTaken
	}
	in := newInbox(req.Context(), m)
	in.hold(m.waiting)
	m.waiting, m.standing = nil, &in
	return stream(req, &eventBody{in: &in, leave: func() { m.sit(&in) }}), nil
}

// sit ends the standing stream. What was not read waits for the next one.
func (m *mux) sit(in *inbox) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.standing == in {
		m.standing = nil
		m.waiting = in.shut(http.ErrBodyReadAfterClose)
	}
}

// fail ends everything: err is what every reader gets, once it has read what had
// come before.
func (m *mux) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return
	}
	m.err, m.waiting = err, nil
	for n, f := range m.flights {
		delete(m.flights, n)
		f.end(err)
		f.ended(false)
	}
	if m.standing != nil {
		m.standing.end(err)
	}
}

// over returns why everything has ended, nil while it has not.
func (m *mux) over() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// respond makes an answer that is complete.
func respond(req *http.Request, status int, typ string, body []byte) *http.Response {
	resp := response(req, status, typ)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp
}

// stream makes an answer of events.
func stream(req *http.Request, body io.ReadCloser) *http.Response {
	resp := response(req, http.StatusOK, typeSSE)
	resp.Body, resp.ContentLength = body, -1
	return resp
}

func response(req *http.Request, status int, typ string) *http.Response {
	resp := &http.Response{StatusCode: status, Status: strconv.Itoa(status) + " " + http.StatusText(status),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Request: req}
	if typ != "" {
		resp.Header["Content-Type"] = []string{typ}
	}
	return resp
}

// handshake reports whether a request is about the connection. It is answered as
// a whole and cannot be cancelled.
func handshake(method string) bool { return wire.ClassOf(method) == wire.ClassHandshake }

// statelessRequest reports whether a request is of a revision without sessions.
func statelessRequest(req *http.Request) bool {
	return wire.Revision(req.Header.Get(wire.HeaderProtocol)).Stateless()
}

package backend

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/recloser-mcp/recloser/wire"
)

// maxWaiting bounds what waits for a stream to be opened.
const maxWaiting = 64

// errGarbled ends a request whose answer arrived and cannot be read.
var errGarbled = fmt.Errorf("%w: the message is broken", wire.ErrInvalid)

// receive takes one message of the other end. The bytes are the mux's own from
// here on.
func (m *mux) receive(raw []byte) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return
	}
	e, err := wire.Scan(raw)
	switch {
	case err != nil || e.Kind == wire.Batch:
		m.garbled(raw, raw, errGarbled)
	case e.Kind == wire.Response:
		m.answer(raw, &e)
	case e.Kind == wire.Request:
		m.asked(raw, &e)
	default:
		m.notified(raw, &e)
	}
}

// answer hands a response to its request. One that nobody waits for is late, and
// dropped.
func (m *mux) answer(raw []byte, e *wire.Envelope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.flights[number(e.ID.Of(raw))]
	if f == nil && !e.ID.Present() { // the request could not be read there
		f = m.only()
	}
	if f == nil {
		return
	}
	delete(m.flights, f.number)
	l := letter{final: true}
	if e.Error.Present() {
		a, _ := wire.ScanAnswer(raw) // it was sound a moment ago
		l.code = a.ErrorCode
	}
	if e.ID.Present() {
		l.data = wire.Splice(nil, raw, wire.Edit{Span: e.ID, New: f.id})
	} else {
		l.data, _ = wire.RewriteAnswer(nil, raw, wire.RewriteOptions{ID: f.id})
	}
	if f.method == wire.MethodListen {
		l.data = f.subscribed(l.data)
	}
	f.push(l)
	f.end(io.EOF)
	f.ended(!e.Error.Present())
	m.heard(f.method)
}

// subscribed puts the client's id into the metadata of the response that ends a
// subscription.
func (f *flight) subscribed(doc []byte) []byte {
	a, err := wire.ScanAnswer(doc)
	if err != nil || !a.Result.Present() {
		return doc
	}
	// In the place of parameters a result is read like them.
	const before = `{"jsonrpc":"2.0","method":"x","params":`
	e, err := wire.Scan(append(append([]byte(before), a.Result.Of(doc)...), '}'))
	if err != nil || !e.SubscriptionID.Present() {
		return doc
	}
	by := a.Result.Start - len(before)
	at := wire.Span{Start: e.SubscriptionID.Start + by, End: e.SubscriptionID.End + by}
	return wire.Splice(nil, doc, wire.Edit{Span: at, New: f.id})
}

// asked handles a request of the server. A ping is about the connection, which
// ends here. Without sessions servers have no requests to make.
func (m *mux) asked(raw []byte, e *wire.Envelope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := letter{data: raw, id: bytes.Clone(e.ID.Of(raw))}
	switch {
	case e.Method == wire.MethodPing:
		m.link.post(wire.ResultBody(l.id, nil))
	case !m.session:
		m.odd()
	default:
		m.place(l)
	}
}

// notified hands a notification to what it belongs to.
func (m *mux) notified(raw []byte, e *wire.Envelope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	of := func(at wire.Span) *flight { return m.flights[number(at.Of(raw))] }
	switch {
	case e.Method == wire.NoteProgress:
		if f := of(e.ProgressToken); f != nil && f.token != nil {
			f.tell(raw, e.ProgressToken, f.token)
		}
	case e.SubscriptionID.Present():
		if f := of(e.SubscriptionID); f != nil {
			f.tell(raw, e.SubscriptionID, f.id)
		}
	case e.Method == wire.NoteCancelled && !m.session: // the server ends a subscription
		if f := of(e.RequestID); f != nil {
			delete(m.flights, f.number)
			f.tell(raw, e.RequestID, f.id)
			f.end(io.EOF)
			f.ended(false)
		}
	case announcements[e.Method]:
		m.announce(letter{data: raw})
	default:
		m.place(letter{data: raw})
	}
}

// tell passes a notification on with the client's name in place of the number.
func (f *flight) tell(raw []byte, at wire.Span, name []byte) {
	f.push(letter{data: wire.Splice(nil, raw, wire.Edit{Span: at, New: name})})
}

// announcements are the notifications that are about the server, whatever it is
// doing.
var announcements = map[string]bool{wire.NoteToolsChanged: true, wire.NotePromptsChanged: true, wire.NoteResourcesChanged: true,
	wire.NoteResourceUpdated: true}

// place finds a reader for a message that names none: the only request in
// flight, else the standing stream, else the oldest request; else it waits.
// Between clients that have no session nothing is guessed: it could be another's.
func (m *mux) place(l letter) {
	only, oldest := m.only(), m.oldest()
	switch {
	case only != nil:
		only.push(l)
	case m.standing != nil:
		m.standing.push(l)
	case !m.session:
	case oldest != nil:
		oldest.push(l)
	default:
		m.wait(l)
	}
}

// announce passes on what is about the server: to the standing stream, or to
// subscriptions, also when the server forgets to name them. It is in no call's
// answer, where over HTTP it would not be, either.
func (m *mux) announce(l letter) {
	for _, f := range m.flights {
		if !m.session && f.method == wire.MethodListen {
			f.push(l)
		}
	}
	switch {
	case m.standing != nil:
		m.standing.push(l)
	case m.session && !slices.ContainsFunc(m.waiting, func(w letter) bool { return bytes.Equal(w.data, l.data) }):
		m.wait(l)
	}
}

// wait keeps a message until there is a stream. When there are too many the
// oldest is dropped.
func (m *mux) wait(l letter) {
	if m.waiting = append(m.waiting, l); len(m.waiting) > maxWaiting {
		m.decline(m.waiting[0])
		m.waiting = m.waiting[1:]
	}
}

// only returns the one request in flight, nil if there are more. Subscriptions do
// not count: they get what names them.
func (m *mux) only() (only *flight) {
	for _, f := range m.flights {
		if f.method == wire.MethodListen {
			continue
		}
		if only != nil {
			return nil
		}
		only = f
	}
	return only
}

func (m *mux) oldest() (oldest *flight) {
	for _, f := range m.flights {
		if f.method != wire.MethodListen && (oldest == nil || f.number < oldest.number) {
			oldest = f
		}
	}
	return oldest
}

// requestsWaiting takes the server's requests out of what waits for a stream: it
// may be waiting for their answers.
func (m *mux) requestsWaiting() (requests []letter) {
	var rest []letter
	for _, l := range m.waiting {
		if l.id != nil {
			requests = append(requests, l)
		} else {
			rest = append(rest, l)
		}
	}
	m.waiting = rest
	return requests
}

// decline answers a request of the server that no client will get to see.
func (m *mux) decline(l letter) {
	if l.id != nil {
		m.link.post(wire.ErrorBody(l.id, wire.MethodNotFound, "there is no client to ask", nil))
	}
}

func (m *mux) declineAll(all []letter) {
	for _, l := range all {
		m.decline(l)
	}
}

// garbled handles what is no message, or too large to be read as one; head and
// tail are its two ends. If it is recognizably the answer to a request, that ends
// now: nothing else will come for it.
func (m *mux) garbled(head, tail []byte, err error) {
	m.mu.Lock()
	n := idWithin(head, tail)
	f := m.flights[n]
	if n == 0 && errors.Is(err, wire.ErrTooLarge) { // a greeting is not that long
		f = m.only()
	}
	if f != nil {
		delete(m.flights, f.number)
		f.end(err)
		f.ended(false)
	}
	m.mu.Unlock()
	m.odd()
}

// idWithin reads the id of a response from the ends of a document that cannot be
// read as a whole: right at its beginning, or as its last member, which is where
// libraries write it.
func idWithin(head, tail []byte) int64 {
	if rest, ok := bytes.CutPrefix(head, []byte(`{"jsonrpc":"2.0","id":`)); ok {
		if n := bytes.IndexAny(rest[:min(len(rest), 20)], ",}"); n > 0 {
			return number(rest[:n])
		}
	}
	if rest, ok := bytes.CutSuffix(bytes.TrimRight(tail, " \t\r\n"), []byte("}")); ok {
		if n := bytes.LastIndex(rest, []byte(`,"id":`)); n >= 0 {
			return number(rest[n+len(`,"id":`):])
		}
	}
	return 0
}

// number reads an id or a token that we gave, 0 if it is none.
func number(raw []byte) int64 {
	if text, ok := wire.UnquoteBytes(nil, raw); ok {
		raw = text // some turn numbers into strings
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

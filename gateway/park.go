package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/session"
	"github.com/recloser-mcp/recloser/wire"
)

const (
	// parkTime is how long a call waits for a client to come back with answers.
	parkTime = 5 * time.Minute
	// maxParked bounds the calls that wait so.
	maxParked = 256
)

// interview forwards a request of a client of 2026-07-28 to a backend of an elder
// revision. What that asks meanwhile becomes an interim result; the call itself
// stays open at the backend, and the client's next request, which brings the
// answers, goes on with it (basic/patterns/mrtr).
func (q *request) interview(b *Backend) {
	members, _ := wire.Members(q.out.Params)
	var stated, answers []byte
	for _, m := range members {
		switch m.Key {
		case "requestState":
			if stated = m.Value; stated == nil {
				stated = []byte("null") // there, and no state
			}
		case "inputResponses":
			answers = m.Value
		}
	}
	if b.Client.Revision() == "" && stated != nil {
		// Whether the state is ours is not known yet: a backend of 2026-07-28 gets
		// its own back, an elder one is never told of it.
		stated, answers = nil, nil
	}
	if stated == nil {
		q.begin(b)
		return
	}
	text, _ := wire.Unquote(stated)
	if st, ok := q.g.seal.open(text, q.owner, waiting+q.about()); ok {
		if p := q.g.parked.take(st.nonce); p != nil {
			p.goOn(q, answers)
			return
		}
	}
	if st, ok := q.g.seal.open(text, q.owner, visiting+q.about()); !ok || !q.g.parked.once(st) {
		q.badState()
		return
	}
	// The state of a visit to a URL: the request is made again as it was.
	q.out.Params = without(q.out.Params, "requestState", "inputResponses")
	q.begin(b)
}

// What a state is of: a call that waits is gone once it was taken, however many
// others there were since, and is never made again.
const (
	waiting  = "waiting "
	visiting = "visiting "
)

// about names the request that a state belongs to.
func (q *request) about() string { return q.scope + " " + q.env.Method + " " + q.out.Name }

// begin makes the request at the backend.
func (q *request) begin(b *Backend) {
	p := &interviewed{g: q.g, b: b, capabilities: q.env.ClientCapabilities.Of(q.body), logs: q.env.LogLevel.Present()}
	ctx, cancel := context.WithCancel(context.WithoutCancel(q.ctx))
	p.cancel = cancel
	p.attend(q)
	up, release, ok := q.commonUpstream(b)
	if !ok {
		cancel()
		q.full(session.ErrFull)
		return
	}
	p.up, p.release = up, release
	q.out.Session, q.out.Messages, q.out.Hold = up, p, true
	resp, err := b.Client.Do(ctx, &q.out)
	if err != nil {
		q.unavailable(err)
		p.end()
		return
	}
	p.resp = resp
	if resp.Stream && !resp.Revision.Stateless() {
		p.run(q)
		return
	}
	defer p.end()
	if held := resp.Held(); held != nil {
		status, doc := q.visit(held)
		send(q.w, status, doc)
		return
	}
	q.answer(resp)
}

// commonUpstream returns the session at an elder backend for a client that has none
// itself: it is that of all requests of the same caller with the same capabilities.
func (q *request) commonUpstream(b *Backend) (up *backend.Session, release func(), ok bool) {
	e, body := &q.env, q.body
	info := session.Info{Revision: q.revision, Owner: q.owner, Scope: b.Slug,
		ClientInfo: object(e.ClientInfo.Of(body)), Capabilities: object(e.ClientCapabilities.Of(body))}
	level, _ := wire.Unquote(e.LogLevel.Of(body))
	sess, err := q.g.o.Sessions.Common(level, info)
	if err != nil {
		return nil, nil, false
	}
	u, ok := sess.Upstream(b.Name, func() session.Upstream {
		return b.Client.NewSession(backend.SessionOptions{Common: true, LogLevel: level,
			ClientInfo: bytes.Clone(info.ClientInfo), Capabilities: bytes.Clone(info.Capabilities)})
	})
	if !ok {
		sess.Release()
		return nil, nil, false
	}
	up, ok = u.(*backend.Session)
	return up, sess.Release, ok
}

// interviewed is a call at an elder backend whose server may ask something. One
// request of the client at a time attends it; between two it is parked.
type interviewed struct {
	g            *Gateway
	b            *Backend
	up           *backend.Session
	resp         *backend.Response
	capabilities json.RawMessage
	logs         bool // the client wants log messages
	cancel       context.CancelFunc
	release      func()
	leave        func() bool // ends the attendance: false when the client left before
	questions    []asking
}

// asking is a question that the client has not answered yet.
type asking struct {
	own    []byte // the server's id
	method string
	params []byte
}

// attend ends the call when the client leaves.
func (p *interviewed) attend(q *request) { p.leave = context.AfterFunc(q.ctx, p.cancel) }

// end is the one way the call ends.
func (p *interviewed) end() {
	p.leave()
	if p.resp != nil {
		_ = p.resp.Body.Close()
	}
	p.cancel()
	p.release()
}

// Message implements backend.Messages.
func (p *interviewed) Message(e *wire.Envelope, raw []byte) (wire.Action, []byte) {
	switch {
	case e.Kind == wire.Request && !p.serves(e.Method):
		p.up.Decline(bytes.Clone(e.ID.Of(raw)), wire.MethodNotFound, "the client did not declare that it serves "+e.Method)
		return wire.Drop, nil
	case e.Kind == wire.Request:
		p.questions = append(p.questions, asking{bytes.Clone(e.ID.Of(raw)), e.Method, bytes.Clone(e.Params.Of(raw))})
		return wire.Hold, nil
	case e.Method == wire.NoteCancelled:
		for i := range p.questions {
			if bytes.Equal(p.questions[i].own, e.RequestID.Of(raw)) {
				p.questions = append(p.questions[:i], p.questions[i+1:]...)
				break
			}
		}
		return wire.Drop, nil
	case e.Method == wire.NoteMessage && !p.logs:
		return wire.Drop, nil
	}
	return wire.Pass, nil
}

// serves reports whether the client declared that it serves a method.
func (p *interviewed) serves(method string) bool {
	name := map[string]string{wire.MethodElicit: "elicitation", wire.MethodSample: "sampling", wire.MethodRoots: "roots"}[method]
	members, _ := wire.Members(p.capabilities)
	for _, m := range members {
		if m.Key == name && name != "" {
			return true
		}
	}
	return false
}

// run passes the stream of the call to the client, up to its response or to the
// next question.
func (p *interviewed) run(q *request) {
	events := newEventWriter(q.w)
	defer events.close()
	buf := make([]byte, 32<<10)
	for {
		n, err := p.resp.Body.Read(buf)
		if n > 0 {
			if _, gone := events.Write(buf[:n]); gone != nil {
				p.end()
				return
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, wire.ErrHeld):
			if len(p.questions) == 0 {
				continue
			}
			p.park(q, events)
			return
		case errors.Is(err, io.EOF):
			if held := p.resp.Held(); held != nil {
				events.response(q.visit(held))
			}
			p.end()
			return
		default:
			q.brokeOff(events, err)
			p.end()
			return
		}
	}
}

// park leaves the call until the client comes back with answers.
func (p *interviewed) park(q *request, events *eventWriter) {
	if !p.leave() {
		p.end()
		return
	}
	st, text := q.g.seal.issue(q.owner, waiting+q.about(), parkTime)
	result := []byte(`{"resultType":"input_required","inputRequests":{`)
	for i, a := range p.questions {
		if i > 0 {
			result = append(result, ',')
		}
		result = append(wire.Quote(result, key(a.own)), `:{"method":`...)
		result = wire.Quote(result, a.method)
		if a.params != nil {
			result = append(append(result, `,"params":`...), a.params...)
		}
		result = append(result, '}')
	}
	result = append(wire.Quote(append(result, `},"requestState":`...), text), '}')
	if !q.g.parked.put(st.nonce, p) {
		q.failInStream(events, CodeBackend, "too many calls wait for answers of clients")
		p.end()
		return
	}
	events.message(wire.ResultBody(q.id(), result))
}

// key names a question in inputRequests by the server's own id.
func key(own []byte) string { return "q" + string(bytes.Trim(own, `"`)) }

// goOn attends the call again, with the client's answers.
func (p *interviewed) goOn(q *request, answers []byte) {
	p.attend(q)
	p.resp.Readdress(q.id(), q.env.ProgressToken.Of(q.body))
	members, _ := wire.Members(answers)
	open := p.questions[:0]
	for _, a := range p.questions {
		answered := false
		for _, m := range members {
			if m.Key == key(a.own) && m.Value != nil {
				answered = true
				q.pass(p.up, wire.ResultBody(a.own, m.Value))
			}
		}
		if !answered {
			open = append(open, a)
		}
	}
	if p.questions = open; len(open) > 0 {
		events := newEventWriter(q.w)
		defer events.close()
		p.park(q, events)
		return
	}
	p.run(q)
}

// visit makes an interim result of the error with which a server of 2025-11-25
// says that a page has to be visited first. The client comes back when that is done;
// one that opens no pages is told that it would have to.
func (q *request) visit(held []byte) (status int, doc []byte) {
	a, _ := wire.ScanAnswer(held)
	var data struct {
		Elicitations []json.RawMessage `json:"elicitations"`
	}
	if json.Unmarshal(a.Data.Of(held), &data) != nil || len(data.Elicitations) == 0 {
		text, _ := wire.Unquote(a.Message.Of(held))
		return http.StatusOK, wire.ErrorBody(q.id(), wire.InternalError, text, a.Data.Of(held))
	}
	if !opensPages(q.env.ClientCapabilities.Of(q.body)) {
		q.failure = strconv.Itoa(wire.MissingCapability)
		return http.StatusBadRequest, wire.ErrorBody(q.id(), wire.MissingCapability,
			"a page has to be visited first: the client did not declare that it opens any", []byte(`{"requiredCapabilities":{"elicitation":{"url":{}}}}`))
	}
	_, text := q.g.seal.issue(q.owner, visiting+q.about(), parkTime)
	result := []byte(`{"resultType":"input_required","inputRequests":{`)
	for i, e := range data.Elicitations {
		if i > 0 {
			result = append(result, ',')
		}
		result = wire.Quote(result, "visit"+strconv.Itoa(i))
		result = append(append(append(result, `:{"method":"elicitation/create","params":`...), without(e, "elicitationId")...), '}')
	}
	result = append(wire.Quote(append(result, `},"requestState":`...), text), '}')
	return http.StatusOK, wire.ResultBody(q.id(), result)
}

// opensPages reports whether capabilities of a client have elicitation by URL.
func opensPages(capabilities []byte) bool {
	for _, name := range []string{"elicitation", "url"} {
		members, _ := wire.Members(capabilities)
		capabilities = nil
		for _, m := range members {
			if m.Key == name {
				capabilities = m.Value
			}
		}
	}
	return capabilities != nil
}

// without returns an object without some of its members.
func without(object []byte, names ...string) []byte {
	members, ok := wire.Members(object)
	if !ok {
		return object
	}
	out := []byte{'{'}
next:
	for _, m := range members {
		for _, name := range names {
			if m.Key == name {
				continue next
			}
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(wire.Quote(out, m.Key), ':')
		if m.Value == nil {
			out = append(out, "null"...)
		}
		out = append(out, m.Value...)
	}
	return append(out, '}')
}

// lot is where calls are parked. Its zero value is ready.
type lot struct {
	mu     sync.Mutex
	calls  map[[nonceSize]byte]*place
	spent  map[[nonceSize]byte]time.Time // states of visits that were used once, until they expire
	closed bool
}

type place struct {
	call  *interviewed
	timer *time.Timer
}

func (l *lot) put(nonce [nonceSize]byte, p *interviewed) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.calls) >= maxParked {
		return false
	}
	if l.calls == nil {
		l.calls = map[[nonceSize]byte]*place{}
	}
	l.calls[nonce] = &place{call: p, timer: time.AfterFunc(parkTime, func() {
		if p := l.take(nonce); p != nil {
			p.end()
		}
	})}
	return true
}

// take returns the call and its place is free.
func (l *lot) take(nonce [nonceSize]byte) *interviewed {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.calls[nonce]
	if at == nil {
		return nil
	}
	delete(l.calls, nonce)
	at.timer.Stop()
	return at.call
}

// once reports whether a state is used for the first time.
func (l *lot) once(st state) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, used := l.spent[st.nonce]; used || l.closed {
		return false
	}
	if l.spent == nil {
		l.spent = map[[nonceSize]byte]time.Time{}
	}
	now := time.Now()
	for n, t := range l.spent {
		if now.After(t) || len(l.spent) >= 4*maxParked {
			delete(l.spent, n)
		}
	}
	l.spent[st.nonce] = st.expires
	return true
}

// close ends what is parked.
func (l *lot) close() {
	l.mu.Lock()
	l.closed = true
	all := l.calls
	l.calls = nil
	l.mu.Unlock()
	for _, at := range all {
		at.timer.Stop()
		at.call.end()
	}
}

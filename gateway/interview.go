package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/session"
	"github.com/recloser-mcp/recloser/wire"
)

// What a state is of: a call that waits is gone once it was taken, however many
// others there were since, and is never made again.
const (
	waiting  = "waiting "
	visiting = "visiting "
)

// settleTime is how long further questions are waited for when there is one, so that
// what a server asks at the same time is put to the client at the same time.
const settleTime = 10 * time.Millisecond

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
		q.out.StatelessOnly = true
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

// about names the request that a state belongs to.
func (q *request) about() string { return q.scope + " " + q.env.Method + " " + q.out.Name }

// begin makes the request at the backend.
func (q *request) begin(b *Backend) {
	up, release, ok := q.commonUpstream(b)
	if !ok {
		q.full(session.ErrFull)
		return
	}
	p := &interviewed{g: q.g, b: b, up: up, release: release, out: q.out,
		capabilities: q.env.ClientCapabilities.Of(q.body),
		heads:        make(chan head, 1), chunks: make(chan chunk), wake: make(chan struct{}, 1), done: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(q.ctx))
	p.out.Session, p.out.Messages, p.out.Hold = up, p, true
	q.g.talks.add(up, p)
	p.attend(q)
	go p.work()
	p.run(q)
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
	u, ok := sess.Upstream(b.key, func() session.Upstream {
		var s *backend.Session
		s = b.Client.NewSession(backend.SessionOptions{Common: true, LogLevel: level,
			ClientInfo: bytes.Clone(info.ClientInfo), Capabilities: bytes.Clone(info.Capabilities),
			Message: func(e *wire.Envelope, raw []byte) { q.g.askedAside(s, e, raw) }})
		if len(asks(info.Capabilities)) > 0 {
			s.Follow() // some servers ask there whatever stream a call has
		}
		return s
	})
	if !ok {
		sess.Release()
		return nil, nil, false
	}
	up, ok = u.(*backend.Session)
	return up, sess.Release, ok
}

// interviewed is a call at an elder backend whose server may ask something. One
// request of the client at a time attends it; between two it is parked. Its
// goroutine reads what the backend says, and ends with the call.
type interviewed struct {
	g            *Gateway
	b            *Backend
	up           *backend.Session
	out          backend.Request
	capabilities json.RawMessage
	ctx          context.Context // of the call at the backend
	cancel       context.CancelFunc
	release      func()
	leave        func() bool       // ends the attendance: false when the client left before
	resp         *backend.Response // once its head is there

	heads  chan head
	chunks chan chunk
	wake   chan struct{} // something was asked
	done   chan struct{} // closed when the goroutine has ended

	mu        sync.Mutex
	questions []asking
	token     []byte // of the progress that the attending request wants
	logs      bool   // that request wants log messages
}

// head is what a call begins with.
type head struct {
	resp *backend.Response
	err  error
}

// chunk is a piece of a stream. It is valid until the next one is taken.
type chunk struct {
	data []byte
	err  error
}

// asking is a question that the client has not answered yet.
type asking struct {
	own    []byte // the server's id
	method string
	params []byte
}

// work makes the call and reads its stream.
func (p *interviewed) work() {
	defer close(p.done)
	resp, err := p.b.Client.Do(p.ctx, &p.out)
	p.heads <- head{resp, err}
	if err != nil || !resp.Stream || resp.Revision.Stateless() {
		return
	}
	var room [2][]byte
	for n := 0; ; n++ {
		if n < len(room) {
			room[n] = make([]byte, 32<<10)
		}
		buf := room[n%len(room)]
		got, err := resp.Body.Read(buf)
		held := errors.Is(err, wire.ErrHeld)
		if held {
			err = nil
		}
		if got > 0 || err != nil {
			select {
			case p.chunks <- chunk{buf[:got], err}:
			case <-p.ctx.Done():
				return
			}
		}
		if held {
			p.poke()
		}
		if err != nil {
			return
		}
	}
}

func (p *interviewed) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// attend makes the request the one that the call goes on for. Its client's leaving
// ends the call.
func (p *interviewed) attend(q *request) {
	p.leave = context.AfterFunc(q.ctx, p.cancel)
	p.wants(q.env.ProgressToken.Of(q.body), q.env.LogLevel.Present())
}

// wants notes what is to be told beside the response. Each request says so for
// itself, and while none attends nobody wants anything.
func (p *interviewed) wants(token []byte, logs bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.token, p.logs = token, logs
}

func (p *interviewed) wantsLogs() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.logs
}

// ProgressToken says under which token the client's progress is to be reported.
func (p *interviewed) ProgressToken() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.token
}

// end is the one way the call ends.
func (p *interviewed) end() {
	p.leave()
	p.cancel()
	p.g.talks.remove(p.up, p)
	<-p.done
	if p.resp == nil {
		if h := <-p.heads; h.err == nil {
			p.resp = h.resp
		}
	}
	if p.resp != nil {
		_ = p.resp.Body.Close()
	}
	p.release()
}

// run passes the call to the request that attends it, up to the response or to the
// next question.
func (p *interviewed) run(q *request) {
	var events *eventWriter
	defer func() {
		if events != nil {
			events.close()
		}
	}()
	var settled <-chan time.Time
	for {
		if p.resp != nil && events == nil {
			if !p.resp.Stream || p.resp.Revision.Stateless() {
				p.document(q)
				return
			}
			events = newEventWriter(q.w)
		}
		chunks := p.chunks
		if events == nil {
			chunks = nil // the head comes first
		}
		select {
		case h := <-p.heads:
			if h.err != nil {
				p.heads <- h // for end
				if errors.Is(h.err, backend.ErrSessions) {
					q.badState()
				} else {
					q.unavailable(h.err)
				}
				p.end()
				return
			}
			p.resp = h.resp
		case c := <-chunks:
			if !p.pass(q, events, c) {
				p.end()
				return
			}
		case <-p.wake:
			if settled == nil {
				settled = time.After(settleTime)
			}
		case <-settled:
			if settled = nil; p.open() > 0 {
				p.park(q, events)
				return
			}
		case <-p.ctx.Done():
			q.failure = backend.KindCanceled.Reason()
			p.end()
			return
		}
	}
}

// pass gives a piece of the stream to the client; false means that it was the last.
func (p *interviewed) pass(q *request, events *eventWriter, c chunk) bool {
	if len(c.data) > 0 {
		if _, gone := events.Write(c.data); gone != nil {
			return false
		}
	}
	switch {
	case c.err == nil:
		return true
	case !errors.Is(c.err, io.EOF):
		q.brokeOff(events, c.err)
	default:
		<-p.done // what it kept back is known then
		if held := p.resp.Held(); held != nil {
			events.response(q.response(held))
		}
	}
	return false
}

// document passes an answer that is no stream of an elder backend's.
func (p *interviewed) document(q *request) {
	defer p.end()
	if held := p.resp.Held(); held != nil {
		status, doc := q.response(held)
		send(q.w, status, doc)
		return
	}
	if bytes.Equal(p.out.ID, q.id()) {
		q.answer(p.resp)
		return
	}
	doc, err := io.ReadAll(p.resp.Body)
	if err != nil {
		q.unavailable(err)
		return
	}
	send(q.w, http.StatusOK, q.addressed(doc))
}

// response makes the answer to the request of a response that was made to an
// earlier one.
func (q *request) response(held []byte) (status int, doc []byte) {
	a, err := wire.ScanAnswer(held)
	switch {
	case err != nil || !a.Error.Present():
	case a.ErrorCode == wire.URLElicitationRequired:
		return q.visit(held)
	case a.ErrorCode == wire.MissingCapability: // the revision asks for the status, too
		return http.StatusBadRequest, q.addressed(held)
	}
	return http.StatusOK, q.addressed(held)
}

func (q *request) addressed(doc []byte) []byte {
	out, err := wire.RewriteAnswer(nil, doc, wire.RewriteOptions{ID: q.id()})
	if err != nil {
		return wire.ErrorBody(q.id(), wire.InternalError, "the backend's answer cannot be read", nil)
	}
	return out
}

// open returns the number of questions that wait for an answer.
func (p *interviewed) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.questions)
}

package gateway

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/session"
	"github.com/recloser-mcp/recloser/wire"
)

const (
	// passTime bounds handing a client's message on to a backend.
	passTime = 10 * time.Second
	// levelTime bounds telling all backends a new log level.
	levelTime = 2 * time.Second
)

// upstream returns the client's session at the backend. It is opened in the name
// of the client and with its capabilities.
func (q *request) upstream(b *Backend) (*backend.Session, bool) {
	sess := q.sess
	u, ok := sess.Upstream(b.key, func() session.Upstream {
		var up *backend.Session
		o := backend.SessionOptions{ClientInfo: sess.Info().ClientInfo, Capabilities: sess.Info().Capabilities}
		o.Message = func(e *wire.Envelope, raw []byte) { q.g.said(sess, up, e, raw) }
		up = b.Client.NewSession(o)
		return up
	})
	if !ok {
		return nil, false
	}
	up, ok := u.(*backend.Session)
	if ok {
		if level := sess.LogLevel(); level != "" {
			up.SetLogLevel(level)
		}
		if sess.Listens() { // asked after the session can be found by whoever opens a stream
			up.Follow()
		}
	}
	return up, ok
}

// said passes on what a backend says on the standing stream of a client's session
// there. What finds no place in the client's queue is dropped; a question then
// gets an error at once.
func (g *Gateway) said(sess *session.Session, up *backend.Session, e *wire.Envelope, raw []byte) {
	var key string
	switch {
	case e.Kind == wire.Request && !sess.Listens():
		up.Decline(bytes.Clone(e.ID.Of(raw)), wire.InternalError, "the client has no standing stream on which it could be asked")
		return
	case e.Kind == wire.Request:
		own := bytes.Clone(e.ID.Of(raw))
		id, ok := sess.Ask(session.Question{ID: own, Token: bytes.Clone(e.ProgressToken.Of(raw)), From: up})
		if ok && sess.Push(session.Message{Data: wire.Splice(nil, raw, wire.Edit{Span: e.ID, New: id})}) {
			return
		}
		sess.Withdraw(id)
		up.Decline(own, wire.InternalError, "too many messages wait for the client")
		return
	case e.Method == wire.NoteToolsChanged, e.Method == wire.NotePromptsChanged, e.Method == wire.NoteResourcesChanged:
		return // the catalogue tells of these, once it knows what is new
	case e.Method == wire.NoteCancelled:
		id := sess.Asked(up, e.RequestID.Of(raw))
		if id == nil {
			return
		}
		sess.Withdraw(id)
		raw = wire.Splice(nil, raw, wire.Edit{Span: e.RequestID, New: id})
	case e.Method == wire.NoteResourceUpdated:
		key = wire.NoteResourceUpdated + " " + string(e.URI.Of(raw))
	}
	if !sess.Push(session.Message{Key: key, Data: bytes.Clone(raw)}) {
		g.dropped(sess)
	}
}

// dropped says once per session that messages for it had no room.
func (g *Gateway) dropped(sess *session.Session) {
	sess.Hold("dropped", func() func() {
		g.o.Logger.Warn("a client does not read its standing stream: messages for it are dropped", "scope", sess.Info().Scope)
		return func() {}
	})
}

// Message implements backend.Messages for a client with a session: the questions
// of a server reach it on the stream of its call, under an id of ours.
func (q *request) Message(e *wire.Envelope, raw []byte) (wire.Action, []byte) {
	up := q.out.Session
	switch {
	case e.Kind == wire.Request:
		own := bytes.Clone(e.ID.Of(raw))
		id, ok := q.sess.Ask(session.Question{ID: own, Token: bytes.Clone(e.ProgressToken.Of(raw)), From: up, Undelivered: q.giveUp})
		if !ok {
			up.Decline(own, wire.InternalError, "too many questions wait for the client")
			return wire.Drop, nil
		}
		q.asked = append(q.asked, id)
		return wire.Replace, wire.Splice(nil, raw, wire.Edit{Span: e.ID, New: id})
	case e.Method == wire.NoteCancelled:
		id := q.sess.Asked(up, e.RequestID.Of(raw))
		if id == nil {
			return wire.Drop, nil
		}
		q.sess.Withdraw(id)
		return wire.Replace, wire.Splice(nil, raw, wire.Edit{Span: e.RequestID, New: id})
	}
	return wire.Pass, nil
}

// withdraw forgets what was asked for the request: nobody waits for it any more.
func (q *request) withdraw() {
	for _, id := range q.asked {
		q.sess.Withdraw(id)
	}
}

// answered hands a client's response on to the server that asked. A response that
// nobody waits for changes nothing, and is accepted like any other: whoever asked
// may just have left.
func (q *request) answered() {
	if question, ok := q.sess.Answer(q.id()); ok {
		err := q.pass(question.From, wire.Splice(nil, q.body, wire.Edit{Span: q.env.ID, New: question.ID}))
		if err != nil && question.Undelivered != nil {
			question.Undelivered(err)
		}
	}
	q.w.WriteHeader(http.StatusAccepted)
}

// pass sends a message of the client to whoever it is for.
func (q *request) pass(to session.Replier, body []byte) error {
	// What has been read whole is delivered, also when the client does not wait for
	// our answer: some leave as soon as their call has its own.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(q.ctx), passTime)
	defer cancel()
	err := to.Send(ctx, body)
	if err != nil {
		q.g.o.Logger.Debug("a message of a client was not delivered", "error", err)
	}
	return err
}

// giveUp ends a call whose backend waits for what cannot come.
func (q *request) giveUp(err error) {
	q.hopeless.Store(&err)
	q.abandon()
}

// cause is what there is to say about a call that ended with err.
func (q *request) cause(err error) error {
	if other := q.hopeless.Load(); other != nil {
		return *other
	}
	return err
}

// noted serves a notification of a client with a session.
func (q *request) noted() {
	switch q.env.Method {
	case wire.NoteCancelled:
		q.sess.Cancel(q.env.RequestID.Of(q.body))
	case wire.NoteInitialized: // the backends were told when their sessions were opened
	case wire.NoteProgress:
		if from := q.sess.Progressing(q.env.ProgressToken.Of(q.body)); from != nil {
			_ = q.pass(from, q.body)
		}
	default:
		if wire.ClassOf(q.env.Method) == wire.ClassNotification || q.scope != "" {
			q.tellAll()
		}
	}
	q.w.WriteHeader(http.StatusAccepted)
}

// tellAll hands a notification on to every backend at which the client has a
// session.
func (q *request) tellAll() {
	var wg sync.WaitGroup
	for _, u := range q.sess.Upstreams() {
		if up, ok := u.(*backend.Session); ok && up.Open() && !up.Shared() {
			wg.Go(func() { _ = q.pass(up, q.body) })
		}
	}
	wg.Wait()
}

// levels are the severities of RFC 5424, as the protocol spells them.
var levels = map[string]bool{"debug": true, "info": true, "notice": true, "warning": true,
	"error": true, "critical": true, "alert": true, "emergency": true}

const knownLevels = "debug, info, notice, warning, error, critical, alert or emergency"

// setLevel serves logging/setLevel (server/utilities/logging, 2025-11-25): it holds
// for every backend of the endpoint, those that the client has not used yet
// included.
func (q *request) setLevel() {
	var level string
	members, _ := wire.Members(q.env.Params.Of(q.body))
	for _, m := range members {
		if m.Key == "level" {
			level, _ = wire.Unquote(m.Value)
		}
	}
	if !levels[level] {
		q.invalid(http.StatusOK, "params.level is no log level: use "+knownLevels)
		return
	}
	q.sess.SetLogLevel(level)
	ctx, cancel := context.WithTimeout(q.ctx, levelTime)
	defer cancel()
	var wg sync.WaitGroup
	for _, u := range q.sess.Upstreams() {
		up, ok := u.(*backend.Session)
		if !ok || up.Shared() {
			continue
		}
		up.SetLogLevel(level)
		if up.Has("logging") {
			params := q.env.Params.Of(q.body)
			wg.Go(func() {
				if _, err := up.Ask(ctx, wire.MethodSetLevel, "", params); err != nil {
					q.g.o.Logger.Debug("a backend was not told the log level", "error", err)
				}
			})
		}
	}
	wg.Wait()
	q.reply(nil)
}

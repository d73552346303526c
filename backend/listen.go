package backend

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/wire"
)

const (
	listenFirst  = 500 * time.Millisecond // wait before a reconnection; it doubles
	listenMost   = 30 * time.Second
	listenStable = time.Second     // a stream that lasted so long was a good one
	listenNone   = 5 * time.Minute // before asking again a backend that offers no stream
	listenEvent  = 4 << 20         // bytes of one event
)

// heard is told what comes on a standing stream: notifications, and in elder
// revisions requests. A nil envelope says that the stream is there (again).
type heard func(e *wire.Envelope, raw []byte)

// Listen keeps the standing stream of the backend open until ctx ends or the
// client is closed: the GET of the elder revisions in the client's own session,
// subscriptions/listen on 2026-07-28. It connects again by itself.
//
// on is called with the method of each notification, one at a time, and with ""
// each time the stream is there (again), because what happened before is not
// known then. Restarted comes instead where the backend could not be reached
// meanwhile or has forgotten the session: it may be another one now. The error is that of the context, or an *[Error] of KindClosed.
func (c *Client) Listen(ctx context.Context, on func(method string)) error {
	var (
		session *backendSession // of the last stream
		again   bool            // there was one
		there   bool            // there is one
		trouble bool            // an attempt since then was in vain
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	c.keepListening(ctx, c.own, func(e *wire.Envelope, raw []byte) {
		switch {
		case e == nil:
			c.watch.interrupted(c.watch.want())
			now := c.own.now.Load()
			if again && (trouble || now != session) {
				on(Restarted)
			} else {
				on("")
			}
			session, again, there, trouble = now, true, true, false
		case e.Kind == wire.Request:
			if b := c.own.now.Load(); b != nil {
				c.decline(b, e, raw)
			}
		case e.Method == wire.NoteResourceUpdated:
			c.watch.updated(e, raw)
		default:
			on(e.Method)
		}
	}, func(up bool) {
		if !up {
			trouble, there = trouble || !there, false
		}
	})
	if c.closed.Load() {
		return &Error{Kind: KindClosed, Backend: c.o.Name, Method: wire.MethodListen}
	}
	return ctx.Err()
}

// Restarted stands for a method in the calls that Listen makes: the backend may be
// another one than before.
const Restarted = "restarted"

// keepListening holds the standing stream of a session until ctx ends. settled is
// called, again and again, when a stream is there (up) and when an attempt to open
// one, or the stream itself, is over.
func (c *Client) keepListening(ctx context.Context, s *Session, on heard, settled func(up bool)) {
	wait := listenFirst
	for {
		var since time.Time
		retry, err := c.listenOnce(ctx, s, func(e *wire.Envelope, raw []byte) {
			if e == nil {
				since = time.Now()
				settled(true)
			}
			on(e, raw)
		})
		settled(false)
		switch {
		case c.closed.Load() || ctx.Err() != nil:
			return
		case !since.IsZero() && time.Since(since) > listenStable:
			wait = listenFirst
		}
		again := max(wait, retry)
		if errors.Is(err, errNotOffered) {
			again = listenNone
		}
		c.o.Logger.Debug("standing stream ended", "backend", c.o.Name, "error", err, "again", again)
		wait = min(2*wait, listenMost)
		pause(ctx, again+time.Duration(rand.Int64N(int64(again)/5+1)))
	}
}

var errNotOffered = errors.New("the backend offers no standing stream")

// listenOnce opens the stream and reads it to its end. retry is the wait before
// a reconnection that the backend asked for.
func (c *Client) listenOnce(ctx context.Context, s *Session, on heard) (retry time.Duration, err error) {
	cl := c.newCall(ctx, &Request{Method: wire.MethodListen, Session: s}, guard.Stream)
	cl.standing = (*call).listening
	return cl.listen(ctx, on)
}

// listen runs a call whose answer is a standing stream, to its end.
func (cl *call) listen(ctx context.Context, on heard) (retry time.Duration, err error) {
	var failed *Error
	defer func() { cl.finish(failed) }()
	if failed = cl.run(ctx); failed != nil {
		return 0, failed
	}
	resp := cl.x.resp
	if resp.StatusCode/100 != 2 {
		cl.c.doubt(cl.revision, resp.StatusCode, 0)
		lost := cl.session != nil && resp.StatusCode == http.StatusNotFound
		failed = rejected(cl.info.Backend, cl.info.Method, cl.x)
		if resp.StatusCode/100 == 4 && resp.StatusCode != http.StatusTooManyRequests && !lost {
			return 0, errNotOffered
		}
		return 0, failed
	}
	if !isType(resp.Header, typeSSE) {
		return 0, errNotOffered
	}
	cl.dog.rest()
	if cl.session != nil {
		on(nil, nil)
	}
	events := wire.NewEventReader(resp.Body, listenEvent)
	for {
		ev, err := events.Next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				failed = cl.broken(err)
			}
			return events.Retry(), err
		}
		e, err := wire.Scan(ev.Data)
		switch {
		case err != nil: // nothing that anybody could act on
		case e.Kind == wire.Response && e.Error.Present():
			return 0, errNotOffered
		case e.Kind == wire.Request && cl.session != nil:
			on(&e, ev.Data)
		case e.Kind == wire.Notification && e.Method == wire.NoteAcknowledged:
			on(nil, ev.Data)
		case e.Kind == wire.Notification:
			on(&e, ev.Data)
		}
	}
}

// listening shapes the request for the standing stream.
func (cl *call) listening() {
	m := &cl.msg
	if cl.revision.Stateless() {
		m.body = wire.ListenRequest(cl.id, wire.Filter{Tools: true, Prompts: true, Resources: true}, cl.c.meta)
		return
	}
	m.method, m.body = http.MethodGet, nil
	m.header = m.header.Clone()
	m.header.Set("Accept", typeSSE)
	m.header.Del("Content-Type")
}

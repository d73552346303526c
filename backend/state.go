package backend

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/wire"
)

// maxSubscribed bounds the resources that one session can be subscribed to.
const maxSubscribed = 1024

// common reports whether clients that do not know of each other use the session.
func (s *Session) common() bool { return s == s.c.own || s.o.Common }

// SetLogLevel notes the level that the client asked for. The backend is told with
// every later request (2026-07-28), or has been told by a logging/setLevel that
// was forwarded; it is told again when the session is opened again.
func (s *Session) SetLogLevel(level string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.level = level
}

func (s *Session) logLevel() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.level
}

// Subscribed notes that the backend accepted a subscription to a resource or the
// end of one, so that it can be made again when the session is opened again. It
// returns false when there are too many.
func (s *Session) Subscribed(uri string, on bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !on:
		delete(s.subscribed, uri)
	case len(s.subscribed) >= maxSubscribed:
		return false
	default:
		if s.subscribed == nil {
			s.subscribed = map[string]struct{}{}
		}
		s.subscribed[uri] = struct{}{}
	}
	return true
}

// restore tells a session that was just opened what its predecessor knew. What
// the backend answers to that changes nothing, but a refused credential does.
func (s *Session) restore(cl *call, b *backendSession, a attempt) (v guard.Verdict, ok bool) {
	s.mu.Lock()
	level, uris := s.level, slices.Sorted(maps.Keys(s.subscribed))
	s.mu.Unlock()
	tell := func(method string, params []byte) bool {
		m := &message{info: cl.nested(method), method: http.MethodPost, header: b.header, nested: true,
			body: wire.RequestBody(ownID(&s.c.nextID), method, params)}
		x := s.c.conn.send(cl.ctx, m, a)
		if x.verdict != guard.Accepted && x.verdict != guard.Neutral {
			v = cl.after(m, x)
			return false
		}
		discard(x.resp)
		return true
	}
	if level != "" && b.has("logging") && !tell(wire.MethodSetLevel, append(wire.Quote([]byte(`{"level":`), level), '}')) {
		return v, false
	}
	for _, uri := range uris {
		if !tell(wire.MethodSubscribe, append(wire.Quote([]byte(`{"uri":`), uri), '}')) {
			return v, false
		}
	}
	return guard.Accepted, true
}

// has reports whether the server declared a capability when the session was
// opened.
func (b *backendSession) has(capability string) bool {
	var init struct {
		Capabilities map[string]json.RawMessage `json:"capabilities"`
	}
	return json.Unmarshal(b.init, &init) == nil && init.Capabilities[capability] != nil
}

// Has reports whether the session is open at a backend that declared the
// capability then.
func (s *Session) Has(capability string) bool {
	b := s.now.Load()
	return b != nil && b.has(capability)
}

// Shared reports whether the session is the one of all clients (isolation:
// shared): nothing in it is any one client's.
func (s *Session) Shared() bool { return s == s.c.own }

// Open reports whether the session is open at the backend.
func (s *Session) Open() bool { return s.now.Load() != nil }

// forgotten is what is wrong with a message for a session that is no more.
const forgotten = "the backend has forgotten the session that this is about"

// Send sends a message that has no answer: a notification, or the response to a
// request of the server. Without a session at the backend nothing is sent: nobody
// waits for it any more. The error is an *[Error].
func (s *Session) Send(ctx context.Context, body []byte) error {
	b := s.now.Load()
	if b == nil {
		return &Error{Kind: KindProtocolError, Backend: s.c.o.Name, Method: "message", Detail: forgotten}
	}
	cl := s.c.newCall(ctx, &Request{Method: "message", Session: s}, guard.Stream)
	cl.side = &message{info: cl.info, method: http.MethodPost, header: b.header, body: body}
	err := cl.run(ctx)
	switch {
	case err != nil || cl.x.status/100 == 2:
	case cl.x.status == http.StatusNotFound:
		s.drop(b)
		err = cl.error(KindProtocolError, nil)
		err.Status, err.Detail = cl.x.status, forgotten
	default:
		err = rejected(cl.info.Backend, cl.info.Method, cl.x)
	}
	discard(cl.x.resp)
	cl.x.resp = nil
	cl.finish(err)
	if err != nil {
		return err
	}
	return nil
}

// Follow keeps a standing stream of the session open from its opening at the
// backend on, until the session is closed: SessionOptions.Message is told what
// comes. It does nothing towards 2026-07-28, in a shared session, and when it
// follows already.
func (s *Session) Follow() {
	if s == s.c.own || s.o.Message == nil {
		return
	}
	s.mu.Lock()
	s.followed = true
	s.mu.Unlock()
	if s.now.Load() != nil {
		s.startFollowing(nil)
	}
}

// settleTime bounds the wait of a session's first calls for its standing stream.
const settleTime = time.Second

// willFollow returns what settles once a standing stream of a session that is
// being opened is there; nil when none is to be opened now.
func (s *Session) willFollow() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.followed || s.unfollow != nil {
		return nil
	}
	return make(chan struct{})
}

// startFollowing opens the standing stream where that is wanted and has not been
// done. It sees to it that settled is closed.
func (s *Session) startFollowing(settled chan struct{}) {
	settle := sync.OnceFunc(func() {
		if settled != nil {
			close(settled)
		}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.followed || s.unfollow != nil || s.over.Load() {
		settle()
		return
	}
	ctx, cancel := context.WithCancel(s.c.life)
	s.unfollow = cancel
	late := time.AfterFunc(settleTime, settle)
	if !s.c.background(0, func(context.Context) {
		defer late.Stop()
		s.c.keepListening(ctx, s, s.said, func(bool) { settle() })
	}) {
		cancel()
		late.Stop()
		settle()
	}
}

// attend has a call wait until the session's standing stream is there: there is
// where some servers ask during a call, and without a stream they ask nobody. The
// stream itself does not wait, nor does a call with a role in a recovery, which
// the stream may be waiting for.
func (b *backendSession) attend(cl *call, a attempt) *backendSession {
	if b.settled == nil || cl.standing != nil || closed(b.settled) || cl.alone(a) {
		return b
	}
	select {
	case <-b.settled:
	case <-cl.ctx.Done():
	}
	return b
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func (s *Session) stopFollowing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unfollow != nil {
		s.unfollow()
	}
}

// said passes on what the server says on the session's standing stream. When the
// stream is there again it says that what the client has subscribed to was
// updated: nobody knows what happened meanwhile, also where the server has
// forgotten the session and a new one is subscribed.
func (s *Session) said(e *wire.Envelope, raw []byte) {
	if e != nil {
		s.o.Message(e, raw)
		return
	}
	s.mu.Lock()
	var uris []string
	if s.heard {
		uris = slices.Sorted(maps.Keys(s.subscribed))
	}
	s.heard = true
	s.mu.Unlock()
	for _, uri := range uris {
		note := updatedBody(uri)
		if e, err := wire.Scan(note); err == nil {
			s.o.Message(&e, note)
		}
	}
}

// Decline answers a request of the server with an error, in the background, so
// that it need not wait. id is the request's own, as raw JSON.
func (s *Session) Decline(id []byte, code int, msg string) {
	body := wire.ErrorBody(id, code, msg, nil)
	s.c.background(farewellTime, func(ctx context.Context) { _ = s.Send(ctx, body) })
}

// ErrSessions is what errors.Is finds where Request.StatelessOnly kept a request
// from being sent.
var ErrSessions = errors.New("the backend has sessions")

// ErrStateless is the error of a request that only backends with sessions know.
var ErrStateless = errors.New("the backend has no sessions")

// Ask sends a request that changes the session: logging/setLevel,
// resources/subscribe or resources/unsubscribe, with the client's own params. The
// error is ErrStateless towards a backend of 2026-07-28, else an *[RPCError] or an
// *[Error].
func (s *Session) Ask(ctx context.Context, method, name string, params []byte) (result []byte, err error) {
	cl := s.c.newCall(ctx, &Request{Method: method, Name: name, Params: params, Session: s}, ClassOf(method))
	stateless := false
	cl.standing = func(cl *call) {
		if stateless = cl.revision.Stateless(); stateless {
			cl.msg.info.Method, cl.msg.protocolMethod[0] = wire.MethodDiscover, wire.MethodDiscover
			cl.msg.body = wire.DiscoverRequest(cl.id, cl.c.meta)
			return
		}
		cl.msg.body = cl.shape(cl.revision)
	}
	result, err = cl.outcome(ctx)
	if err == nil && stateless {
		return nil, ErrStateless
	}
	return result, err
}

// Answer answers a request of the server with an empty result, in the background.
func (s *Session) Answer(id []byte) {
	body := wire.ResultBody(id, nil)
	s.c.background(farewellTime, func(ctx context.Context) { _ = s.Send(ctx, body) })
}

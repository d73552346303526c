package backend

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/wire"
)

// handshakeBytes bounds what a server may say when a session is opened.
const handshakeBytes = 4 << 20

// farewellTime bounds a DELETE that nobody waits for.
const farewellTime = 2 * time.Second

// SessionOptions describe the client that a session is for.
type SessionOptions struct {
	ClientInfo   json.RawMessage // Implementation object; default the backend's ClientInfo
	Capabilities json.RawMessage // of that client; default {}
	// LogLevel is the least severe level that the client wants to be told of;
	// empty leaves that to the server. SetLogLevel changes it.
	LogLevel string
	// Common says that requests of several clients, which do not know of each
	// other, use the session: their progress tokens are kept apart then.
	Common bool
	// Message is told of what a server of an elder revision says on the standing
	// stream of the session: requests, answered with Send, and notifications. e
	// and raw are valid during the call only, which must not block. Nil: requests
	// are declined, and Follow does nothing.
	Message func(e *wire.Envelope, raw []byte)
}

// Session is one client's part of a backend. Towards elder revisions it holds a
// session of its own, opened by the first request that needs it and opened again
// when the backend has lost it. Towards 2026-07-28 it holds nothing.
//
// All methods are safe for concurrent use.
type Session struct {
	c    *Client
	o    SessionOptions
	gate gate
	now  atomic.Pointer[backendSession]
	over atomic.Bool

	mu         sync.Mutex
	level      string              // wanted, "" when nobody said
	subscribed map[string]struct{} // resources, by URI
	followed   bool                // a standing stream is wanted
	unfollow   context.CancelFunc  // ends it; nil while there is none
	heard      bool                // it was there once
}

// backendSession is one session as the backend knows it. It is immutable but for
// the ids in flight.
type backendSession struct {
	id       string // "" when the backend assigns none
	revision wire.Revision
	header   http.Header // of every request in it
	init     json.RawMessage
	ids      ids
	// settled is closed once the session's first standing stream is there or is
	// not to be had. Nil: no call waits for that.
	settled chan struct{}
}

func (c *Client) newSession(o SessionOptions) *Session {
	if o.ClientInfo == nil {
		o.ClientInfo = c.o.ClientInfo.json()
	}
	if o.Capabilities == nil {
		o.Capabilities = json.RawMessage("{}")
	}
	return &Session{c: c, o: o, level: o.LogLevel}
}

// NewSession returns a session for one client. Nothing is sent before its first
// request. Under Options.Isolation Shared every client gets the same one.
func (c *Client) NewSession(o SessionOptions) *Session {
	if c.o.Isolation == Shared {
		return c.own
	}
	return c.newSession(o)
}

// Close ends the session at the backend, as far as it has one: a DELETE, whose
// answer is read but proves nothing. Closing the shared session does nothing.
// Later requests in the session fail with KindClosed.
func (s *Session) Close(ctx context.Context) error {
	if s == s.c.own {
		return nil
	}
	return s.close(ctx)
}

func (s *Session) close(ctx context.Context) error {
	if s.over.Swap(true) {
		return nil
	}
	s.stopFollowing()
	b := s.now.Swap(nil)
	if b == nil || b.id == "" {
		return nil
	}
	s.c.told(SessionEvent{Backend: s.c.o.Name})
	cl := s.c.newCall(ctx, &Request{Method: http.MethodDelete, Session: s}, guard.Stream)
	defer cl.finish(nil)
	cl.side = &message{info: cl.info, method: http.MethodDelete, header: b.header}
	if err := cl.run(ctx); err != nil && err.Status != http.StatusMethodNotAllowed && err.Status != http.StatusNotFound {
		return err
	}
	return nil
}

// drop forgets a session that the backend no longer knows.
func (s *Session) drop(b *backendSession) {
	if s.now.CompareAndSwap(b, nil) {
		s.c.told(SessionEvent{Backend: s.c.o.Name, Lost: true})
	}
}

// ensure returns the session at the backend, opening one inside this attempt if
// there is none. ok false: the attempt ends with the verdict.
func (s *Session) ensure(cl *call, a attempt) (b *backendSession, v guard.Verdict, ok bool) {
	if b := s.now.Load(); b != nil {
		return b.attend(cl, a), guard.Accepted, true
	}
	leave := s.gate.pass(cl.ctx, cl.alone(a))
	if leave == nil {
		if b := s.now.Load(); b != nil {
			return b.attend(cl, a), guard.Accepted, true
		}
		leave = func() {} // the opener failed: this call opens by itself
	}
	defer leave()
	if b := s.now.Load(); b != nil {
		return b.attend(cl, a), guard.Accepted, true
	}
	if b, v, ok = s.open(cl, a); !ok {
		return nil, v, false
	}
	b.settled = s.willFollow()
	if !s.now.CompareAndSwap(nil, b) {
		if other := s.now.Load(); other != nil {
			s.c.farewell(b, a)
			return other, guard.Accepted, true
		}
	}
	s.c.told(SessionEvent{Backend: s.c.o.Name, Opened: true})
	s.startFollowing(b.settled)
	if s.over.Load() && s.now.CompareAndSwap(b, nil) { // closed meanwhile
		s.c.farewell(b, a)
	}
	return b.attend(cl, a), guard.Accepted, true
}

// open runs the handshake of the elder revisions (basic/lifecycle, 2025-11-25).
func (s *Session) open(cl *call, a attempt) (b *backendSession, v guard.Verdict, ok bool) {
	c := s.c
	m := &message{info: cl.nested(wire.MethodInitialize), method: http.MethodPost, header: c.plain, nested: true}
	m.body = wire.InitializeRequest(ownID(&c.nextID), wire.Rev20251125, s.o.Capabilities, s.o.ClientInfo)
	x := c.conn.send(cl.ctx, m, a)
	if v := cl.after(m, x); v != guard.Accepted {
		if x.status/100 == 4 && undecided[x.status] == 0 {
			c.revision.Store(nil) // not what it was taken for
		}
		return nil, v, false
	}
	id := x.resp.Header.Get(wire.HeaderSession)
	doc, err := cl.readNested(m, x.resp)
	if err != nil {
		return nil, cl.fail(err), false
	}
	b, err = c.opened(m, doc, id)
	if err != nil {
		return nil, cl.fail(err), false
	}
	note := &message{info: cl.nested(wire.NoteInitialized), method: http.MethodPost, header: b.header, nested: true,
		body: wire.InitializedNotification()}
	x = c.conn.send(cl.ctx, note, a)
	if v := cl.after(note, x); v != guard.Accepted {
		return nil, v, false
	}
	cl.release()
	if v, ok := s.restore(cl, b, a); !ok {
		return nil, v, false
	}
	c.revision.Store(&b.revision)
	return b, guard.Accepted, true
}

// opened reads the answer to initialize.
func (c *Client) opened(m *message, doc []byte, id string) (*backendSession, *Error) {
	bad := func(detail string) (*backendSession, *Error) {
		return nil, &Error{Kind: KindProtocolError, Backend: c.o.Name, Method: m.info.Method, Detail: detail}
	}
	ans, err := wire.ScanAnswer(doc)
	if err != nil {
		return bad("the answer is not a JSON-RPC response")
	}
	if ans.Error.Present() {
		c.revision.Store(nil)
		return bad("the backend refused to open a session")
	}
	var result struct {
		ProtocolVersion wire.Revision `json:"protocolVersion"`
	}
	if json.Unmarshal(ans.Result.Of(doc), &result) != nil {
		return bad("the answer is not an InitializeResult")
	}
	r := result.ProtocolVersion
	if !r.Known() && r != wire.Rev20241105 || r.Stateless() {
		return bad("the backend wants a protocol version that is not spoken here")
	}
	if id != "" && !wire.ValidSessionID(id) {
		return bad("the session id has characters that it must not have")
	}
	b := &backendSession{id: id, revision: r, init: ans.Result.Of(doc), header: c.plain.Clone()}
	if id != "" {
		b.header[wire.HeaderSession] = []string{id}
	}
	if r >= wire.Rev20250618 { // the header came with it
		b.header[wire.HeaderProtocol] = []string{string(r)}
	}
	return b, nil
}

// farewell ends a session that was opened beside another.
func (c *Client) farewell(b *backendSession, a attempt) {
	if b.id == "" {
		return
	}
	c.background(farewellTime, func(ctx context.Context) {
		m := &message{info: CallInfo{Backend: c.o.Name, Method: http.MethodDelete, Class: guard.Stream},
			method: http.MethodDelete, header: b.header, nested: true}
		discard(c.conn.send(ctx, m, a).resp)
	})
}

package backend

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/recloser-mcp/recloser/wire"
)

// confirmTime is how long a session may take from the answer to initialize to
// notifications/initialized.
const confirmTime = 30 * time.Second

// errEnded is why requests fail whose session or client has been closed.
var errEnded = fmt.Errorf("the connection was ended: %w", io.ErrClosedPipe)

// peer is one connection of messages.
type peer interface {
	channel() *mux
	// end ends it, and what is in flight with the reason.
	end(reason error)
	ending() bool
	// cause waits for the reason behind an error of a request that opens a
	// session, where that is better known a moment later.
	cause(ctx context.Context, err error) error
}

// sessions are those of an edge over messages, where each has a connection of its
// own. They are what streamable HTTP says of sessions: initialize opens one, every
// request names it, DELETE ends it, and one whose connection is gone is unknown.
type sessions struct {
	// dial makes the connection for a session. refused is the answer to hand on
	// when that is not allowed.
	dial func(req *http.Request) (p peer, refused *http.Response, err error)
	// stateless serves what belongs to no session.
	stateless func(req *http.Request, msg []byte, e *wire.Envelope) (*http.Response, error)

	mu     sync.Mutex
	open   map[string]*session
	closed bool
	work   sync.WaitGroup
}

type session struct {
	peer
	expiry *time.Timer // runs until the session is confirmed
}

// RoundTrip implements http.RoundTripper.
func (s *sessions) RoundTrip(req *http.Request) (*http.Response, error) {
	msg, err := drainBody(req)
	if err != nil {
		return nil, &unsentError{err}
	}
	p := s.named(req)
	switch {
	case req.Header.Get(wire.HeaderSession) != "" && p == nil:
		return respond(req, http.StatusNotFound, "", nil), nil
	case req.Method == http.MethodDelete && p != nil:
		p.end(errEnded)
		return respond(req, http.StatusNoContent, "", nil), nil
	case req.Method == http.MethodGet && p != nil:
		return p.orLost(req)(p.channel().stand(req))
	case req.Method != http.MethodPost:
		return respond(req, http.StatusMethodNotAllowed, "", nil), nil
	}
	e, err := wire.Scan(msg)
	switch {
	case err != nil || e.Kind == wire.Batch:
		return respond(req, http.StatusBadRequest, "", nil), nil
	case p != nil:
		resp, err := p.orLost(req)(p.channel().post(req, msg, &e, nil))
		if e.Method == wire.NoteInitialized {
			s.confirm(p, err == nil && resp.StatusCode/100 == 2)
		}
		return resp, err
	case e.Method == wire.MethodInitialize && e.Kind == wire.Request:
		return s.initialize(req, msg, &e)
	case !statelessRequest(req):
		return respond(req, http.StatusBadRequest, "", nil), nil
	}
	return s.stateless(req, msg, &e)
}

// named returns the session that a request is of, nil if there is none.
func (s *sessions) named(req *http.Request) *session {
	id := req.Header.Get(wire.HeaderSession)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.open[id]; p != nil && !p.ending() {
		return p
	}
	return nil
}

// orLost turns what a connection that is gone did not get into the answer that its
// session is unknown: the request may go to another one.
func (p *session) orLost(req *http.Request) func(*http.Response, error) (*http.Response, error) {
	return func(resp *http.Response, err error) (*http.Response, error) {
		switch _, unsent := errors.AsType[*unsentError](err); {
		case errors.Is(err, errStreamTaken):
			return respond(req, http.StatusConflict, "", nil), nil
		case unsent && p.ending():
			return respond(req, http.StatusNotFound, "", nil), nil
		}
		return resp, err
	}
}

// initialize opens a session with a connection of its own.
func (s *sessions) initialize(req *http.Request, msg []byte, e *wire.Envelope) (*http.Response, error) {
	p, refused, err := s.dial(req)
	if err != nil || refused != nil {
		return refused, err
	}
	p.channel().ofSession()
	id := rand.Text()
	resp, err := p.channel().post(req, msg, e, func(answered bool) {
		if !answered || !s.opened(p, id) {
			s.background(func() { p.end(errEnded) }) // not under the lock of the mux
		}
	})
	if err != nil {
		return nil, p.cause(req.Context(), err)
	}
	resp.Header[wire.HeaderSession] = []string{id}
	return resp, nil
}

// opened notes a session. It has to be confirmed, else nobody is going to end it.
func (s *sessions) opened(p peer, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || p.ending() {
		return false
	}
	s.open[id] = &session{peer: p, expiry: time.AfterFunc(confirmTime, func() { p.end(errEnded) })}
	return true
}

// confirm ends the handshake of a session. One that is refused then is given up:
// its opener begins again.
func (s *sessions) confirm(p *session, ok bool) {
	if !ok {
		p.end(errEnded)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.expiry.Stop()
}

// forget drops the session of a connection that is gone.
func (s *sessions) forget(p peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, one := range s.open {
		if one.peer == p {
			one.expiry.Stop()
			delete(s.open, id)
		}
	}
}

// background runs what must not be waited for here. It reports whether it does:
// not after close.
func (s *sessions) background(fn func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.work.Go(fn)
	return true
}

// close lets nothing new begin.
func (s *sessions) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// drainBody reads the body of a request to its end and closes it.
func drainBody(req *http.Request) ([]byte, error) {
	if req.Body == nil {
		return nil, nil
	}
	defer req.Body.Close()
	if req.ContentLength < 0 {
		return io.ReadAll(req.Body)
	}
	body := make([]byte, req.ContentLength)
	_, err := io.ReadFull(req.Body, body)
	return body, err
}

package session

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recloser-mcp/recloser/wire"
)

// Info is what a session knows of its client from the handshake. It never
// changes.
type Info struct {
	Revision     wire.Revision   // the one negotiated
	ClientInfo   json.RawMessage // as the client wrote it
	Capabilities json.RawMessage // as the client wrote them
	Owner        string          // who the caller is; "" where callers are not told apart
	Scope        string          // the endpoint: "" for all backends, else the backend's slug
}

// Upstream is a session at one backend.
type Upstream interface {
	// Close ends the session at the backend.
	Close(ctx context.Context) error
}

// maxStreams bounds the standing streams of one session. Each message goes to
// one of them only, so more than one is of no use to a client but while it
// reconnects.
const maxStreams = 4

// Session is one client's session. All methods are safe for concurrent use.
type Session struct {
	id    string
	info  Info
	store *Store
	done  chan struct{} // closed by end
	out   outbox

	used  atomic.Int64 // when it was last held, as time since epoch
	holds atomic.Int32 // requests and streams that use it now

	mu        sync.Mutex
	ended     bool
	streams   int
	upstreams map[string]Upstream
	calls     map[string]context.CancelFunc // in flight, by raw request id
	questions map[string]Question           // by raw id, as the client knows it
	asked     int64                         // questions so far
	held      map[string]func()             // what the client holds, by key
	tapes     []*Tape                       // of the last streams
	recorded  int64                         // streams so far
	level     string                        // of logging, "" until the client sets it
	listened  bool                          // a standing stream was opened once
}

// epoch makes instants of the monotonic clock into numbers.
var epoch = time.Now()

func newSession(id string, i Info, store *Store) *Session {
	s := &Session{id: id, info: i, store: store, done: make(chan struct{}), out: outbox{wake: make(chan struct{}, 1)}}
	s.holds.Store(1)
	s.used.Store(int64(time.Since(epoch)))
	return s
}

// ID returns the value of the Mcp-Session-Id header.
func (s *Session) ID() string { return s.id }

// Info returns what the handshake told.
func (s *Session) Info() *Info { return &s.info }

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// hold keeps the session from expiring; it fails once the session has ended.
func (s *Session) hold() bool {
	select {
	case <-s.done:
		return false
	default:
		s.holds.Add(1)
		return true
	}
}

// Release ends one hold of Create or Get.
func (s *Session) Release() {
	s.used.Store(int64(time.Since(epoch)))
	s.holds.Add(-1)
}

// expired reports whether nobody but the asker, who has own holds, used the
// session for the time to live.
func (s *Session) expired(ttl time.Duration, own int32) bool {
	return s.holds.Load() <= own && time.Since(epoch)-time.Duration(s.used.Load()) > ttl
}

// Upstream returns the session at a backend, which open makes when the client
// needs it for the first time. open must not block. A session that has ended
// gives ok false and opens nothing.
func (s *Session) Upstream(backend string, open func() Upstream) (u Upstream, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil, false
	}
	if u = s.upstreams[backend]; u != nil {
		return u, true
	}
	if s.upstreams == nil {
		s.upstreams = make(map[string]Upstream)
	}
	u = open()
	s.upstreams[backend] = u
	return u, true
}

// prune closes the sessions at backends that keep does not want.
func (s *Session) prune(keep func(backend string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for backend, u := range s.upstreams {
		if !keep(backend) {
			delete(s.upstreams, backend)
			s.store.closer.add(u)
		}
	}
}

// Begin notes a call in flight, so that the client can cancel it by its raw
// request id. It returns false, and notes nothing, when a call with that id is
// in flight already or the session has ended.
func (s *Session) Begin(id []byte, cancel context.CancelFunc) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, twice := s.calls[string(id)]; twice || s.ended {
		return false
	}
	if s.calls == nil {
		s.calls = make(map[string]context.CancelFunc)
	}
	s.calls[string(id)] = cancel
	return true
}

// Finish forgets a call that Begin noted.
func (s *Session) Finish(id []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.calls, string(id))
}

// Cancel cancels the call in flight with the raw request id and reports whether
// there was one.
func (s *Session) Cancel(id []byte) bool {
	s.mu.Lock()
	cancel := s.calls[string(id)]
	s.mu.Unlock()
	if cancel == nil {
		return false
	}
	cancel()
	return true
}

// OpenStream takes one of the few places for standing streams; give it back
// with CloseStream.
func (s *Session) OpenStream() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.streams == maxStreams {
		return false
	}
	s.streams++
	s.listened = true
	return true
}

// CloseStream gives a place of OpenStream back.
func (s *Session) CloseStream() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams--
}

// end is the one way a session ends.
func (s *Session) end() {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended = true
	close(s.done)
	upstreams, calls, held, taped := s.upstreams, s.calls, s.held, s.tapes
	s.upstreams, s.calls, s.questions, s.held, s.tapes = nil, nil, nil, nil, nil
	s.mu.Unlock()
	for _, cancel := range calls {
		cancel()
	}
	for _, release := range held {
		release()
	}
	for _, t := range taped {
		t.forget()
	}
	for _, u := range upstreams {
		s.store.closer.add(u)
	}
}

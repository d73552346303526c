// Package session keeps the sessions of clients that speak a revision with a
// handshake (2025-03-26 to 2025-11-25; basic/transports, "Session Management").
// A client session owns what belongs to one client: its sessions at the
// backends, its calls in flight and the messages that wait for its standing
// stream. Clients of 2026-07-28 are stateless and never appear here.
//
// An idle session costs its bytes and nothing else: no goroutine, no timer. One
// timer of the store ends the sessions that nobody used for the time to live.
package session

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Options are the settings of a store. The zero value means the defaults.
type Options struct {
	// Store names the kind of store; "memory", the default, is the only one.
	Store string `yaml:"store,omitempty" json:"store,omitempty"`
	// TTL is how long a session lives without a request, a call in flight or an
	// open stream. Default 30 minutes.
	TTL time.Duration `yaml:"ttl,omitempty" json:"ttl,omitempty"`
	// Max is the number of sessions that may be open at once. Default 10,000.
	Max int `yaml:"-" json:"-"`
}

// Defaults of Options.
const (
	DefaultTTL = 30 * time.Minute
	DefaultMax = 10_000
)

// Validate reports every value that is out of range, each with the fix.
func (o Options) Validate() error {
	var errs []error
	if o.Store != "" && o.Store != "memory" {
		errs = append(errs, fmt.Errorf(`store is %q: use "memory"`, o.Store))
	}
	if o.TTL != 0 && o.TTL < time.Second {
		errs = append(errs, fmt.Errorf("ttl is %s: use 1s or more", o.TTL))
	}
	if o.Max < 0 {
		errs = append(errs, fmt.Errorf("the number of sessions is %d: use 1 or more", o.Max))
	}
	return errors.Join(errs...)
}

// ErrFull is the error of Create when as many sessions are open as may be.
var ErrFull = errors.New("too many sessions are open")

// ErrClosed is the error of Create after Close.
var ErrClosed = errors.New("session store is closed")

// Store holds the open sessions of one gateway in memory. All methods are safe
// for concurrent use.
type Store struct {
	ttl    time.Duration
	max    int
	closer closer
	taped  atomic.Int64 // bytes that the tapes of all sessions hold

	mu       sync.RWMutex
	sessions map[string]*Session
	sweeper  *time.Timer // nil while there is no session
	closed   bool
}

// New makes an empty store.
func New(o Options) *Store {
	return &Store{
		ttl:      cmp.Or(o.TTL, DefaultTTL),
		max:      cmp.Or(o.Max, DefaultMax),
		sessions: make(map[string]*Session),
	}
}

// Create opens a session for one client. Its id is 32 characters of URL-safe
// base64, 192 bits of randomness. The session is held, as if Get had returned
// it: call Release. The error is ErrFull or ErrClosed.
func (s *Store) Create(i Info) (*Session, error) { return s.create(newID(), i) }

// create opens the session with an id, or holds the one that has it.
func (s *Store) create(id string, i Info) (*Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if have := s.sessions[id]; have != nil && have.hold() {
		return have, nil
	}
	sess := newSession(id, i, s)
	if len(s.sessions) >= s.max {
		if s.sweepLocked(); len(s.sessions) >= s.max {
			return nil, ErrFull
		}
	}
	s.sessions[sess.id] = sess
	if s.sweeper == nil {
		s.sweeper = time.AfterFunc(s.period(), s.sweep)
	}
	return sess, nil
}

// Get returns the open session with the id, if it belongs to the owner and was
// opened at the scope; anything else looks the same as a session that never
// was. It holds the session, which does not expire until Release.
func (s *Store) Get(id, owner, scope string) (*Session, bool) {
	s.mu.RLock()
	sess := s.sessions[id]
	s.mu.RUnlock()
	if sess == nil || sess.info.Owner != owner || sess.info.Scope != scope {
		return nil, false
	}
	if !sess.hold() {
		return nil, false
	}
	if sess.expired(s.ttl, 1) {
		s.End(sess)
		sess.Release()
		return nil, false
	}
	return sess, true
}

// End closes the session: its calls in flight are cancelled, its streams end,
// its sessions at the backends are closed in the background. Ending a session
// twice is harmless.
func (s *Store) End(sess *Session) {
	s.mu.Lock()
	if s.sessions[sess.id] == sess {
		delete(s.sessions, sess.id)
	}
	s.mu.Unlock()
	sess.end()
}

// Each calls f for every open session, in no order. f must not block.
func (s *Store) Each(f func(*Session)) {
	s.mu.RLock()
	all := make([]*Session, 0, len(s.sessions))
	for _, sess := range s.sessions {
		all = append(all, sess)
	}
	s.mu.RUnlock()
	for _, sess := range all {
		f(sess)
	}
}

// Prune closes, in the background, the sessions at those backends that keep does
// not want, of all clients.
func (s *Store) Prune(keep func(backend string) bool) {
	s.Each(func(sess *Session) { sess.prune(keep) })
}

// Len returns the number of open sessions.
func (s *Store) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.sessions)
}

// Close ends every session and waits until their sessions at the backends are
// closed too, or ctx ends; then it gives up on those that are left. Its error
// is that of ctx.
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	all := s.sessions
	s.sessions = map[string]*Session{}
	if s.sweeper != nil {
		s.sweeper.Stop()
		s.sweeper = nil
	}
	s.mu.Unlock()
	for _, sess := range all {
		sess.end()
	}
	return s.closer.wait(ctx)
}

// period is how often expired sessions are looked for. Get is exact by itself;
// this only bounds how long the dead are kept.
func (s *Store) period() time.Duration {
	return min(max(s.ttl/10, 100*time.Millisecond), time.Minute)
}

func (s *Store) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sweeper == nil {
		return
	}
	s.sweepLocked()
	if len(s.sessions) == 0 {
		s.sweeper = nil
		return
	}
	s.sweeper.Reset(s.period())
}

func (s *Store) sweepLocked() {
	for id, sess := range s.sessions {
		if sess.expired(s.ttl, 0) {
			delete(s.sessions, id)
			sess.end()
		}
	}
}

func newID() string {
	var b [24]byte
	rand.Read(b[:]) // never fails: it ends the program instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

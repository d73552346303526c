package backendtest

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// The log of exchanges is bounded; the counters are not.
const (
	maxExchanges    = 10_000
	maxExchangeBody = 64 << 10
)

// Exchange is one request and what became of it.
type Exchange struct {
	At         time.Time
	Took       time.Duration // zero while it runs
	HTTPMethod string
	Method     string // as in Message
	Name       string // tool, prompt or URI
	Credential string
	Session    string
	Revision   string
	Header     http.Header // of the request, unredacted: this is a test server
	Body       []byte      // of the request, its first 64 KiB
	Status     int         // 0 while it runs, and when no answer was begun
}

// counts is everything that the server remembers.
type counts struct {
	mu        sync.Mutex
	log       []*Exchange
	requests  map[string]int
	refused   map[string]int
	byCred    map[string]int
	creds     []string // in the order they were first seen
	executed  map[string]int
	last      map[string]*Exchange
	total     int
	inFlight  int
	maxFlight int
	opened    int
	closed    int
	live      map[string]bool
	dropped   map[string]bool
	changed   chan struct{}
}

func newCounts() *counts {
	return &counts{
		requests: map[string]int{}, refused: map[string]int{}, byCred: map[string]int{},
		executed: map[string]int{}, last: map[string]*Exchange{},
		live: map[string]bool{}, dropped: map[string]bool{}, changed: make(chan struct{}),
	}
}

// touch wakes whoever waits for a count. The lock is held.
func (c *counts) touch() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// begin notes a request that arrived.
func (c *counts) begin(r *http.Request, m *Message) *Exchange {
	x := &Exchange{
		At: time.Now(), HTTPMethod: r.Method, Method: m.Method, Name: m.Name, Credential: m.Credential,
		Session: m.Session, Revision: m.Revision, Header: r.Header.Clone(), Body: bytes.Clone(m.Body[:min(len(m.Body), maxExchangeBody)]),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.log) == maxExchanges {
		c.log = slices.Delete(c.log, 0, maxExchanges/10)
	}
	c.log = append(c.log, x)
	c.last[m.Method] = x
	c.total++
	c.requests[m.Method]++
	if m.Credential != "" {
		if _, seen := c.byCred[m.Credential]; !seen {
			c.creds = append(c.creds, m.Credential)
		}
		c.byCred[m.Credential]++
	}
	if takesPlace(m) {
		c.inFlight++
		c.maxFlight = max(c.maxFlight, c.inFlight)
	}
	c.touch()
	return x
}

// end notes the status that went out.
func (c *counts) end(x *Exchange, m *Message, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x.Took, x.Status = time.Since(x.At), status
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		c.refused[m.Method]++
	}
	if takesPlace(m) {
		c.inFlight--
	}
	c.touch()
}

// takesPlace reports whether a request counts as work in flight: standing
// streams do not.
func takesPlace(m *Message) bool {
	return m.Method != MethodGet && m.Method != "subscriptions/listen"
}

func (c *counts) execution(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.executed[name]++
	c.touch()
}

func (c *counts) open(session string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened++
	c.live[session] = true
	c.touch()
}

// gone notes the end of a session, by its client or by a fault.
func (c *counts) gone(session string, dropped bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live[session] {
		delete(c.live, session)
		c.closed++
	}
	if dropped {
		c.dropped[session] = true
	}
	c.touch()
}

func (c *counts) isDropped(session string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dropped[session]
}

func (c *counts) liveSessions() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]string, 0, len(c.live))
	for id := range c.live {
		ids = append(ids, id)
	}
	return ids
}

// wait blocks until cond, called with the lock held, is true.
func (c *counts) wait(ctx context.Context, cond func() bool) error {
	for {
		c.mu.Lock()
		ok, changed := cond(), c.changed
		c.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func get[T any](c *counts, read func() T) T {
	c.mu.Lock()
	defer c.mu.Unlock()
	return read()
}

// Requests is how many requests of a method arrived, refused and faulty ones
// included; of all methods when it is empty. Notifications count too.
func (s *Server) Requests(method string) int {
	return get(s.counts, func() int {
		if method == "" {
			return s.counts.total
		}
		return s.counts.requests[method]
	})
}

// Refused is how many requests of a method were answered 401 or 403, by policy
// or by fault; of all methods when it is empty.
func (s *Server) Refused(method string) int {
	return get(s.counts, func() int {
		if method != "" {
			return s.counts.refused[method]
		}
		sum := 0
		for _, n := range s.counts.refused {
			sum += n
		}
		return sum
	})
}

// Executions is how often a tool's function ran, a prompt (by its name) or a
// resource (by its URI) was read, or "completion/complete" was answered. Of
// everything when name is empty.
func (s *Server) Executions(name string) int {
	return get(s.counts, func() int {
		if name != "" {
			return s.counts.executed[name]
		}
		sum := 0
		for _, n := range s.counts.executed {
			sum += n
		}
		return sum
	})
}

// ByToken is how many requests carried the n-th credential, from 1: in the
// order the issuer minted them with WithBearer, else in the order the server
// first saw them.
func (s *Server) ByToken(n int) int {
	if s.cfg.issuer != nil {
		return s.ByCredential(s.cfg.issuer.Token(n))
	}
	return get(s.counts, func() int {
		if n < 1 || n > len(s.counts.creds) {
			return 0
		}
		return s.counts.byCred[s.counts.creds[n-1]]
	})
}

// ByCredential is how many requests carried this token or, where the
// credential is no bearer token, this header value.
func (s *Server) ByCredential(credential string) int {
	return get(s.counts, func() int { return s.counts.byCred[credential] })
}

// Credentials are the credentials seen, in the order of their first request.
func (s *Server) Credentials() []string {
	return get(s.counts, func() []string { return slices.Clone(s.counts.creds) })
}

// Sessions is how many sessions were opened (revisions before 2026-07-28).
func (s *Server) Sessions() int { return get(s.counts, func() int { return s.counts.opened }) }

// SessionsClosed is how many sessions ended, by DELETE or by being dropped.
func (s *Server) SessionsClosed() int { return get(s.counts, func() int { return s.counts.closed }) }

// InFlight is how many requests are being handled, standing streams apart.
func (s *Server) InFlight() int { return get(s.counts, func() int { return s.counts.inFlight }) }

// MaxInFlight is the most that InFlight has been.
func (s *Server) MaxInFlight() int { return get(s.counts, func() int { return s.counts.maxFlight }) }

// Last is the latest request of a method. Ok is false when there was none.
func (s *Server) Last(method string) (x Exchange, ok bool) {
	s.counts.mu.Lock()
	defer s.counts.mu.Unlock()
	last, ok := s.counts.last[method]
	if !ok {
		return Exchange{}, false
	}
	return *last, true
}

// Exchanges are the latest requests, oldest first; at most 10,000 are kept.
func (s *Server) Exchanges() []Exchange {
	return get(s.counts, func() []Exchange {
		all := make([]Exchange, len(s.counts.log))
		for i, x := range s.counts.log {
			all[i] = *x
		}
		return all
	})
}

// WaitRequests blocks until n requests of a method (any, when empty) have
// arrived, or ctx ends.
func (s *Server) WaitRequests(ctx context.Context, method string, n int) error {
	return s.counts.wait(ctx, func() bool {
		if method == "" {
			return s.counts.total >= n
		}
		return s.counts.requests[method] >= n
	})
}

// WaitInFlight blocks until exactly n requests are being handled, or ctx ends.
func (s *Server) WaitInFlight(ctx context.Context, n int) error {
	return s.counts.wait(ctx, func() bool { return s.counts.inFlight == n })
}

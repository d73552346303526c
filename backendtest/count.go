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

// entry is an exchange under way.
type entry struct {
	Exchange
	inFlight bool
	stream   bool
}

// counts is everything that the server remembers.
type counts struct {
	mu        sync.Mutex
	log       []*entry
	requests  map[string]int
	refused   map[string]int
	byCred    map[string]int
	creds     []string // in the order they were first seen
	executed  map[string]int
	last      map[string]*entry
	total     int
	inFlight  int
	maxFlight int
	streams   int // standing streams that have begun to answer
	opened    int
	closed    int
	live      map[string]bool
	dropped   map[string]bool

	subscribed map[string]map[any]bool // by URI: who
	subscribes map[string]int

	changed chan struct{}
	told    func(report) // in a process of its own: tells the test; else nil

	streamed bool // a standing stream is a session
}

func newCounts(cfg *config) *counts {
	return &counts{
		streamed: cfg.legacySSE, requests: map[string]int{}, refused: map[string]int{}, byCred: map[string]int{},
		executed: map[string]int{}, last: map[string]*entry{},
		live: map[string]bool{}, dropped: map[string]bool{}, changed: make(chan struct{}),
		subscribed: map[string]map[any]bool{}, subscribes: map[string]int{},
	}
}

// touch wakes whoever waits for a count. The lock is held.
func (c *counts) touch() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// begin notes a request that arrived.
func (c *counts) begin(r *http.Request, m *Message) *entry {
	if c.told != nil {
		c.told(report{Request: m.Method})
	}
	x := &entry{Exchange: Exchange{
		At: time.Now(), HTTPMethod: r.Method, Method: m.Method, Name: m.Name, Credential: m.Credential,
		Session: m.Session, Revision: m.Revision, Header: r.Header.Clone(), Body: bytes.Clone(m.Body[:min(len(m.Body), maxExchangeBody)]),
	}}
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
		x.inFlight = true
		c.inFlight++
		c.maxFlight = max(c.maxFlight, c.inFlight)
	}
	c.touch()
	return x
}

// answered notes the head of an answer before the client can see it, so that a
// client which has its answer finds it counted.
func (c *counts) answered(x *entry, m *Message, status int, session string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x.Status = status
	accepted := status >= 200 && status < 300
	switch {
	case accepted && !takesPlace(m):
		x.stream = true
		c.streams++
		if c.streamed {
			c.opened++
		}
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		c.refused[m.Method]++
	case accepted && m.Method == "initialize" && session != "":
		c.opened++
		c.live[session] = true
	case accepted && m.Method == MethodDelete:
		c.forget(m.Session)
	}
	c.touch()
}

// leave ends a request's place among those in flight.
func (c *counts) leave(x *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x.inFlight {
		x.inFlight = false
		c.inFlight--
		c.touch()
	}
}

// end notes that nothing more happens to the request.
func (c *counts) end(x *entry) {
	c.leave(x)
	c.mu.Lock()
	defer c.mu.Unlock()
	x.Took = time.Since(x.At)
	if x.stream {
		x.stream = false
		c.streams--
		if c.streamed {
			c.closed++
		}
	}
	c.touch()
}

// takesPlace reports whether a request counts as work in flight: standing
// streams do not.
func takesPlace(m *Message) bool {
	return m.Method != MethodGet && m.Method != "subscriptions/listen"
}

func (c *counts) execution(name string) {
	if c.told != nil {
		c.told(report{Executed: name})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.executed[name]++
	c.touch()
}

// drop notes that the server forgot a session.
func (c *counts) drop(session string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(session)
	c.dropped[session] = true
	c.touch()
}

// forget notes the end of a session. The lock is held.
func (c *counts) forget(session string) {
	for _, who := range c.subscribed {
		delete(who, session)
	}
	if c.live[session] {
		delete(c.live, session)
		c.closed++
	}
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

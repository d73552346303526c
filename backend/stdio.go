package backend

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recloser-mcp/recloser/wire"
)

const (
	probeTime   = 5 * time.Second  // for server/discover, which elder servers may ignore
	standTime   = time.Second      // that a process must live to count as one that runs
	confirmTime = 30 * time.Second // from the answer to initialize to notifications/initialized
)

// stdio is the edge of a backend that is a program: it speaks streamable HTTP to
// the connection above and has a process for each session, and one for requests
// without a session. A process that ends takes its session along; the session is
// unknown then, as after a restart of a server, and is opened again by whoever
// needs it.
type stdio struct {
	o        Options
	launcher *launcher
	secrets  []string
	noted    atomic.Bool
	skipped  atomic.Uint64

	mu       sync.Mutex
	children map[*child]struct{}
	sessions map[string]*child
	// free is the process of requests without a session. Towards an elder server
	// it is the one that was asked for its revision, and the next session has it.
	free   *child
	modern bool // the server has answered server/discover
	closed bool
	work   sync.WaitGroup
}

var (
	_ http.RoundTripper = (*stdio)(nil)
	_ io.Closer         = (*stdio)(nil)
)

func newStdio(o Options, start func(command) (*process, error)) *stdio {
	secrets := append(secretsOf(o.Env), o.Secrets...)
	return &stdio{o: o, secrets: secrets, children: map[*child]struct{}{}, sessions: map[string]*child{}, launcher: &launcher{
		start: start, name: o.Command, log: o.Logger.With("backend", o.Name),
		command: command{args: o.Args, env: environ(o.Env), dir: o.Cwd},
		locate:  func() (string, error) { return locate(o.Command, o.Cwd, o.Env) },
	}}
}

// RoundTrip implements http.RoundTripper.
func (s *stdio) RoundTrip(req *http.Request) (*http.Response, error) {
	msg, err := drainBody(req)
	if err != nil {
		return nil, &unsentError{err}
	}
	id := req.Header.Get(wire.HeaderSession)
	var c *child
	if id != "" {
		if c = s.find(id); c == nil {
			return respond(req, http.StatusNotFound, "", nil), nil
		}
	}
	switch {
	case req.Method == http.MethodDelete && c != nil:
		c.end(errEnded)
		return respond(req, http.StatusNoContent, "", nil), nil
	case req.Method == http.MethodGet && c != nil:
		return c.orLost(req)(c.mux.stand(req))
	case req.Method != http.MethodPost:
		return respond(req, http.StatusMethodNotAllowed, "", nil), nil
	}
	e, err := wire.Scan(msg)
	switch {
	case err != nil || e.Kind == wire.Batch:
		return respond(req, http.StatusBadRequest, "", nil), nil
	case c != nil:
		if e.Method == wire.NoteInitialized {
			s.confirmed(c)
		}
		return c.orLost(req)(c.mux.post(req, msg, &e, nil))
	case e.Method == wire.MethodInitialize && e.Kind == wire.Request:
		return s.initialize(req, msg, &e)
	case !statelessRequest(req):
		return respond(req, http.StatusBadRequest, "", nil), nil
	case e.Method == wire.MethodDiscover && !s.isModern():
		return s.probe(req, msg, &e)
	}
	return s.stateless(req, msg, &e)
}

// orLost turns what a dead process did not get into the answer that its session
// is unknown: the request may go to another one.
func (c *child) orLost(req *http.Request) func(*http.Response, error) (*http.Response, error) {
	return func(resp *http.Response, err error) (*http.Response, error) {
		switch _, unsent := errors.AsType[*unsentError](err); {
		case errors.Is(err, errStreamTaken):
			return respond(req, http.StatusConflict, "", nil), nil
		case unsent && c.ending():
			return respond(req, http.StatusNotFound, "", nil), nil
		}
		return resp, err
	}
}

func (c *child) ending() bool {
	select {
	case <-c.quit:
		return true
	default:
		return false
	}
}

// initialize opens a session with a process of its own.
func (s *stdio) initialize(req *http.Request, msg []byte, e *wire.Envelope) (*http.Response, error) {
	c, err := s.taken()
	if err != nil {
		return nil, &unsentError{err}
	}
	c.mux.ofSession()
	id := rand.Text()
	resp, err := c.mux.post(req, msg, e, func(answered bool) {
		if !answered || !s.opened(c, id) {
			c.endSoon(errEnded)
		}
	})
	if err != nil {
		return nil, c.cause(req.Context(), err)
	}
	resp.Header[wire.HeaderSession] = []string{id}
	return resp, nil
}

// cause waits for the end of a process that could not be written to, which says
// why.
func (c *child) cause(ctx context.Context, err error) error {
	if errors.Is(err, errNotWritten) && c.await(ctx, exitTime+termTime+killTime) {
		return &unsentError{c.exit}
	}
	return err
}

// endSoon is end for callers that hold the lock of the mux.
func (c *child) endSoon(reason error) { c.s.background(func() { c.end(reason) }) }

// taken returns a process for a session: the free one if it has only been asked
// for its revision and did not know the question.
func (s *stdio) taken() (*child, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.free
	switch {
	case s.closed:
		return nil, errEnded
	case c != nil && c.refuse && !c.ending():
		s.free = nil
		return c, nil
	}
	return s.launchChild()
}

// opened notes the session of a process. It has to be confirmed, else nobody is
// going to end it.
func (s *stdio) opened(c *child, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || c.ending() {
		return false
	}
	c.id, s.sessions[id] = id, c
	c.expiry = time.AfterFunc(confirmTime, func() { c.end(errEnded) })
	return true
}

func (s *stdio) confirmed(c *child) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.expiry != nil {
		c.expiry.Stop()
	}
}

// stateless sends a request to the one process for all of them, and to a new one
// if that ended before it got it.
func (s *stdio) stateless(req *http.Request, msg []byte, e *wire.Envelope) (*http.Response, error) {
	for again := false; ; again = true {
		c, err := s.shared()
		if err != nil {
			return nil, &unsentError{err}
		}
		resp, err := c.mux.post(req, msg, e, nil)
		if _, unsent := errors.AsType[*unsentError](err); !unsent || again || !c.ending() {
			return resp, err
		}
	}
}

// shared returns the free process, started if need be.
func (s *stdio) shared() (*child, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, errEnded
	case s.free != nil && !s.free.ending():
		return s.free, nil
	}
	c, err := s.launchChild()
	if err == nil {
		s.free = c
	}
	return c, err
}

// find returns the process of a session.
func (s *stdio) find(id string) *child {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.sessions[id]; c != nil && !c.ending() {
		return c
	}
	return nil
}

// forget drops a process that has ended.
func (s *stdio) forget(c *child) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.children, c)
	delete(s.sessions, c.id)
	if s.free == c {
		s.free = nil
	}
	if c.expiry != nil {
		c.expiry.Stop()
	}
}

func (s *stdio) isModern() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.modern
}

// background runs what must not be waited for here.
func (s *stdio) background(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.work.Go(fn)
	}
}

// odd notes a line that is no message. Many servers greet on stdout.
func (s *stdio) odd() {
	s.skipped.Add(1)
	if !s.noted.Swap(true) {
		s.o.Logger.Warn("the process writes to stdout what is no message: such lines are skipped", "backend", s.o.Name, "command", s.o.Command)
	}
}

func (s *stdio) facts() *ProcessFacts {
	f := s.launcher.facts()
	f.Skipped = s.skipped.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	var first time.Time
	for c := range s.children {
		if first.IsZero() || c.began.Before(first) {
			first, f.PID = c.began, c.process.pid
		}
	}
	return f
}

// Close ends every process and waits for it.
func (s *stdio) Close() error {
	s.mu.Lock()
	s.closed = true
	all := make([]*child, 0, len(s.children))
	for c := range s.children {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		c.end(errEnded)
	}
	s.work.Wait()
	return nil
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

// await waits for a process to end. It reports whether it did within d.
func (c *child) await(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.gone:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

package backend

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recloser-mcp/recloser/wire"
)

// stdio is the edge of a backend that is a program: it speaks streamable HTTP to
// the connection above and has a process for each session, and one for requests
// without a session. A process that ends takes its session along; the session is
// unknown then, as after a restart of a server, and is opened again by whoever
// needs it.
type stdio struct {
	sessions
	o        Options
	launcher *launcher
	secrets  []string
	noted    atomic.Bool
	skipped  atomic.Uint64

	procs    sync.Mutex // guards what follows; taken before that of sessions
	children map[*child]struct{}
	// free is the process of requests without a session. Towards an elder server
	// it is the one that was asked for its revision, and the next session has it.
	free   *child
	modern bool // the server has answered server/discover
	shut   bool
}

var (
	_ http.RoundTripper = (*stdio)(nil)
	_ io.Closer         = (*stdio)(nil)
)

func newStdio(o Options, start func(command) (*process, error)) *stdio {
	s := &stdio{o: o, secrets: append(secretsOf(o.Env), o.Secrets...), children: map[*child]struct{}{}, launcher: &launcher{
		start: start, name: o.Command, log: o.Logger.With("backend", o.Name),
		command: command{args: o.Args, env: environ(o.Env), dir: o.Cwd},
		locate:  func() (string, error) { return locate(o.Command, o.Cwd, o.Env) },
	}}
	s.open, s.dial, s.sessions.stateless = map[string]*session{}, s.taken, s.stateless
	return s
}

// taken returns a process for a session: the free one if it has only been asked
// for its revision and did not know the question.
func (s *stdio) taken(*http.Request) (peer, *http.Response, error) {
	s.procs.Lock()
	defer s.procs.Unlock()
	if c := s.free; c != nil && c.refuse && !c.ending() {
		s.free = nil
		return c, nil, nil
	}
	c, err := s.launchChild()
	if err != nil {
		return nil, nil, &unsentError{err}
	}
	return c, nil, nil
}

// stateless sends a request to the one process for all of them, and to a new one
// if that ended before it got it.
func (s *stdio) stateless(req *http.Request, msg []byte, e *wire.Envelope) (*http.Response, error) {
	if e.Method == wire.MethodDiscover && !s.isModern() {
		return s.probe(req, msg, e)
	}
	for again := false; ; again = true {
		c, err := s.shared()
		if err != nil {
			return nil, err
		}
		resp, err := c.mux.post(req, msg, e, nil)
		if _, unsent := errors.AsType[*unsentError](err); !unsent || again || !c.ending() {
			return resp, err
		}
	}
}

// shared returns the free process, started if need be.
func (s *stdio) shared() (*child, error) {
	s.procs.Lock()
	defer s.procs.Unlock()
	if s.free != nil && !s.free.ending() {
		return s.free, nil
	}
	c, err := s.launchChild()
	if err != nil {
		return nil, &unsentError{err}
	}
	s.free = c
	return c, nil
}

// forget drops a process that has ended.
func (s *stdio) forget(c *child) {
	s.procs.Lock()
	delete(s.children, c)
	if s.free == c {
		s.free = nil
	}
	s.procs.Unlock()
	s.sessions.forget(c)
}

func (s *stdio) isModern() bool {
	s.procs.Lock()
	defer s.procs.Unlock()
	return s.modern
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
	s.procs.Lock()
	defer s.procs.Unlock()
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
	s.procs.Lock()
	s.shut = true
	all := make([]*child, 0, len(s.children))
	for c := range s.children {
		all = append(all, c)
	}
	s.procs.Unlock()
	for _, c := range all {
		c.end(errEnded)
	}
	s.sessions.close()
	s.work.Wait()
	return nil
}

package backendtest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// Server is a faulty MCP server. Make one with [NewServer] or [StartServer].
type Server struct {
	// URL is the MCP endpoint. Any path of the server is one.
	URL string

	cfg     *config
	certPEM []byte
	host    *host
	counts  *counts
	faults  *faults
	policy  *policy
	gate    gate
	engine  engine
	chain   http.Handler // middleware and below

	mu        sync.Mutex
	tools     []string
	texts     map[string]string                        // of resources that were updated
	lines     map[*Server]struct{}                     // connections over stdio
	listening map[string]map[*entry]context.CancelFunc // standing streams by session
	enders    sync.WaitGroup
}

// NewServer starts a server that ends with the test. A bad option ends the test.
func NewServer(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s, err := StartServer(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// StartServer starts a server that runs until Close. It fails on an unknown
// revision, contradicting options, a broken tool, or when no port is left.
func StartServer(opts ...Option) (*Server, error) {
	cfg, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	s := newServer(cfg)
	s.chain = http.HandlerFunc(s.serve)
	for _, mw := range slices.Backward(cfg.middleware) {
		s.chain = mw(s.chain)
	}
	for _, f := range cfg.faults {
		s.faults.inject(f)
	}
	scheme := "http://"
	if cfg.tls {
		scheme = "https://"
		if err := s.enableTLS(); err != nil {
			return nil, err
		}
	}
	start := s.host.up
	if cfg.down {
		start = s.host.reserve
	}
	if err := start(); err != nil {
		return nil, err
	}
	s.URL = scheme + s.Addr() + "/mcp"
	if cfg.legacySSE {
		s.URL = scheme + s.Addr() + "/sse"
	}
	return s, nil
}

// newServer makes a server that listens nowhere.
func newServer(cfg *config) *Server {
	s := &Server{
		cfg: cfg, counts: newCounts(cfg), faults: &faults{}, policy: newPolicy(cfg),
		gate:      gate{revisions: cfg.revisions, legacy: cfg.legacy, mcpGo: cfg.mcpGo},
		listening: map[string]map[*entry]context.CancelFunc{}, texts: map[string]string{}, lines: map[*Server]struct{}{},
	}
	s.host = newHost(cfg.pipe, http.HandlerFunc(s.count))
	if cfg.addr != "" {
		s.host.place.addr = cfg.addr
	}
	for _, t := range cfg.tools {
		s.tools = append(s.tools, t.Name)
	}
	s.engine = s.newEngine()
	return s
}

func (s *Server) newEngine() engine {
	if s.cfg.mcpGo {
		return newMCPGo(s)
	}
	return newOfficial(s)
}

// engines are the servers behind all connections. The lock is held.
func (s *Server) engines() []engine {
	all := []engine{s.engine}
	for l := range s.lines {
		all = append(all, l.engine)
	}
	return all
}

// Addr is the host and port of URL.
func (s *Server) Addr() string { return s.host.place.addr }

// Dial connects to the server: over TCP, or in memory under [WithPipe]. It
// refuses any other address than Addr, and everything while the server is down.
// It fits http.Transport.DialContext.
func (s *Server) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return s.host.place.dial(ctx, network, addr)
}

// Client returns a new http.Client that reaches this server and no other. Its
// idle connections end with the server.
func (s *Server) Client() *http.Client { return s.host.client() }

// Close ends the server, its connections, sessions and held requests, and waits
// for all of its goroutines. A tool that ignores its context delays it.
func (s *Server) Close() {
	s.host.close(func() {
		s.faults.heal()
		s.engine.close()
	})
	s.enders.Wait()
}

// Down closes the port and every connection: from now on dialling is refused.
// Sessions are kept.
func (s *Server) Down() { s.host.down() }

// Up listens again, under the same address.
func (s *Server) Up() error { return s.host.up() }

// Inject adds a fault. It works on requests that arrive from now on, after the
// faults injected before it.
func (s *Server) Inject(f Fault) *Injection { return s.faults.inject(f) }

// Heal ends all faults; requests held by them go on.
func (s *Server) Heal() { s.faults.heal() }

// SetTools replaces the tools; open sessions and listeners are told
// (notifications/tools/list_changed).
func (s *Server) SetTools(tools ...Tool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.tools
	s.tools = nil
	for _, t := range tools {
		s.tools = append(s.tools, t.Name)
		old = slices.DeleteFunc(slices.Clone(old), func(name string) bool { return name == t.Name })
	}
	for _, e := range s.engines() {
		e.setTools(old, tools)
	}
}

// AddTool adds a tool or replaces the one of that name; open sessions and
// listeners are told.
func (s *Server) AddTool(t Tool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.tools, t.Name) {
		s.tools = append(s.tools, t.Name)
	}
	for _, e := range s.engines() {
		e.addTools([]Tool{t})
	}
}

// RemoveTool removes tools by name; open sessions and listeners are told.
func (s *Server) RemoveTool(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tools = slices.DeleteFunc(s.tools, func(name string) bool { return slices.Contains(names, name) })
	for _, e := range s.engines() {
		e.removeTools(names)
	}
}

// EndStreams ends the standing streams that are open (see [Server.Streams]) and
// keeps their sessions: a proxy's idle limit, a client that must reconnect.
func (s *Server) EndStreams() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, streams := range s.listening {
		for _, end := range streams {
			end()
		}
	}
}

// DropSessions forgets all sessions, as a restarted server does: requests that
// name them get 404, their standing streams end.
func (s *Server) DropSessions() {
	if s.cfg.legacySSE {
		s.EndStreams() // a session is its stream
		return
	}
	for _, id := range s.counts.liveSessions() {
		s.drop(id)
	}
}

// drop makes a session unknown. The SDK ends it in its own time: it waits for
// calls that the session still runs.
func (s *Server) drop(id string) {
	if s.cfg.legacySSE {
		s.EndStreams()
		return
	}
	s.counts.drop(id)
	s.mu.Lock()
	for _, end := range s.listening[id] {
		end()
	}
	s.mu.Unlock()
	s.enders.Go(func() { s.engine.endSession(id) })
}

// count is the outermost handler: it reads, counts and notes.
func (s *Server) count(w http.ResponseWriter, r *http.Request) {
	m, err := readMessage(r, s.cfg.credential)
	switch {
	case errors.Is(err, errTooLarge):
		http.Error(w, "request too large", http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		panic(http.ErrAbortHandler) // the client left while it was sending
	}
	if s.cfg.legacySSE {
		m.Session = legacySession(r)
	}
	x := s.counts.begin(r, m)
	ctx, cancel := s.host.bound(context.WithValue(r.Context(), messageKey{}, m))
	defer cancel()
	rec := &recorder{ResponseWriter: w}
	rec.begun = func(status int) { s.counts.answered(x, m, status, w.Header().Get("Mcp-Session-Id")) }
	rec.complete = func() { s.counts.leave(x) }
	defer s.counts.end(x)
	if !takesPlace(m) {
		defer s.listen(m.Session, x, cancel)()
	}
	s.chain.ServeHTTP(rec, r.WithContext(ctx))
}

// listen remembers a standing stream while it is open.
func (s *Server) listen(session string, x *entry, end context.CancelFunc) (forget func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listening[session] == nil {
		s.listening[session] = map[*entry]context.CancelFunc{}
	}
	s.listening[session][x] = end
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listening[session], x)
		if len(s.listening[session]) == 0 {
			delete(s.listening, session)
		}
	}
}

// serve applies the faults around the answer.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	m, _ := r.Context().Value(messageKey{}).(*Message)
	p := s.faults.plan(r, m)
	if s.act(p.early, w, r, m) {
		return
	}
	if len(p.late) > 0 {
		unseen := newDiscard()
		s.answer(unseen, r, m)
		if !s.act(p.late, w, r, m) {
			unseen.deliver(w)
		}
		return
	}
	ctx, leave := context.WithCancel(r.Context())
	defer leave()
	shaped := newShaper(w, r.WithContext(ctx), m, p, leave)
	s.answer(shaped, r.WithContext(ctx), m)
	shaped.finish(func(d time.Duration) { s.host.sleep(r.Context(), d, nil) })
}

// act applies faults in turn; it reports whether the request is done with.
func (s *Server) act(list []*Injection, w http.ResponseWriter, r *http.Request, m *Message) (done bool) {
	for _, i := range list {
		switch f := i.fault; f.kind {
		case faultLatency:
			s.host.sleep(r.Context(), f.delay, i.healed)
		case faultHang:
			s.host.hold(r.Context(), i.healed)
		case faultTimeout:
			if f.delay > 0 {
				s.host.sleep(r.Context(), f.delay, i.healed)
			} else {
				s.host.hold(r.Context(), i.healed)
			}
			panic(http.ErrAbortHandler)
		case faultReset:
			if c, ok := connOf(r.Context()); ok {
				reset(c)
			}
			panic(http.ErrAbortHandler)
		case faultDropSession:
			s.drop(m.Session)
		case faultStatus:
			f.answer.write(w, m)
			return true
		default: // the others work on answers
		}
	}
	return false
}

// answer is the server without its faults: policy, revisions, the SDK.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, m *Message) {
	if a, refused := s.policy.refusal(r, m); refused {
		a.write(w, m)
		return
	}
	if m.Session != "" && s.counts.isDropped(m.Session) {
		http.Error(w, "session not found", http.StatusNotFound)
		return
	}
	if s.gate.handle(w, r, m) {
		return
	}
	if s.cfg.handler != nil && s.cfg.handler(w, r, *m) {
		return
	}
	s.engine.ServeHTTP(w, r)
}

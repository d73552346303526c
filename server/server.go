// Package server is the one place that constructs and wires a gateway from its
// configuration, top to bottom, and that ends it in the reverse order.
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recloser-mcp/recloser/admin"
	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/caller"
	"github.com/recloser-mcp/recloser/catalog"
	"github.com/recloser-mcp/recloser/config"
	"github.com/recloser-mcp/recloser/gateway"
	"github.com/recloser-mcp/recloser/health"
	"github.com/recloser-mcp/recloser/session"
	"github.com/recloser-mcp/recloser/telemetry"
)

// Options of a server. The zero value is useful.
type Options struct {
	// Version of the product, as it introduces itself. Default dev.
	Version string
	// Logger gets one record per change worth knowing. Default slog's.
	Logger *slog.Logger
	// Registry makes the credentials; third-party strategies are registered
	// there. Default: the built-in ones.
	Registry *auth.OutgoingAuthRegistry
	// Observe hears of calls, renewals and transitions, beside telemetry.
	Observe *Observer
	// Listen opens the listeners. Default net.Listen; another one serves on
	// sockets that were inherited, or in memory.
	Listen func(network, address string) (net.Listener, error)
}

// Server is a gateway with its two listeners. Make it with New, then call Run.
type Server struct {
	version string
	log     *slog.Logger
	drain   time.Duration
	started time.Time

	draining  atomic.Bool
	telemetry *telemetry.Telemetry
	backends  []*served
	disabled  []string
	catalog   *catalog.Catalog
	monitor   *health.Monitor
	sessions  *session.Store
	gateway   *gateway.Gateway
	board     statusBoard

	mcp, admin                 *http.Server
	mcpListener, adminListener net.Listener

	mu       sync.Mutex
	cleanups []func(context.Context)
	failing  map[string]string // by backend, the last failure of a renewal that was logged
}

// served is one backend in service.
type served struct {
	name    string
	command string // of a process, as it may be shown
	client  *backend.Client
}

// New makes a server from a document and opens its listeners. Nothing is sent to
// a backend before Run. On an error everything that was opened is closed.
func New(ctx context.Context, doc *config.Document, o Options) (*Server, error) {
	s := &Server{version: cmp.Or(o.Version, "dev"), log: cmp.Or(o.Logger, slog.Default()), drain: doc.DrainTimeout, started: time.Now()}
	if err := s.build(ctx, doc, o); err != nil {
		s.close(context.WithoutCancel(ctx))
		return nil, err
	}
	s.Status() // the first look, others follow what happens: see look
	unsubscribe := s.catalog.Subscribe(func(catalog.Change) { s.Status() })
	s.onClose(func(context.Context) { unsubscribe() })
	return s, nil
}

// onClose registers what ends with the server, the last one first.
func (s *Server) onClose(f func(context.Context)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleanups = append(s.cleanups, f)
}

func (s *Server) close(ctx context.Context) {
	s.mu.Lock()
	all := s.cleanups
	s.cleanups = nil
	s.mu.Unlock()
	for i := len(all) - 1; i >= 0; i-- {
		all[i](ctx)
	}
}

func (s *Server) build(ctx context.Context, doc *config.Document, o Options) error {
	var err error
	if s.telemetry, err = telemetry.New(ctx, doc.Telemetry, s.version); err != nil {
		return err
	}
	s.onClose(func(ctx context.Context) { _ = s.telemetry.Shutdown(ctx) })
	if err := s.connect(doc, cmp.Or(o.Registry, auth.NewRegistry()), s.trace(o.Observe)); err != nil {
		return err
	}
	s.sessions = session.New(doc.Sessions)
	s.onClose(func(ctx context.Context) { _ = s.sessions.Close(ctx) })
	if err := s.front(doc); err != nil {
		return err
	}
	s.telemetry.Watch(s.Status, s.sessions.Len)
	if err := s.adminFront(doc); err != nil {
		return err
	}
	open := o.Listen
	if open == nil {
		open = net.Listen
	}
	if s.mcpListener, err = listen(open, "listen", doc.Listen); err != nil {
		return err
	}
	s.onClose(func(context.Context) { _ = s.mcpListener.Close() })
	if s.adminListener, err = listen(open, "admin.listen", doc.Admin.Listen); err != nil {
		return err
	}
	s.onClose(func(context.Context) { _ = s.adminListener.Close() })
	return nil
}

func listen(open func(network, address string) (net.Listener, error), key, addr string) (net.Listener, error) {
	l, err := open("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: cannot listen on %s: %w; choose another address or end the program that has it", key, addr, err)
	}
	return l, nil
}

// connect makes credentials, clients, catalog and monitor.
func (s *Server) connect(doc *config.Document, registry *auth.OutgoingAuthRegistry, tr *backend.Trace) error {
	sources := map[string]*auth.Source{}
	for _, c := range doc.Credentials {
		src, err := registry.New(c.Spec, auth.SourceOptions{Name: c.Key, Logger: s.log})
		if err != nil {
			return fmt.Errorf("%s: %w", c.Key, err)
		}
		sources[c.Key] = src
		s.onClose(func(context.Context) { src.Close() })
	}
	s.onClose(func(context.Context) { s.closeClients() })
	var listed []catalog.Backend
	var probed []health.Backend
	for _, b := range doc.Backends {
		if b.Disabled {
			s.disabled = append(s.disabled, b.Name)
			continue
		}
		opts := b.Options
		opts.Auth, opts.Trace, opts.Logger = sources[b.Credential], tr, s.log
		opts.ClientInfo = backend.ClientInfo{Name: "recloser", Version: s.version}
		c, err := client(registry, opts)
		if err != nil {
			return err
		}
		s.backends = append(s.backends, &served{name: b.Name, command: b.CommandLine, client: c})
		listed = append(listed, catalog.Backend{Name: b.Name, Slug: b.Slug, Client: c, Scrub: c.Scrub, Selection: b.Selection})
		probed = append(probed, health.Backend{Name: b.Name, Probe: c.Probe})
	}
	doc.Catalog.Logger = s.log
	s.catalog = catalog.New(doc.Catalog, listed)
	s.monitor = health.New(doc.Health, probed, s.probed)
	return nil
}

func client(registry *auth.OutgoingAuthRegistry, o backend.Options) (*backend.Client, error) {
	if o.Transport == backend.TransportStdio {
		return backend.NewStdioBackendClient(o)
	}
	return backend.NewHTTPBackendClient(registry, o)
}

// closeClients closes all clients at once: each may have to wait for processes.
func (s *Server) closeClients() {
	var wg sync.WaitGroup
	for _, b := range s.backends {
		wg.Go(func() { _ = b.client.Close() })
	}
	wg.Wait()
}

// front makes the MCP listener's handler.
func (s *Server) front(doc *config.Document) error {
	authn, err := caller.New(doc.IncomingAuth)
	if err != nil {
		return fmt.Errorf("incomingAuth: %w", err)
	}
	guard, err := caller.NewGuard(caller.GuardOptions{AllowedHosts: doc.AllowedHosts, PublicURL: doc.PublicURL,
		Authenticated: !doc.IncomingAuth.Public()})
	if err != nil {
		return err
	}
	o := gateway.Options{
		Catalog: s.catalog, Sessions: s.sessions, Check: guard.Check, Authenticate: ownClient(authn.Authenticate),
		Trace:      s.operations(),
		Limits:     gateway.Limits{RequestBytes: int64(doc.Limits.RequestBytes)},
		ServerInfo: gateway.ServerInfo{Name: "recloser", Version: s.version}, Logger: s.log,
	}
	byName := map[string]*backend.Client{}
	for _, b := range s.backends {
		byName[b.name] = b.client
	}
	for _, b := range doc.Backends {
		if c := byName[b.Name]; c != nil {
			o.Backends = append(o.Backends, gateway.Backend{Name: b.Name, Slug: b.Slug, Client: c, PassthroughHeaders: b.Options.PassthroughHeaders})
		}
	}
	s.gateway = gateway.New(o)
	s.mcp = s.httpServer(s.gateway)
	return nil
}

// adminFront makes the admin listener's handler.
func (s *Server) adminFront(doc *config.Document) error {
	guard, err := caller.NewGuard(caller.GuardOptions{AllowedHosts: doc.AllowedHosts, PublicURL: doc.PublicURL,
		Authenticated: !doc.Admin.Token.IsZero()})
	if err != nil {
		return err
	}
	o := admin.Options{
		Status: func() any { return s.Status() }, Ready: s.ready, Metrics: s.telemetry.Handler(), Check: guard.Wrap,
	}
	if !doc.Admin.Token.IsZero() {
		token, err := caller.New(caller.Options{Type: caller.TypeBearer, Tokens: []auth.Value{doc.Admin.Token}, Logger: s.log})
		if err != nil {
			return fmt.Errorf("admin.token: %w", err)
		}
		o.Authenticate = func(r *http.Request) error { _, err := token.Authenticate(r); return err }
	}
	s.admin = s.httpServer(admin.New(o))
	return nil
}

func (s *Server) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// ready is what /readyz answers: not while draining, so that an orchestrator
// sends new clients elsewhere.
func (s *Server) ready() (bool, string) {
	if s.draining.Load() {
		return false, "the gateway is draining: it ends when the calls in flight have ended"
	}
	st := s.Status()
	if st.Ready {
		return true, ""
	}
	why := "no backend serves a tool"
	for _, b := range st.Backends {
		if b.Status != "ready" {
			why += fmt.Sprintf("; %s is %s (%s)", b.Name, b.Status, b.Reason)
		}
	}
	return false, why
}

// Addr is the address that MCP clients connect to.
func (s *Server) Addr() string { return s.mcpListener.Addr().String() }

// AdminAddr is the address of the admin listener.
func (s *Server) AdminAddr() string { return s.adminListener.Addr().String() }

// Run serves until ctx ends, then drains: standing streams end at once, calls in
// flight have the configured time. It returns nil after an orderly end. Call it
// once; nothing of the server remains when it returns.
func (s *Server) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { s.catalog.Run(work) })
	wg.Go(func() { s.monitor.Run(work) })
	failed := make(chan error, 2)
	wg.Go(func() { failed <- serve(s.mcp, s.mcpListener) })
	wg.Go(func() { failed <- serve(s.admin, s.adminListener) })
	s.log.Info("serving", "mcp", "http://"+s.Addr()+"/mcp", "admin", "http://"+s.AdminAddr(), "backends", len(s.backends), "version", s.version)

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	if drained := s.shutdown(work); err == nil {
		err = drained
	}
	stop()
	wg.Wait()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	s.close(end)
	return err
}

func serve(h *http.Server, l net.Listener) error {
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// shutdown drains both listeners. The admin listener goes last, so that an
// orchestrator can watch.
func (s *Server) shutdown(ctx context.Context) error {
	s.draining.Store(true)
	s.log.Info("draining", "inFlight", s.gateway.InFlight(), "timeout", s.drain)
	ctx, cancel := context.WithTimeout(ctx, s.drain)
	defer cancel()
	err := s.gateway.Shutdown(ctx)
	if err != nil {
		s.log.Warn("calls were still in flight when drainTimeout ended", "inFlight", s.gateway.InFlight())
	}
	quick, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	for _, h := range []*http.Server{s.mcp, s.admin} {
		if h.Shutdown(quick) != nil {
			_ = h.Close()
		}
	}
	if err != nil {
		// Their connections are closed, so they end now; what they need is taken
		// down only then.
		last, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer done()
		_ = s.gateway.Shutdown(last)
	}
	s.log.Info("stopped")
	return nil
}

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
	"github.com/recloser-mcp/recloser/journal"
	"github.com/recloser-mcp/recloser/session"
	"github.com/recloser-mcp/recloser/telemetry"
)

// Options of a server. The zero value is useful.
type Options struct {
	// Version of the product, as it introduces itself. Default dev.
	Version string
	// Logger gets one record per change worth knowing. Default slog's.
	Logger *slog.Logger
	// Level is the level of Logger, which follows log.level of the configuration. Nil:
	// it does not.
	Level *slog.LevelVar
	// Registry makes the credentials; third-party strategies are registered
	// there. Default: the built-in ones.
	Registry *auth.OutgoingAuthRegistry
	// Observe hears of calls, renewals and transitions, beside telemetry.
	Observe *Observer
	// Listen opens the listeners. Default net.Listen; another one serves on
	// sockets that were inherited, or in memory.
	Listen func(network, address string) (net.Listener, error)
	// Load reads the configuration again, for Reload. Nil: there is no other one.
	Load func() (*config.Document, []config.Warning, error)
	// Watch is the file of the configuration: when it changes, it is loaded again.
	// Empty: no file is watched.
	Watch string
}

// Server is a gateway with its two listeners. Make it with New, then call Run.
type Server struct {
	o        Options
	version  string
	log      *slog.Logger
	registry *auth.OutgoingAuthRegistry
	started  time.Time

	draining  atomic.Bool
	live      atomic.Pointer[live]
	reloading sync.Mutex // guards paused, and one change of live at a time
	paused    map[string]bool
	retiring  sync.WaitGroup

	telemetry *telemetry.Telemetry
	hooks     *backend.Trace
	journal   *journal.Journal
	catalog   *catalog.Catalog
	monitor   *health.Monitor
	sessions  *session.Store
	gateway   *gateway.Gateway
	looks     looks
	alarm     chan struct{} // wakes who watches the phase
	over      chan struct{} // closed when followers of events have to go

	mcp, admin                 *http.Server
	mcpListener, adminListener net.Listener

	mu       sync.Mutex
	cleanups []func(context.Context)
	failing  map[string]string // by backend, the last failure of a renewal that was logged
}

// New makes a server from a document and opens its listeners. Nothing is sent to
// a backend before Run. On an error everything that was opened is closed.
func New(ctx context.Context, doc *config.Document, o Options) (*Server, error) {
	s := &Server{o: o, version: cmp.Or(o.Version, "dev"), log: cmp.Or(o.Logger, slog.Default()), started: time.Now(),
		registry: cmp.Or(o.Registry, auth.NewRegistry()), journal: journal.New(), paused: map[string]bool{}, alarm: make(chan struct{}, 1), over: make(chan struct{}),
		looks: looks{names: map[string]bool{}, wake: make(chan struct{}, 1)}}
	if err := s.build(ctx, doc); err != nil {
		s.close(context.WithoutCancel(ctx))
		return nil, err
	}
	s.Status() // the first look, others follow what happens: see look
	unsubscribe := s.catalog.Subscribe(func(catalog.Change) { s.lookAll() })
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

func (s *Server) build(ctx context.Context, doc *config.Document) error {
	var err error
	if s.telemetry, err = telemetry.New(ctx, doc.Telemetry, s.version); err != nil {
		return err
	}
	s.onClose(func(ctx context.Context) { _ = s.telemetry.Shutdown(ctx) })
	s.hooks = s.trace(s.o.Observe)
	first, err := s.assemble(doc, nil, nil)
	if err != nil {
		return err
	}
	s.live.Store(first)
	s.onClose(func(context.Context) { s.live.Load().close() })
	s.catalog = catalog.New(s.catalogOptions(doc), first.listed())
	s.monitor = health.New(doc.Health, first.probed(), s.probed)
	s.sessions = session.New(doc.Sessions)
	s.onClose(func(ctx context.Context) { _ = s.sessions.Close(ctx) })
	s.gateway = gateway.New(gateway.Options{
		Catalog: s.catalog, Sessions: s.sessions, Backends: first.routed(), Trace: s.operations(), Read: s.readOwn,
		Check:        func(r *http.Request) error { return s.live.Load().check.Check(r) },
		Authenticate: func(r *http.Request) (caller.Identity, error) { return s.live.Load().authenticate(r) },
		Limits:       gateway.Limits{RequestBytes: int64(doc.Limits.RequestBytes)},
		ServerInfo:   gateway.ServerInfo{Name: "recloser", Version: s.version}, Logger: s.log,
	})
	s.telemetry.Watch(s.Status, s.sessions.Len)
	s.mcp, s.admin = s.httpServer(s.gateway), s.httpServer(admin.New(s.adminOptions()))
	return s.listen(doc)
}

func (s *Server) listen(doc *config.Document) (err error) {
	open := s.o.Listen
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

func (s *Server) catalogOptions(doc *config.Document) catalog.Options {
	o := doc.Catalog
	o.Logger, o.Notice, o.Own = s.log, s.surprised, ownResources
	return o
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
	s.onClose(func(context.Context) {
		s.reloading.Lock() // one that is under way still adds to it
		defer s.reloading.Unlock()
		s.retiring.Wait()
	})
	var wg sync.WaitGroup
	wg.Go(func() { s.catalog.Run(work) })
	wg.Go(func() { s.monitor.Run(work) })
	wg.Go(func() { s.watchBackends(work) })
	wg.Go(func() { s.watchPhase(work) })
	if s.o.Watch != "" && s.o.Load != nil {
		wg.Go(func() { s.watchFile(work) })
	}
	failed := make(chan error, 2)
	wg.Go(func() { failed <- serve(s.mcp, s.mcpListener) })
	wg.Go(func() { failed <- serve(s.admin, s.adminListener) })
	s.log.Info("serving", "mcp", "http://"+s.Addr()+"/mcp", "admin", "http://"+s.AdminAddr(), "backends", len(s.live.Load().backends), "version", s.version)

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
	drain := s.live.Load().doc.DrainTimeout
	s.log.Info("draining", "inFlight", s.gateway.InFlight(), "timeout", drain)
	ctx, cancel := context.WithTimeout(ctx, drain)
	defer cancel()
	err := s.gateway.Shutdown(ctx)
	if err != nil {
		s.log.Warn("calls were still in flight when drainTimeout ended", "inFlight", s.gateway.InFlight())
	}
	quick, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	close(s.over)
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

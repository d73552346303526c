// Package gateway is the MCP front: one HTTP endpoint that serves every backend
// (/mcp) and one for each backend alone (/mcp/{slug}), to clients of both eras
// of the protocol (basic/transports of 2025-03-26 to 2025-11-25,
// basic/transports/streamable-http of 2026-07-28).
//
// Handshakes and lists are answered from the catalogue and wait for no backend.
// A call goes straight through: its envelope is scanned once, its name looked
// up and put right in place, and the backend's answer passes byte for byte.
//
// # Errors
//
// Faults of a request get the protocol's codes. When a backend cannot answer,
// the client gets a JSON-RPC error with [CodeBackend] and HTTP status 200: the
// gateway's own credential is nothing a client could renew, so no 401 of a
// backend ever becomes a 401 of the gateway. A JSON-RPC error that the backend
// answered with passes as it is.
package gateway

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/caller"
	"github.com/recloser-mcp/recloser/catalog"
	"github.com/recloser-mcp/recloser/session"
	"github.com/recloser-mcp/recloser/wire"
)

// Options are what a gateway is made of. Catalog and Sessions are required.
type Options struct {
	Catalog  *catalog.Catalog
	Sessions *session.Store
	Backends []Backend

	// Check refuses requests by where they come from, before anything else is
	// looked at; a *caller.Error says how. Nil lets everything in.
	Check func(*http.Request) error
	// Authenticate says who makes a request; a *caller.Error says how a refusal
	// is answered. Nil takes the identity that the request's context carries.
	Authenticate func(*http.Request) (caller.Identity, error)
	// Trace is told what happens. Its zero value tells nobody.
	Trace Trace
	// Limits bound what clients may cost.
	Limits Limits
	// ServerInfo is how the gateway introduces itself. Default recloser, dev.
	ServerInfo ServerInfo
	// Read returns a resource of the gateway itself, one that the catalogue has with
	// no backend, as text. Nil: there is none.
	Read func(uri string) (text []byte, mimeType string)
	// Instructions stand before those of the backends.
	Instructions string
	// Logger gets a record of what no client is told. Nil: nobody does.
	Logger *slog.Logger
}

// Backend is one backend behind the gateway.
type Backend struct {
	Name   string // in the configuration
	Slug   string // in paths
	Client Client
	// PassthroughHeaders names headers of a client's request that go on.
	PassthroughHeaders []string
	// Paused keeps calls away from it. Its endpoint stays, and says so.
	Paused bool

	key   string // among the sessions of a client; never used again
	users *users
}

// Client is what the gateway needs of a backend; *backend.Client is one.
type Client interface {
	// Do sends one request and returns its answer as it arrives.
	Do(ctx context.Context, q *backend.Request) (*backend.Response, error)
	// NewSession returns a session for one client.
	NewSession(o backend.SessionOptions) *backend.Session
	// Revision returns the revision that the backend speaks, "" while unknown.
	Revision() wire.Revision
	// Watch has on called for each update of a resource, until cancel.
	Watch(uri string, on func(raw []byte)) (cancel func())
}

// Trace is a set of hooks for telemetry. Nil hooks are skipped.
type Trace struct {
	// Start is called for each request of a client before it is served, with the
	// request's headers. The request goes on under the context it returns.
	Start func(ctx context.Context, h http.Header, o Operation) context.Context
	// End is called once for it, under that context. errorType is empty for a
	// request that was answered, else a reason code or the number of a JSON-RPC
	// error.
	End func(ctx context.Context, o Operation, took time.Duration, errorType string)
}

// Operation names a request of a client. It is valid while the request is.
type Operation struct {
	// Method of the protocol, "_OTHER" for one that no revision defines.
	Method string
	name   []byte // JSON
	meta   []byte // of its params, JSON
}

// TraceContext returns the trace context that the client put into params._meta,
// nil when there is none (basic/index, "OpenTelemetry trace context").
func (o Operation) TraceContext() http.Header {
	var h http.Header
	members, _ := wire.Members(o.meta)
	for _, m := range members {
		switch m.Key {
		case wire.MetaTraceParent, wire.MetaTraceState, wire.MetaBaggage:
			if value, ok := wire.Unquote(m.Value); ok {
				if h == nil {
					h = http.Header{}
				}
				h.Set(m.Key, value)
			}
		}
	}
	return h
}

// Name returns the tool, prompt or URI that the request is about, in the
// client's words and cut to a bearable length; empty where there is none.
func (o Operation) Name() string {
	name, _ := wire.Unquote(o.name)
	return shorten(name)
}

// Limits of a gateway. Zero means the default.
type Limits struct {
	RequestBytes int64 // one request body; default 8 MiB
	Streams      int   // subscriptions/listen streams at a time; default 10,000
}

// ServerInfo is the Implementation object of the protocol.
type ServerInfo struct{ Name, Version string }

const (
	defaultRequestBytes = 8 << 20
	defaultStreams      = 10_000
)

// Gateway is an http.Handler. It is safe for concurrent use.
type Gateway struct {
	o        Options
	table    atomic.Pointer[table]
	numbers  atomic.Int64 // of backends so far
	own      ownResults
	standing subscribers
	parked   lot
	seal     sealer
	talks    talks
	tasks    taskBook
	cancel   func() // ends the subscription to the catalogue

	inFlight atomic.Int64
	draining atomic.Bool
	done     chan struct{} // closed when draining begins: standing streams end
	idle     chan struct{} // closed when draining and nothing is in flight
	drained  sync.Once

	replacing    sync.Mutex
	requestBytes atomic.Int64
}

// New makes a gateway. It starts no goroutine; Shutdown ends it.
func New(o Options) *Gateway {
	o.Limits.RequestBytes = cmp.Or(o.Limits.RequestBytes, defaultRequestBytes)
	o.Limits.Streams = cmp.Or(o.Limits.Streams, defaultStreams)
	o.ServerInfo.Name = cmp.Or(o.ServerInfo.Name, "recloser")
	o.ServerInfo.Version = cmp.Or(o.ServerInfo.Version, "dev")
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.Authenticate == nil {
		o.Authenticate = func(r *http.Request) (caller.Identity, error) { return caller.FromContext(r.Context()), nil }
	}
	g := &Gateway{
		o: o, own: newOwnResults(o.ServerInfo),
		done: make(chan struct{}), idle: make(chan struct{}), seal: newSealer(),
	}
	g.table.Store(newTable(o.Backends, nil, &g.numbers))
	g.requestBytes.Store(o.Limits.RequestBytes)
	g.cancel = o.Catalog.Subscribe(g.changed)
	return g
}

// Shutdown ends standing streams at once and waits for the calls in flight. New
// requests are answered 503. It returns nil when nothing is in flight any more,
// else ctx's error.
func (g *Gateway) Shutdown(ctx context.Context) error {
	if !g.draining.Swap(true) {
		g.cancel()
		close(g.done)
		g.o.Sessions.Each((*session.Session).Abandon)
		g.parked.close()
	}
	if g.inFlight.Load() == 0 {
		g.drained.Do(func() { close(g.idle) })
	}
	select {
	case <-g.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// InFlight returns the number of requests that are being served, standing
// streams included.
func (g *Gateway) InFlight() int { return int(g.inFlight.Load()) }

func (g *Gateway) enter() bool {
	g.inFlight.Add(1)
	if g.draining.Load() {
		g.leave()
		return false
	}
	return true
}

func (g *Gateway) leave() {
	if g.inFlight.Add(-1) == 0 && g.draining.Load() {
		g.drained.Do(func() { close(g.idle) })
	}
}

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.o.Check != nil {
		if err := g.o.Check(r); err != nil {
			caller.WriteError(w, err)
			return
		}
	}
	scope, ok := g.scope(r.URL.Path)
	if !ok {
		refuse(w, http.StatusNotFound, nil, wire.InvalidRequest,
			"there is no MCP endpoint here: use /mcp, or /mcp/ and the slug of a backend")
		return
	}
	id, err := g.o.Authenticate(r)
	if err != nil {
		caller.WriteError(w, err)
		return
	}
	if !g.enter() {
		w.Header()["Retry-After"] = []string{"1"}
		w.Header()["Connection"] = []string{"close"}
		refuse(w, http.StatusServiceUnavailable, nil, CodeBackend, "the gateway is shutting down")
		return
	}
	defer g.leave()
	q := request{g: g, w: w, r: r, ctx: r.Context(), scope: scope, owner: id.ID}
	switch r.Method {
	case http.MethodPost:
		q.post()
	case http.MethodGet:
		q.get()
	case http.MethodDelete:
		q.delete()
	default:
		w.Header()["Allow"] = []string{"POST, GET, DELETE"}
		refuse(w, http.StatusMethodNotAllowed, nil, wire.InvalidRequest, "use POST, GET or DELETE")
	}
}

// scope returns the backend's slug that a path names, "" for all backends.
func (g *Gateway) scope(path string) (slug string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/mcp")
	if rest == "" || rest == "/" {
		return "", ok
	}
	slug, ok = strings.CutPrefix(rest, "/")
	return slug, ok && g.table.Load().slugs[slug] != nil
}

// request is one HTTP request on its way through the gateway.
type request struct {
	g     *Gateway
	w     http.ResponseWriter
	r     *http.Request
	ctx   context.Context // of the work done for it
	scope string
	owner string

	body     []byte
	env      wire.Envelope
	revision wire.Revision
	sess     *session.Session            // nil for clients of 2026-07-28
	failure  string                      // errorType of the answer
	asked    [][]byte                    // ids of the questions that servers asked meanwhile
	abandon  func()                      // ends the work for a client that does not come back; nil: it ends with the connection
	hopeless atomic.Pointer[error]       // why the call cannot go on
	live     atomic.Pointer[eventWriter] // the stream that the client can resume
	room     [128]byte                   // for a name at the backend
	out      backend.Request
}

// id returns the request's id, nil when there is none.
func (q *request) id() []byte { return q.env.ID.Of(q.body) }

// modern reports whether the client speaks a revision without sessions.
func (q *request) modern() bool { return q.revision.Stateless() }

// view returns what exists at the request's endpoint.
func (q *request) view() *catalog.View {
	s := q.g.o.Catalog.Snapshot()
	if q.scope == "" {
		return s.All()
	}
	if v, ok := s.Backend(q.scope); ok {
		return v
	}
	return &catalog.View{} // the catalogue was made without this backend
}

// header returns a header's single value; several are as good as a wrong one.
func (q *request) header(canonical string) (value string, err error) {
	switch values := q.r.Header[canonical]; len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	}
	return "", errSeveral
}

var errSeveral = errors.New("the header is there several times")

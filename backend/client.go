package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/wire"
)

// Client is the connection to one backend under one identity, over HTTP or to a
// process. It is safe for
// concurrent use and has no state in common with any other client.
type Client struct {
	o        Options
	conn     *conn
	own      *Session // of requests that name none, and of everybody under Shared
	gate     gate
	revision atomic.Pointer[wire.Revision] // nil until found
	nextID   atomic.Int64
	closed   atomic.Bool
	dogs     sync.Pool // of *watchdog

	plain  http.Header // of requests outside a session
	modern http.Header // of requests of 2026-07-28
	meta   wire.RequestMeta

	watch watch // the client's own subscriptions to resources

	made *auth.Source // closed with the client; nil when the source was given

	life context.Context // ends with Close
	end  context.CancelFunc
	mu   sync.Mutex // guards work against Close
	work sync.WaitGroup
}

// NewHTTPBackendClient makes a client of a backend that has a URL. Nothing is sent
// before its first request. The registry makes the credential that
// Options.AuthSpec describes, and must not be nil. Errors are those of the options
// and of the registry.
func NewHTTPBackendClient(registry *auth.OutgoingAuthRegistry, o Options) (*Client, error) {
	if registry == nil {
		return nil, errors.New("backend: the auth registry is nil: use auth.NewRegistry(); " +
			"for a backend without credentials its strategy \"unauthenticated\" is the default")
	}
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("backend %s: %w", o.Name, err)
	}
	if o.transport() == TransportStdio {
		return nil, fmt.Errorf("backend %s: it is a process: use NewStdioBackendClient", o.Name)
	}
	o = o.withDefaults()
	u, err := parseEndpoint(o.URL)
	if err != nil {
		return nil, fmt.Errorf("backend %s: url: %w", o.Name, err)
	}
	pool, err := newEdge(o)
	if err != nil {
		return nil, fmt.Errorf("backend %s: %w", o.Name, err)
	}
	source, made, err := sourceOf(registry, o)
	if err != nil {
		return nil, fmt.Errorf("backend %s: %w", o.Name, err)
	}
	if insecure(u) && !o.AllowInsecure && source.Facts().Type != unauthenticated {
		if made != nil {
			made.Close()
		}
		return nil, fmt.Errorf("backend %s: its credential would go over plain http to %s: use https, or set allowInsecure", o.Name, u.Host)
	}
	var edge http.RoundTripper = pool
	if o.transport() == TransportSSE {
		edge = newLegacySSE(o, u, pool)
	}
	return newClient(o, u, edge, source, made), nil
}

// NewStdioBackendClient makes a client of a backend that is a program: Command in
// the options. No process is started before its first request, and none is left
// when Close has returned. Errors are those of the options.
//
// A process that ends is started again by the next request that needs it; what was
// in flight fails with KindProcessExited and is not sent again.
func NewStdioBackendClient(o Options) (*Client, error) { return newProcessClient(o, startProcess) }

func newProcessClient(o Options, start func(command) (*process, error)) (*Client, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("backend %s: %w", o.Name, err)
	}
	if o.transport() != TransportStdio {
		return nil, fmt.Errorf("backend %s: it is no process: use NewHTTPBackendClient", o.Name)
	}
	o = o.withDefaults()
	none, err := auth.NewRegistry().New(auth.Spec{Type: "unauthenticated"}, auth.SourceOptions{Name: o.Name, Logger: o.Logger})
	if err != nil {
		return nil, fmt.Errorf("backend %s: %w", o.Name, err)
	}
	return newClient(o, &url.URL{Scheme: TransportStdio, Host: "localhost", Path: "/"}, newStdio(o, start), none, none), nil
}

func newClient(o Options, u *url.URL, edge http.RoundTripper, source, made *auth.Source) *Client {
	c := &Client{o: o, made: made, plain: baseHeader(o)}
	c.life, c.end = context.WithCancel(context.Background())
	c.modern = c.plain.Clone()
	c.modern[wire.HeaderProtocol] = []string{string(wire.Rev20260728)}
	c.meta = wire.RequestMeta{Revision: wire.Rev20260728, ClientInfo: o.ClientInfo.json()}
	c.own = c.newSession(SessionOptions{Common: true})
	c.watch.c = c
	c.conn = newConn(o.Name, u, edge, source, o.AuthRetry, o.Trace)
	return c
}

// unauthenticated is the type of a source without a credential.
const unauthenticated = "unauthenticated"

func sourceOf(registry *auth.OutgoingAuthRegistry, o Options) (source, made *auth.Source, err error) {
	if o.Auth != nil {
		return o.Auth, nil, nil
	}
	spec := o.AuthSpec
	if spec.Type == "" {
		spec.Type = unauthenticated
	}
	made, err = registry.New(spec, auth.SourceOptions{Name: o.Name, Logger: o.Logger})
	return made, made, err
}

// Revision returns the revision that the backend speaks, "" while it is not known.
func (c *Client) Revision() wire.Revision {
	if r := c.revision.Load(); r != nil {
		return *r
	}
	return ""
}

// Name returns the name of the backend.
func (c *Client) Name() string { return c.o.Name }

// Close ends the client: calls that wait for a recovery end with KindClosed, its
// own session is ended at the backend within a second, standing streams stop,
// and idle connections are closed. Sends that are out end by themselves, with
// their callers; to a process they end with it, at once. Processes have some
// seconds to end, which Close waits for. New calls fail with KindClosed.
func (c *Client) Close() error {
	c.mu.Lock() // no new work from here on
	again := c.closed.Swap(true)
	c.mu.Unlock()
	if again {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.own.close(ctx) // else the backend forgets it by itself
	c.end()
	c.work.Wait()
	c.conn.close()
	closeIdle(c.conn.edge)
	if edge, ok := c.conn.edge.(io.Closer); ok {
		_ = edge.Close()
	}
	if c.made != nil {
		c.made.Close()
	}
	return nil
}

// background runs what nobody waits for, until it is done, its time is over (0:
// there is no limit), or the client is closed. It reports whether it does.
func (c *Client) background(limit time.Duration, fn func(context.Context)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() {
		return false
	}
	c.work.Go(func() {
		ctx := c.life
		if limit > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, limit)
			defer cancel()
		}
		fn(ctx)
	})
	return true
}

// Scrub returns text unless it repeats the credential at hand: then "[redacted]".
// It is for words of the backend that are going to be logged.
func (c *Client) Scrub(text string) string {
	if cred, ok := c.conn.source.Peek(); ok {
		return cred.Scrub(text)
	}
	return text
}

// Reset closes the breaker of the backend: calls are retried again, and those that
// wait are sent at once.
func (c *Client) Reset() { c.conn.guard.Reset() }

// Renew fetches the credential anew now, as if it had been replaced from outside. A
// new one closes the breaker.
func (c *Client) Renew(ctx context.Context) (auth.Outcome, error) { return c.conn.source.Rotate(ctx) }

// Facts returns what is known of the backend now.
func (c *Client) Facts() Facts {
	f := Facts{Name: c.o.Name}
	// A call fails because the guard gave up, and that because a renewal failed: the
	// ends are read first, so that none is without what led to it.
	c.conn.facts.read(&f)
	f.Guard = c.conn.guard.State()
	f.Credential = c.conn.source.Facts()
	if b := c.own.now.Load(); b != nil {
		f.Session = true
	}
	if r := c.revision.Load(); r != nil {
		f.Revision = *r
	}
	if edge, ok := c.conn.edge.(*stdio); ok {
		f.Process = edge.facts()
	}
	return f
}

// told passes an event of a session on.
func (c *Client) told(e SessionEvent) {
	if t := c.o.Trace; t.Session != nil {
		t.Session(e)
	}
}

package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/wire"
)

// TransportOptions are the settings of a [Transport].
type TransportOptions struct {
	// Origin is the URL of the MCP endpoint. Only requests to its scheme, host
	// and port carry the credential. Required.
	Origin string
	// Name of the backend in errors and traces. Default: the host of Origin.
	Name string
	// Base sends the requests. Nil: connections of the transport's own. It must
	// not follow redirects, which no http.RoundTripper does.
	Base http.RoundTripper
	// AuthRetry are the settings of the guard.
	AuthRetry guard.Options
	// RequestBytes bounds a request body, which is kept for re-sends. Default 8 MiB.
	RequestBytes int64
	// AllowInsecure lets a credential go over plain http to a host that is not
	// this machine.
	AllowInsecure bool
	// Trace is told what happens. Nil: nobody is.
	Trace *Trace
}

// Transport is an http.RoundTripper that keeps the requests of any MCP client
// alive while their credential is refused. It sets the credential's headers,
// replacing what the client put there, renews the credential when it is refused,
// sends the request again, and returns the answer of the last send.
//
// A refusal that stays is an *[Error], never a 401 response: those end the
// sessions of common SDK clients for good. Every other answer is returned as it
// is, but for a redirect to another origin, which is an *Error too.
//
// Requests to another origin than TransportOptions.Origin go out as they are,
// without the credential. Idempotency-Key headers are taken out: a re-send with
// the same key could be answered with the refusal that went before.
//
// It is safe for concurrent use.
type Transport struct {
	conn  *conn
	own   bool // the connections are its own
	limit int64
}

// NewTransport makes a transport that sends the credential of source, which it
// does not close. Close ends it.
func NewTransport(source *auth.Source, o TransportOptions) (*Transport, error) {
	if source == nil {
		return nil, errors.New("backend: the source of credentials is nil: make one with auth.NewRegistry().New")
	}
	u, err := parseEndpoint(o.Origin)
	if err != nil {
		return nil, fmt.Errorf("backend: origin: %w", err)
	}
	if err := o.AuthRetry.Validate(); err != nil {
		return nil, fmt.Errorf("backend: authRetry: %w", err)
	}
	if insecure(u) && !o.AllowInsecure && source.Facts().Type != unauthenticated {
		return nil, fmt.Errorf("backend: the credential would go over plain http to %s: use https, or set AllowInsecure", u.Host)
	}
	if o.Name == "" {
		o.Name = u.Host
	}
	own := o.Base == nil
	if own {
		if o.Base, err = newEdge(Options{}.withDefaults()); err != nil {
			return nil, fmt.Errorf("backend: %w", err)
		}
	}
	if o.Trace == nil {
		o.Trace = &Trace{}
	}
	limit := Limits{RequestBytes: o.RequestBytes}.withDefaults().RequestBytes
	return &Transport{conn: newConn(o.Name, u, o.Base, source, o.AuthRetry, o.Trace), own: own, limit: limit}, nil
}

// Close ends the waits of requests under way with KindClosed, and closes idle
// connections if they are the transport's own.
func (t *Transport) Close() {
	t.conn.close()
	if t.own {
		t.CloseIdleConnections()
	}
}

// CloseIdleConnections implements what http.Client looks for.
func (t *Transport) CloseIdleConnections() { closeIdle(t.conn.edge) }

func closeIdle(rt http.RoundTripper) {
	if idle, ok := rt.(interface{ CloseIdleConnections() }); ok {
		idle.CloseIdleConnections()
	}
}

// State returns what the guard knows, for status pages.
func (t *Transport) State() guard.State { return t.conn.guard.State() }

// RoundTrip implements http.RoundTripper. It blocks while the request waits for
// a recovery, at most until its context ends; then errors.Is finds the context's
// error and ErrAuthenticationFailed.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if originOf(req.URL) != t.conn.origin {
		return t.conn.edge.RoundTrip(req)
	}
	body, err := t.body(req)
	if err != nil {
		return nil, err
	}
	r := &relay{conn: t.conn, req: req, ctx: req.Context()}
	r.message(body)
	began := time.Now()
	if start := t.conn.trace.CallStart; start != nil {
		r.ctx = start(r.ctx, r.msg.info)
	}
	result := t.conn.guard.Do(req.Context(), r.msg.info.Class, r)
	resp, failed := r.outcome(result)
	t.conn.facts.called(r.msg.info.Class, r.refusals, began, failed)
	if end := t.conn.trace.CallEnd; end != nil {
		x := CallResult{Guard: *result, Start: began, Took: time.Since(began)}
		x.Guard.Generation = r.generation
		if failed != nil {
			x.Kind, x.Err = failed.Kind, failed
		}
		end(r.ctx, r.msg.info, x)
	}
	if failed != nil {
		return nil, failed
	}
	if resp == nil {
		return nil, r.x.err
	}
	resp.Request = req
	return resp, nil
}

// body reads the request's body and closes it, as a RoundTripper must.
func (t *Transport) body(req *http.Request) ([]byte, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return nil, nil
	}
	defer req.Body.Close()
	body, err := io.ReadAll(io.LimitReader(req.Body, t.limit+1))
	if err != nil {
		return nil, fmt.Errorf("backend %s: read the request: %w", t.conn.name, err)
	}
	if len(body) == 0 {
		return nil, nil
	}
	if int64(len(body)) > t.limit {
		return nil, &Error{Kind: KindProtocolError, Backend: t.conn.name,
			Detail: fmt.Sprintf("the request is larger than %d bytes", t.limit)}
	}
	return body, nil
}

// relay is one request on its way through a transport: the guard's Sender.
type relay struct {
	conn       *conn
	req        *http.Request
	ctx        context.Context
	msg        message
	x          exchange
	refusals   int
	unsent     int
	generation uint64
}

// message describes the request: its class is that of the method in its body.
func (r *relay) message(body []byte) {
	info := CallInfo{Backend: r.conn.name, Method: r.req.Method, Class: guard.Stream}
	if r.req.Method == http.MethodPost {
		info.Method = r.req.Header.Get(wire.HeaderMethod)
		if e, err := wire.Scan(body); err == nil && e.Kind != wire.Batch {
			info.Method = e.Method
			info.Name, _ = wire.Unquote(e.Get(body, e.NameAt()))
			if e.Kind != wire.Request {
				info.Method = e.Kind.String()
			}
		}
		info.Class = ClassOf(info.Method)
		switch info.Method {
		case wire.Notification.String(), wire.Response.String():
			info.Class = guard.Stream
		}
	}
	r.msg = message{info: info, method: r.req.Method, header: r.req.Header, body: body, target: r.req}
}

// Send implements guard.Sender.
func (r *relay) Send(_ context.Context, a attempt) guard.Verdict {
	discard(r.x.resp)
	r.generation = a.Credential.Generation()
	r.x = r.conn.send(r.ctx, &r.msg, a)
	switch {
	case r.x.verdict != guard.Neutral && r.x.verdict != guard.Accepted:
		r.refusals++
	case r.x.unsent && r.unsent < maxUnsent && worthAnother(r.x.err) && pause(r.ctx, unsentPause<<(2*r.unsent)):
		r.unsent++
		return guard.Again
	}
	return r.x.verdict
}

// outcome is what the caller gets; without an answer and an *Error it is the
// transport's own error, unchanged.
func (r *relay) outcome(result *guard.Result) (*http.Response, *Error) {
	if refusal, ok := errors.AsType[*guard.Refusal](result.Err); ok {
		return nil, r.conn.refusedError(r.msg.info, refusal, r.x, result.Attempts)
	}
	resp := r.x.resp
	if resp == nil {
		return nil, nil
	}
	if to, err := resp.Location(); err == nil && resp.StatusCode/100 == 3 && originOf(to) != r.conn.origin {
		e := rejected(r.conn.name, r.msg.info.Method, r.x)
		e.Attempts = result.Attempts
		return nil, e
	}
	return resp, nil
}

// clone makes the request to send of the template or of the client's own one.
func (m *message) clone(ctx context.Context, template *http.Request) *http.Request {
	if m.target == nil {
		return template.WithContext(ctx)
	}
	req := m.target.WithContext(ctx)
	req.Body, req.GetBody, req.ContentLength, req.TransferEncoding = nil, nil, 0, nil
	return req
}

package backend

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/wire"
)

// attempt is one send, as the guard orders it.
type attempt = guard.Attempt[*auth.Credential]

// conn is what all requests to one backend under one identity share: the pool of
// connections, the credential and its guard.
type conn struct {
	name    string
	url     *url.URL
	origin  origin
	edge    http.RoundTripper
	source  *auth.Source
	guard   *guard.Guard[*auth.Credential]
	trace   *Trace
	facts   *facts
	request *http.Request // the template of every request
	unwatch func()
}

// credentials is an auth.Source as the guard wants it.
type credentials struct{ *auth.Source }

func (c credentials) Renew(ctx context.Context, refused uint64, retry bool) guard.Outcome {
	o, _ := c.Source.Renew(ctx, refused, retry) // the source keeps the cause for its facts
	return guard.Outcome(o)
}

func newConn(name string, u *url.URL, edge http.RoundTripper, source *auth.Source, o guard.Options, t *Trace) *conn {
	n := &conn{name: name, url: u, origin: originOf(u), edge: edge, source: source, trace: t, facts: newFacts()}
	n.request = &http.Request{URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	told := o.OnTransition
	o.OnTransition = func(tr guard.Transition) {
		if told != nil {
			told(tr)
		}
		if t.Transition != nil {
			t.Transition(name, tr)
		}
	}
	n.guard = guard.New[*auth.Credential](credentials{source}, o)
	none := source.Facts().Type == unauthenticated
	n.unwatch = source.Watch(func(e auth.Event) {
		if e.Kind == auth.Rotated {
			n.guard.Rotated()
		}
		if t.Renewal != nil && !none {
			t.Renewal(name, e)
		}
	})
	return n
}

func (n *conn) close() {
	n.unwatch()
	n.guard.Close()
}

// message is one HTTP request without its credential. It can be sent again.
type message struct {
	info   CallInfo
	method string      // of HTTP
	header http.Header // shared, never written
	extra  http.Header // shared, never written; wins over header
	body   []byte
	reader *bytes.Reader // over body, of the send under way
	nested bool
	target *http.Request // the client's request, under a Transport
	seen   *seenBody     // the body under way, where target is set

	protocolMethod, protocolName [1]string // Mcp-Method and Mcp-Name, where set
}

// exchange is one physical request and the head of its answer.
type exchange struct {
	resp      *http.Response // nil without an answer, and after a refusal
	status    int
	verdict   guard.Verdict
	challenge *auth.Challenge
	err       error  // of the transport
	unsent    bool   // nothing that could be acted on was written
	elsewhere string // where a redirect leads, as far as that may be shown
	sent      Sent
}

// open returns a reader over the body from its start, of the one type that
// net/http writes together with the head. The connections below a Transport may
// be of any kind, and go on reading when they have returned.
func (m *message) open() (io.ReadCloser, error) {
	if m.target != nil {
		m.seen = &seenBody{r: bytes.NewReader(m.body)}
		return m.seen, nil
	}
	m.reader = bytes.NewReader(m.body)
	return io.NopCloser(m.reader), nil
}

// seenBody is a request body that notes whether it was read.
type seenBody struct {
	r    *bytes.Reader
	read atomic.Bool
}

func (b *seenBody) Read(p []byte) (int, error) {
	b.read.Store(true)
	return b.r.Read(p)
}

func (b *seenBody) Close() error { return nil }

// untouched reports whether the transport read nothing of the body: then no
// complete request can have reached the backend. It may be asked once the
// transport has returned.
func (m *message) untouched() bool {
	switch {
	case len(m.body) == 0:
		return false
	case m.target != nil:
		return m.seen == nil || !m.seen.read.Load()
	}
	return m.reader == nil || m.reader.Len() == len(m.body)
}

// send performs one physical request with the attempt's credential.
func (n *conn) send(ctx context.Context, m *message, a attempt) exchange {
	// Up to eight headers, which is what a call has, fit into a map without
	// tables. Value slices are shared, as nobody writes into them.
	h := make(http.Header, len(m.header)+len(m.extra)+3)
	for name, values := range m.header {
		h[name] = values
	}
	if m.protocolMethod[0] != "" {
		h[wire.HeaderMethod] = m.protocolMethod[:]
	}
	if m.protocolName[0] != "" {
		h[wire.HeaderName] = m.protocolName[:]
	}
	for name, values := range m.extra {
		h[name] = values
	}
	// A backend that answers a repeated key from memory would answer the re-send
	// with the refusal; and net/http takes a key for a licence to repeat.
	delete(h, "Idempotency-Key")
	delete(h, "X-Idempotency-Key")
	a.Credential.Apply(h)

	info := SendInfo{CallInfo: m.info, HTTPMethod: m.method, Resend: a.Number - 1, Cause: a.Cause, Delay: a.Delay,
		Generation: a.Credential.Generation(), Nested: m.nested}
	if n.trace.SendStart != nil {
		ctx = n.trace.SendStart(ctx, info)
	}
	if n.trace.Inject != nil {
		n.trace.Inject(ctx, h)
	}
	req := m.clone(ctx, n.request)
	req.Method, req.Header = m.method, h
	if m.body != nil {
		req.Body, _ = m.open()
		req.GetBody = m.open // net/http asks for it only when it wrote nothing
		req.ContentLength = int64(len(m.body))
	}
	began := time.Now()
	x := n.roundTrip(ctx, req, m)
	x.err = withoutEcho(x.err, a.Credential)
	n.facts.sent(x, began)
	if x.challenge != nil {
		scrub(x.challenge, a.Credential)
		n.facts.challenge.Store(x.challenge)
	}
	if x.status/100 == 3 && x.resp != nil {
		x.elsewhere = elsewhere(x.resp, a.Credential)
	}
	x.sent = Sent{Method: m.info.Method, At: began, Took: time.Since(began), Status: x.status, Cause: a.Cause, Generation: info.Generation}
	if n.trace.SendEnd != nil {
		n.trace.SendEnd(ctx, info, SendResult{Status: x.status, Verdict: x.verdict, Start: began, Took: x.sent.Took, Err: x.err})
	}
	return x
}

func (n *conn) roundTrip(ctx context.Context, req *http.Request, m *message) exchange {
	resp, err := n.edge.RoundTrip(req) //nolint:bodyclose // judge closes a refusal, the caller all else
	if err != nil {
		_, dialing := errors.AsType[*unsentError](err)
		alive := ctx.Err() == nil
		return exchange{err: err, verdict: guard.Neutral, unsent: dialing || alive && m.untouched()}
	}
	x := exchange{resp: resp, status: resp.StatusCode}
	x.verdict, x.challenge = judge(resp)
	if x.verdict != guard.Accepted && x.verdict != guard.Neutral {
		x.resp = nil
	}
	return x
}

// scrub takes echoes of the credential out of what a backend said.
func scrub(c *auth.Challenge, cred *auth.Credential) {
	for _, text := range []*string{&c.Realm, &c.Error, &c.ErrorDescription, &c.Scope, &c.ResourceMetadata} {
		*text = cred.Scrub(*text)
	}
	for name, value := range c.Params {
		c.Params[name] = cred.Scrub(value)
	}
}

var errEcho = errors.New("what arrived is broken, and cannot be shown because it repeats the credential")

// withoutEcho replaces an error that repeats the credential: net/http quotes what
// it could not read.
func withoutEcho(err error, cred *auth.Credential) error {
	if err == nil || cred == nil {
		return err
	}
	if text := err.Error(); cred.Scrub(text) == text {
		return err
	}
	return errEcho
}

// elsewhere names the origin that a redirect leads to.
func elsewhere(resp *http.Response, cred *auth.Credential) string {
	to, err := resp.Location()
	if err != nil || cred.Scrub(to.Host) != to.Host {
		return ""
	}
	return originOf(to).String()
}

// discard ends an answer nobody wants, keeping its connection if that is cheap.
func discard(resp *http.Response) {
	if resp == nil {
		return
	}
	if resp.ContentLength >= 0 && resp.ContentLength <= refusalBytes {
		readRefusal(resp)
		return
	}
	_ = resp.Body.Close()
}

// watchdog cancels a send that stays silent for too long. Reading re-arms it
// lazily: a byte only notes the time. Between two sends, when the guard has the
// call wait, it sleeps.
type watchdog struct {
	idle   time.Duration // 0: it sleeps
	start  time.Time
	last   atomic.Int64 // since start
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

var errSilent = errors.New("no byte within the idle timeout")

// newWatchdog returns one that is at rest. Its timer is used again and again.
func newWatchdog() *watchdog {
	w := &watchdog{}
	w.timer = time.AfterFunc(math.MaxInt64, w.check)
	w.timer.Stop()
	return w
}

// arm starts the watch; with no limit there is none.
func (w *watchdog) arm(idle time.Duration, cancel context.CancelCauseFunc) {
	w.idle, w.cancel, w.start = idle, cancel, time.Now()
	w.last.Store(0)
	if idle > 0 {
		w.timer.Reset(idle)
	}
}

func (w *watchdog) check() {
	last := time.Duration(w.last.Load())
	silent := time.Since(w.start) - last
	switch {
	case last == asleep:
		silent = 0
	case silent >= w.idle:
		w.cancel(errSilent)
		return
	}
	w.timer.Reset(w.idle - silent)
}

// asleep, as the time of the last byte, says that nothing is waited for.
const asleep = time.Duration(math.MinInt64)

// sleep suspends the watch until the next touch.
func (w *watchdog) sleep() { w.last.Store(int64(asleep)) }

// touch notes a byte.
func (w *watchdog) touch() {
	if w.idle > 0 {
		w.last.Store(int64(time.Since(w.start)))
	}
}

// rest ends the watch. It reports whether the watchdog can be used again: not
// when its timer has fired, since check may be running still.
func (w *watchdog) rest() bool { return w.idle <= 0 || w.timer.Stop() }

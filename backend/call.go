package backend

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/wire"
)

const (
	maxUnsent   = 2 // re-sends of a request that never left
	unsentPause = 50 * time.Millisecond
)

// call is one request on its way: the guard's Sender, and what its sends have in
// common. It belongs to one goroutine at a time.
type call struct {
	c      *Client
	s      *Session
	req    Request
	info   CallInfo
	ctx    context.Context // of the sends; ends with the caller's, or by the watchdog
	dog    *watchdog
	cancel context.CancelCauseFunc
	began  time.Time
	traced []wire.KV

	msg      message
	side     *message    // sent as it is, instead of the request: a DELETE
	standing func(*call) // shapes the request for a standing stream instead
	revision wire.Revision
	session  *backendSession // nil towards stateless revisions
	id       []byte          // as the backend is told
	built    bool            // msg.body is for this revision and id

	x          exchange // the last one
	flow       meter    // of its body, while that is read
	fault      *Error   // of the last attempt, when it ended inside a nested request
	refusals   int
	unsent     int
	lost       bool             // the session was re-opened once
	token      []byte           // the client's progress token, when the backend was told another
	told       []byte           // that other
	held       []byte           // the response, when Request.Hold kept it back
	task       string           // the id of the task that the response tells of
	result     *guard.Result    // shared, read only
	credential *auth.Credential // the last one sent, nil when none was
	rpc        error            // the JSON-RPC error that was recognized in the answer
	ended      bool
	out        wholeBody // the answer, when it was read here
	sends      []Sent    // from the first one that was not accepted on
}

// notRun is the result of a call that never reached the guard.
var notRun guard.Result

func (c *Client) newCall(ctx context.Context, q *Request, class guard.Class) *call {
	cl := &call{c: c, s: q.Session, req: *q, began: time.Now(), result: &notRun}
	if cl.s == nil {
		cl.s = c.own
	}
	cl.info = CallInfo{Backend: c.o.Name, Method: q.Method, Name: q.Name, Class: class}
	if t := c.o.Trace; t.CallStart != nil {
		ctx = t.CallStart(ctx, cl.info)
	}
	if t := c.o.Trace; t.Meta != nil {
		cl.traced = t.Meta(ctx)
	}
	cl.ctx, cl.cancel = context.WithCancelCause(ctx)
	if cl.dog, _ = c.dogs.Get().(*watchdog); cl.dog == nil {
		cl.dog = newWatchdog()
	}
	cl.dog.arm(*c.o.Timeouts.Idle, cl.cancel)
	if class < guard.Stream {
		c.conn.facts.inFlight.Add(1)
	}
	return cl
}

// run takes the call through the guard. Without an error cl.x holds an answer to
// read. The caller must finish the call in any case.
func (cl *call) run(ctx context.Context) *Error {
	switch {
	case cl.c.closed.Load() && cl.info.Class != guard.Stream:
		return cl.error(KindClosed, nil)
	case cl.info.Class < guard.Probe && int(cl.c.conn.facts.inFlight.Load()) > cl.c.o.Limits.InFlight:
		return cl.error(KindNoCapacity, nil)
	}
	if limit := cl.c.o.Limits.RequestBytes; int64(len(cl.req.Params)) > limit {
		e := cl.error(KindProtocolError, nil)
		e.Detail = "the request is larger than allowed"
		return e
	}
	cl.result = cl.c.conn.guard.Do(ctx, cl.info.Class, cl)
	cl.dog.touch()
	if refusal, ok := errors.AsType[*guard.Refusal](cl.result.Err); ok {
		return cl.c.conn.refusedError(cl.info, refusal, cl.x, cl.result.Attempts)
	}
	switch {
	case cl.fault != nil:
		cl.fault.Attempts = cl.result.Attempts
		return cl.fault
	case cl.x.err != nil:
		return cl.broken(cl.x.err)
	}
	return nil
}

// Send implements guard.Sender: one attempt, with all that it needs.
func (cl *call) Send(_ context.Context, a attempt) guard.Verdict {
	defer cl.dog.sleep()
	discard(cl.x.resp)
	cl.x, cl.fault = exchange{}, nil
	cl.dog.touch()
	cl.credential = a.Credential
	if cl.side != nil {
		return cl.after(cl.side, cl.c.conn.send(cl.ctx, cl.side, a))
	}
	if v, ok := cl.prepare(a); !ok {
		return v
	}
	x := cl.c.conn.send(cl.ctx, &cl.msg, a)
	if x.status == http.StatusNotFound && cl.session != nil && cl.session.id != "" && !cl.lost {
		cl.lost = true
		cl.s.drop(cl.session)
		cl.note(x)
		discard(x.resp)
		return guard.Again
	}
	return cl.after(&cl.msg, x)
}

// prepare finds the revision, has a session where there are sessions, and builds
// the request. ok false: the attempt ends with the verdict.
func (cl *call) prepare(a attempt) (v guard.Verdict, ok bool) {
	c := cl.c
	r, v, ok := c.era(cl, a)
	if !ok {
		return v, false
	}
	if r.Stateless() {
		cl.use(r, nil, c.modern)
		return guard.Accepted, true
	}
	if cl.req.StatelessOnly {
		return cl.fail(cl.error(KindCanceled, ErrSessions)), false
	}
	if cl.s.over.Load() {
		return cl.fail(cl.error(KindClosed, nil)), false
	}
	b, v, ok := cl.s.ensure(cl, a)
	if !ok {
		return v, false
	}
	cl.use(b.revision, b, b.header)
	return guard.Accepted, true
}

// use settles revision and session of the next send. The body is built once for
// both, so that a re-send carries the very same bytes.
func (cl *call) use(r wire.Revision, b *backendSession, h http.Header) {
	if cl.built && cl.revision == r && cl.session == b {
		return
	}
	cl.freeID()
	cl.revision, cl.session, cl.built = r, b, true
	switch {
	case b != nil:
		cl.id = b.ids.take(cl.req.ID, &cl.c.nextID)
	case len(cl.req.ID) > 0 && !cl.req.FreshID:
		cl.id = cl.req.ID
	default:
		cl.id = ownID(&cl.c.nextID)
	}
	m := &cl.msg
	m.info, m.method, m.header, m.extra = cl.info, http.MethodPost, h, cl.req.Header
	m.protocolMethod[0], m.protocolName[0] = "", ""
	if r.Stateless() {
		m.protocolMethod[0] = cl.req.Method
		if wire.NameField(cl.req.Method) != "" {
			m.protocolName[0] = wire.EncodeHeaderValue(cl.req.Name)
		}
	}
	if cl.standing != nil {
		cl.standing(cl)
		return
	}
	m.body = cl.shape(r)
}

func (cl *call) freeID() {
	if cl.session != nil && cl.id != nil {
		cl.session.ids.free(cl.id)
	}
	cl.id = nil
}

// after notes an exchange and turns it into the attempt's verdict.
func (cl *call) after(m *message, x exchange) guard.Verdict {
	cl.x = x
	cl.note(x)
	switch {
	case x.verdict == guard.Accepted:
		return guard.Accepted
	case x.verdict != guard.Neutral:
		cl.refusals++
		return x.verdict
	case x.unsent && cl.unsent < maxUnsent && worthAnother(x.err) && pause(cl.ctx, unsentPause<<(2*cl.unsent)):
		cl.unsent++
		return guard.Again
	}
	switch {
	case !m.nested:
	case x.err != nil: // the call itself was not sent
		cl.fault = cl.broken(x.err)
		cl.fault.Method, cl.fault.OutcomeUnknown = m.info.Method, false
	default:
		cl.fault = rejected(cl.info.Backend, m.info.Method, x)
		cl.release()
	}
	return guard.Neutral
}

// note keeps what is told of a send. A call that nothing is wrong with costs nothing
// here.
func (cl *call) note(x exchange) {
	if (len(cl.sends) > 0 || x.verdict != guard.Accepted) && len(cl.sends) < maxSent {
		cl.sends = append(cl.sends, x.sent)
	}
}

// worthAnother excludes what no second try can change within a call.
func worthAnother(err error) bool {
	var timeout interface{ Timeout() bool }
	return connectionKind(err) == KindUnreachable && !(errors.As(err, &timeout) && timeout.Timeout())
}

// pause waits, and reports whether the caller is still there.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// fail ends an attempt with a fault that says nothing about the credential.
func (cl *call) fail(err *Error) guard.Verdict {
	cl.fault = err
	cl.release()
	return guard.Neutral
}

// release lets go of an answer that was read.
func (cl *call) release() {
	if cl.x.resp != nil {
		_ = cl.x.resp.Body.Close()
		cl.x.resp = nil
	}
}

// alone reports whether the call may hold a role in a recovery: then it must not
// wait for what another call does.
func (cl *call) alone(a attempt) bool {
	return a.Cause == guard.Canary || cl.c.conn.guard.State().Phase == guard.HalfOpen
}

func (cl *call) nested(method string) CallInfo {
	return CallInfo{Backend: cl.info.Backend, Method: method, Class: cl.info.Class}
}

// finish ends the call, once: err is nil when it was answered.
func (cl *call) finish(err *Error) {
	if cl.ended {
		return
	}
	cl.ended = true
	cl.release()
	if cl.dog.rest() {
		cl.c.dogs.Put(cl.dog)
	}
	if cl.cancel(nil); !cl.recant(err) {
		cl.freeID()
	}
	f := cl.c.conn.facts
	f.called(cl.info.Class, cl.refusals, cl.began, err)
	if cl.info.Class < guard.Stream {
		f.inFlight.Add(-1) // from here on its end is known to all
	}
	if t := cl.c.o.Trace; t.CallEnd != nil {
		r := CallResult{Guard: *cl.result, Start: cl.began, Took: time.Since(cl.began), Err: cl.rpc, Sends: cl.sends}
		if cl.credential != nil {
			r.Guard.Generation = cl.credential.Generation()
		}
		if err != nil {
			r.Kind, r.Err = err.Kind, err
		}
		t.CallEnd(cl.ctx, cl.info, r)
	}
}

// recant tells a backend of an elder revision that an answer is not wanted any
// more: there, unlike on 2026-07-28, a closed connection does not say so. The id
// stays taken until that is said, so that no other request can be meant. It
// reports whether it takes care of the id.
func (cl *call) recant(err *Error) bool {
	if err == nil || !err.OutcomeUnknown || err.Kind != KindCanceled && err.Kind != KindTimeout || cl.session == nil || cl.side != nil {
		return false
	}
	b, id := cl.session, cl.id
	m := &message{info: CallInfo{Backend: cl.info.Backend, Method: wire.NoteCancelled, Class: guard.Stream}, method: http.MethodPost,
		header: b.header, body: wire.CancelledNotification(id, ""), nested: true}
	return cl.c.background(farewellTime, func(ctx context.Context) {
		defer b.ids.free(id)
		cl.c.unguarded(ctx, m)
	})
}

// unguarded sends a message that no call waits for, with the credential at hand.
func (c *Client) unguarded(ctx context.Context, m *message) {
	if cred, ok := c.conn.source.Current(); ok {
		discard(c.conn.send(ctx, m, attempt{Credential: cred, Number: 1}).resp)
	}
}

// error makes an error of this call.
func (cl *call) error(k Kind, err error) *Error {
	return &Error{Kind: k, Backend: cl.info.Backend, Method: cl.info.Method, Attempts: cl.result.Attempts, Err: err}
}

// refusedError makes the error of a call that the guard ended.
func (n *conn) refusedError(info CallInfo, r *guard.Refusal, x exchange, attempts int) *Error {
	renewal := guard.Same
	switch {
	case r.Renewed:
		renewal = r.Renewal
	case r.Reason == guard.Unretried: // nothing was renewed for it: what became of the last renewal is why
		renewal = guard.Outcome(n.source.Facts().LastRenewal.Outcome)
	}
	e := &Error{Kind: refusalKind(r.Reason, renewal, x.status), Backend: info.Backend, Method: info.Method, Attempts: attempts,
		Status: x.status, Challenge: x.challenge, Since: r.Since, Err: r}
	if !r.RetryAt.IsZero() {
		e.RetryAfter = max(time.Until(r.RetryAt), 0)
	}
	return e
}

// broken makes the error of a transport that failed, before or within an answer.
func (cl *call) broken(err error) *Error {
	cause := context.Cause(cl.ctx)
	kind := connectionKind(err)
	switch {
	case errors.Is(cause, errSilent):
		kind, err = KindTimeout, errSilent
	case errors.Is(cl.ctx.Err(), context.DeadlineExceeded):
		kind, err = KindTimeout, cl.ctx.Err()
	case cause != nil:
		kind, err = KindCanceled, cl.ctx.Err()
	default:
		err = withoutEcho(err, cl.credential)
	}
	if odd, ok := errors.AsType[*misfit](err); ok {
		e := cl.error(kind, nil)
		e.Detail = odd.detail
		return e
	}
	if kind == KindProtocolError {
		return cl.stopped(err)
	}
	e := cl.error(kind, err)
	if exit, ok := errors.AsType[*ExitError](err); ok {
		e.Detail = exit.detail()
		if !exit.Next.IsZero() {
			e.RetryAfter = max(time.Until(exit.Next), 0)
		}
	}
	e.OutcomeUnknown = !cl.x.unsent && cl.msg.body != nil && !cl.msg.untouched()
	return e
}

// rejected makes the error of an answer that is neither a success nor a refusal.
// It closes the answer.
func rejected(backend, method string, x exchange) *Error {
	e := &Error{Kind: KindProtocolError, Backend: backend, Method: method, Status: x.status, Attempts: 1}
	switch {
	case x.status >= 500 || x.status == http.StatusTooManyRequests:
		e.Kind = KindServerError
		e.RetryAfter = retryAfter(x.resp.Header.Get("Retry-After"))
	case x.elsewhere != "":
		e.Detail = "it redirects to " + x.elsewhere + ", and redirects are not followed"
	case x.status/100 == 3:
		e.Detail = "redirects are not followed"
	case x.status == http.StatusNotFound:
		e.Detail = "there is nothing at this address"
	}
	discard(x.resp)
	return e
}

// retryAfter reads seconds or a date, bounded to a day.
func retryAfter(v string) time.Duration {
	const most = 24 * time.Hour
	var d time.Duration
	if n, err := strconv.ParseUint(v, 10, 32); err == nil {
		d = time.Duration(n) * time.Second //nolint:gosec // 32 bits
	} else if at, err := http.ParseTime(v); err == nil {
		d = time.Until(at)
	}
	return min(max(d, 0), most)
}

package gateway

import (
	"context"
	"net/http"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/catalog"
	"github.com/recloser-mcp/recloser/wire"
)

// forward takes a request to the backend that owns what it is about, and the
// answer back. The bytes of the parameters stay as they are, but for the name
// where that is another one at the backend.
func (q *request) forward() {
	kind, at := q.target()
	raw := at.Of(q.body)
	var room [128]byte
	name, ok := wire.UnquoteBytes(room[:0], raw)
	if !ok {
		q.invalid(http.StatusOK, "params does not say which "+kind.String()+" is meant")
		return
	}
	entry, ok := q.view().Find(kind, name)
	if !ok {
		q.notFound(kind.String(), string(name))
		return
	}
	if entry.Backend == "" && kind == catalog.Resource && q.g.o.Read != nil {
		q.readOwn(entry)
		return
	}
	b := q.g.backend(entry.Backend)
	if b == nil {
		q.notFound(kind.String(), string(name))
		return
	}
	req := &q.out
	*req = backend.Request{
		Method: q.env.Method, Name: entry.Name, ID: q.id(), Params: q.params(entry, at),
		Header: b.passthrough(q.r.Header), ClientRevision: q.revision,
	}
	if len(entry.Params) > 0 {
		values, ok := q.checkParams(entry)
		if !ok {
			return
		}
		req.Header = withParams(req.Header, values)
	}
	q.dispatch(b)
}

// dispatch sends the request that has been prepared, in the way that the revisions
// of both sides want.
func (q *request) dispatch(b *Backend) {
	for !b.users.enter() {
		if b = q.g.backend(b.Name); b == nil {
			q.invalid(http.StatusOK, "the backend has just been taken out of service")
			return
		}
	}
	defer b.users.leave()
	q.out.Tasks = q.g.o.Catalog.Snapshot().HasTasks(b.Name)
	switch {
	case q.sess != nil:
		q.converse(b)
	case b.Client.Revision().Stateless():
		resp, err := b.Client.Do(q.ctx, &q.out)
		if err != nil {
			q.unavailable(err)
			return
		}
		q.answer(resp)
		q.noteTask(b, resp)
	default:
		q.interview(b)
	}
}

// noteTask remembers the task that a response has told of.
func (q *request) noteTask(b *Backend, resp *backend.Response) {
	if id := resp.Task(); id != "" {
		q.g.tasks.note(q.owner, id, b.Name)
	}
}

// converse forwards a request of a client with a session, which can be asked
// something meanwhile and can cancel the request by its id.
func (q *request) converse(b *Backend) {
	var ok bool
	if q.out.Session, ok = q.upstream(b); !ok {
		q.fail(http.StatusNotFound, wire.InvalidRequest, "the session has ended", nil)
		return
	}
	// A client that is gone has not cancelled (basic/transports, "Sending Messages to
	// the Server"): where it can resume the stream, the work goes on for a while.
	ctx, cancel := context.WithCancel(context.WithoutCancel(q.ctx))
	defer cancel()
	q.abandon = cancel
	defer context.AfterFunc(q.ctx, func() {
		if e := q.live.Load(); e == nil || !e.left() || q.g.draining.Load() {
			cancel()
		}
	})()
	if q.sess.Begin(q.out.ID, cancel) {
		defer q.sess.Finish(q.out.ID)
	}
	defer q.withdraw()
	q.out.Messages, q.out.Hold = q, true
	resp, err := b.Client.Do(ctx, &q.out)
	switch {
	case err != nil:
		q.unavailable(err)
	case resp.Revision.Stateless():
		q.fetchInputs(ctx, b, resp)
	default:
		q.answer(resp)
		q.noteTask(b, resp)
	}
}

// target says what a request is about: the kind of the entry, and where its name
// or URI stands.
func (q *request) target() (k catalog.Kind, at wire.Span) {
	switch q.env.Method {
	case wire.MethodToolsCall:
		return catalog.Tool, q.env.Name
	case wire.MethodPromptsGet:
		return catalog.Prompt, q.env.Name
	case wire.MethodRead:
		return catalog.Resource, q.env.URI
	}
	if string(q.env.RefType.Of(q.body)) == `"ref/prompt"` {
		return catalog.Prompt, q.env.RefName
	}
	return catalog.Template, q.env.RefURI
}

// params returns the parameters as the backend wants them.
func (q *request) params(e *catalog.Entry, at wire.Span) []byte {
	params := q.env.Params
	raw := params.Of(q.body)
	if e.Name == e.Public {
		return raw
	}
	in := wire.Span{Start: at.Start - params.Start, End: at.End - params.Start}
	return wire.Splice(nil, raw, wire.Edit{Span: in, New: wire.Quote(q.room[:0], e.Name)})
}

// passthrough returns the headers of a client that go on, nil when there are
// none.
func (b *Backend) passthrough(h http.Header) http.Header {
	var out http.Header
	for _, name := range b.PassthroughHeaders {
		if values := h[name]; len(values) > 0 {
			if out == nil {
				out = make(http.Header, len(b.PassthroughHeaders))
			}
			out[name] = values
		}
	}
	return out
}

// withParams adds the headers that mirror arguments. They are made from the
// arguments and never copied from the client.
func withParams(h http.Header, values []wire.HeaderValue) http.Header {
	if h == nil {
		h = make(http.Header, len(values))
	}
	for _, v := range values {
		h[http.CanonicalHeaderKey(v.Name)] = []string{v.Value}
	}
	return h
}

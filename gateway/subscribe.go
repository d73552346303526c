package gateway

import (
	"errors"
	"net/http"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/catalog"
	"github.com/recloser-mcp/recloser/session"
	"github.com/recloser-mcp/recloser/wire"
)

// subscribe serves resources/subscribe and resources/unsubscribe (server/resources,
// 2025-11-25). A backend with sessions is asked in the client's own; at others, and
// where all clients share one session, the gateway's one subscription serves
// everybody.
func (q *request) subscribe(on bool) {
	uri, ok := wire.Unquote(q.env.URI.Of(q.body))
	if !ok {
		q.invalid(http.StatusOK, "params does not say which resource is meant")
		return
	}
	b := q.backendOf(uri)
	if b == nil {
		q.notFound(catalog.Resource.String(), uri)
		return
	}
	up, ok := q.upstream(b)
	if !ok {
		q.fail(http.StatusNotFound, wire.InvalidRequest, "the session has ended", nil)
		return
	}
	if !up.Shared() && !b.Client.Revision().Stateless() {
		result, err := up.Ask(q.ctx, q.env.Method, uri, q.env.Params.Of(q.body))
		if !errors.Is(err, backend.ErrStateless) {
			q.subscribed(up, uri, on, result, err)
			return
		}
	}
	q.watch(b, uri, on)
}

// subscribed passes on what a backend answered to a subscription.
func (q *request) subscribed(up *backend.Session, uri string, on bool, result []byte, err error) {
	switch rpc, answered := errors.AsType[*backend.RPCError](err); {
	case answered:
		q.fail(http.StatusOK, rpc.Code, rpc.Message, rpc.Data)
	case err != nil:
		q.unavailable(err)
	default:
		if up.Subscribed(uri, on); on {
			up.Follow()
		}
		q.reply(result)
	}
}

// watch has the session told of updates by the gateway's own subscription.
func (q *request) watch(b *Backend, uri string, on bool) {
	key, sess := wire.NoteResourceUpdated+" "+uri, q.sess
	switch {
	case !on:
		sess.Drop(key)
	case !q.g.o.Catalog.Facts(b.Name).Subscribe:
		q.fail(http.StatusOK, wire.MethodNotFound, "the backend offers no subscriptions to resources", nil)
		return
	case !sess.Hold(key, func() (release func()) {
		return b.Client.Watch(uri, func(raw []byte) {
			if !sess.Push(session.Message{Key: key, Data: labelled(raw, nil)}) {
				q.g.dropped(sess)
			}
		})
	}):
		q.fail(http.StatusOK, CodeBackend, "the session has as many subscriptions as it may", nil)
		return
	}
	q.reply(nil)
}

// labelled returns a notification with the id of a client's own subscription as raw
// JSON, or without one.
func labelled(raw, id []byte) []byte {
	e, err := wire.Scan(raw)
	if err != nil {
		return append([]byte(nil), raw...)
	}
	return wire.Splice(nil, raw, wire.MetaEdits(nil, raw, &e, []wire.KV{{Key: wire.MetaSubscriptionID, Value: id}}, "")...)
}

// backendOf returns the backend that a resource belongs to, nil when nobody has it.
func (q *request) backendOf(uri string) *Backend {
	entry, ok := q.view().Find(catalog.Resource, []byte(uri))
	if !ok {
		return nil
	}
	return q.g.backend(entry.Backend)
}

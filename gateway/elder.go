package gateway

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/session"
	"github.com/recloser-mcp/recloser/wire"
)

// postElder serves a message of a revision with sessions.
func (q *request) postElder() {
	if q.env.Kind == wire.Request && q.env.Method == wire.MethodInitialize {
		q.initialize()
		return
	}
	if !q.join() {
		return
	}
	defer q.sess.Release()
	switch q.env.Kind {
	case wire.Request:
		q.revision = q.sess.Info().Revision
		q.serve()
	case wire.Notification:
		q.noted()
	default:
		q.answered()
	}
}

// join finds the session that the request names and holds it; false means that
// the request has been refused. A session of somebody else is answered like one
// that never was (basic/transports, "Session Management", 2025-11-25).
func (q *request) join() bool {
	id, err := q.header(wire.HeaderSession)
	if err != nil || id == "" {
		q.fail(http.StatusBadRequest, wire.InvalidRequest, "the header Mcp-Session-Id is missing: begin with initialize", nil)
		return false
	}
	sess, ok := q.g.o.Sessions.Get(id, q.owner, q.scope)
	if !ok {
		q.fail(http.StatusNotFound, wire.InvalidRequest, "there is no such session: begin again with initialize", nil)
		return false
	}
	q.sess = sess
	return true
}

// initialize opens a session (basic/lifecycle, 2025-11-25). Nothing is asked of
// any backend.
func (q *request) initialize() {
	var p struct {
		ProtocolVersion string          `json:"protocolVersion"`
		Capabilities    json.RawMessage `json:"capabilities"`
		ClientInfo      json.RawMessage `json:"clientInfo"`
	}
	if err := json.Unmarshal(q.env.Params.Of(q.body), &p); err != nil || p.ProtocolVersion == "" {
		q.invalid(http.StatusOK, "initialize needs a protocolVersion, the client's capabilities and clientInfo")
		return
	}
	revision := wire.Negotiate(p.ProtocolVersion)
	sess, err := q.g.o.Sessions.Create(session.Info{
		Revision: revision, ClientInfo: object(p.ClientInfo), Capabilities: object(p.Capabilities),
		Owner: q.owner, Scope: q.scope,
	})
	if err != nil {
		q.full(err)
		return
	}
	defer sess.Release()
	q.w.Header()[wire.HeaderSession] = []string{sess.ID()}
	q.reply(q.g.own.initialized(revision, q.view().Extras(false), q.instructions()))
}

// object returns raw if it is a JSON object.
func object(raw json.RawMessage) json.RawMessage {
	if len(raw) > 0 && raw[0] == '{' {
		return raw
	}
	return nil
}

// full answers that no further session can be opened.
func (q *request) full(err error) {
	hint := "close sessions that are not used any more, or raise limits.sessions"
	if !errors.Is(err, session.ErrFull) {
		hint = "the gateway is shutting down"
	}
	q.w.Header()["Retry-After"] = []string{"10"}
	data := append(wire.Quote([]byte(`{"reason":"`+reasonSessions+`","hint":`), hint), '}')
	q.fail(http.StatusServiceUnavailable, CodeBackend, err.Error(), data)
}

// get opens a standing stream of a session (basic/transports, "Listening for
// Messages from the Server", 2025-11-25).
func (q *request) get() {
	if q.stateless() {
		q.onlyPost()
		return
	}
	if !accepts(q.r.Header, typeSSE[0]) {
		refuse(q.w, http.StatusNotAcceptable, nil, wire.InvalidRequest, "Accept has to name text/event-stream")
		return
	}
	if !q.knownVersion() || !q.join() {
		return
	}
	defer q.sess.Release()
	if !q.sess.OpenStream() {
		refuse(q.w, http.StatusConflict, nil, wire.InvalidRequest, "the session has as many streams open as it may: close one")
		return
	}
	defer q.sess.CloseStream()
	for _, u := range q.sess.Upstreams() {
		if up, ok := u.(*backend.Session); ok {
			up.Follow()
		}
	}
	if last, err := q.header(wire.HeaderLastEventID); err == nil && last != "" {
		if t, from, ok := q.sess.Resume(last); ok && q.resume(t, from) {
			return
		}
	}
	q.stand(q.sess, q.sess.Record(nil), 0)
}

// delete ends a session.
func (q *request) delete() {
	if q.stateless() {
		q.onlyPost()
		return
	}
	if !q.knownVersion() || !q.join() {
		return
	}
	defer q.sess.Release()
	q.g.o.Sessions.End(q.sess)
	q.w.WriteHeader(http.StatusNoContent)
}

// stateless reports whether a GET or DELETE comes from a client whose revision
// has none (streamable-http, "Earlier Streamable HTTP Revisions", 2026-07-28).
func (q *request) stateless() bool {
	said, err := q.header(wire.HeaderProtocol)
	r := wire.Revision(said)
	return err == nil && r.Known() && r.Stateless()
}

func (q *request) onlyPost() {
	q.w.Header()["Allow"] = []string{"POST"}
	refuse(q.w, http.StatusMethodNotAllowed, nil, wire.InvalidRequest, "revision 2026-07-28 has POST only")
}

// knownVersion checks the version header of a request without a body.
func (q *request) knownVersion() bool {
	said, err := q.header(wire.HeaderProtocol)
	if err != nil || said != "" && !wire.Revision(said).Known() {
		q.unsupported(wire.Revision(said))
		return false
	}
	return true
}

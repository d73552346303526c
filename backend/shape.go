package backend

import (
	"net/http"

	"github.com/recloser-mcp/recloser/wire"
)

// shape builds the body of a request for a backend of revision r. What the
// client wrote stays as it is; only the metadata by which the two eras differ is
// put in or taken out.
func (cl *call) shape(r wire.Revision) []byte {
	q := &cl.req
	body := wire.RequestBody(cl.id, q.Method, q.Params)
	set := cl.traced
	switch {
	case r.Stateless() && !q.ClientRevision.Stateless():
		set = append(cl.s.modernMeta(r), set...)
	case !r.Stateless() && q.ClientRevision.Stateless():
		set = append(wire.WithoutRequestMeta()[:len(wire.WithoutRequestMeta()):len(wire.WithoutRequestMeta())], set...)
	}
	cl.token = nil
	if len(set) == 0 && (cl.session == nil || !cl.s.common()) {
		return body
	}
	e, err := wire.Scan(body)
	if err != nil {
		return body // the backend says what is wrong with it
	}
	edits := wire.MetaEdits(nil, body, &e, set, "")
	if edit, ok := cl.tokenEdit(body, &e); ok {
		edits = append(edits, edit)
	}
	if len(edits) == 0 {
		return body
	}
	return wire.Splice(nil, body, edits...)
}

// modernMeta is what a client of an elder revision would have said about itself.
func (s *Session) modernMeta(r wire.Revision) []wire.KV {
	return wire.RequestMeta{Revision: r, ClientInfo: s.o.ClientInfo, Capabilities: s.o.Capabilities, LogLevel: s.logLevel()}.KVs()
}

// rewrite says how an answer has to change for the client.
func (cl *call) rewrite(id []byte) wire.RewriteOptions {
	o := wire.RewriteOptions{ID: id}
	if cl.req.ClientRevision.Stateless() && !cl.revision.Stateless() {
		o.Members = wire.ModernMembers(cl.req.Method)
	}
	return o
}

// baseHeader is what every request to the backend carries.
func baseHeader(o Options) http.Header {
	h := http.Header{}
	for name, value := range o.Headers {
		h.Set(name, value)
	}
	if h.Get("User-Agent") == "" {
		h.Set("User-Agent", o.ClientInfo.Name+"/"+o.ClientInfo.Version)
	}
	h.Set("Accept", typeJSON+", "+typeSSE)
	h.Set("Content-Type", typeJSON)
	return h
}

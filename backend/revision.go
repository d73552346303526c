package backend

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/wire"
)

// elder stands for a backend that has sessions and has not negotiated yet.
var elder wire.Revision

// undecided are the refusals that say nothing about a server's revision.
var undecided = map[int]int{
	http.StatusUnauthorized: 1, http.StatusForbidden: 1, http.StatusProxyAuthRequired: 1,
	http.StatusRequestTimeout: 1, http.StatusTooEarly: 1, http.StatusTooManyRequests: 1,
}

// era returns the backend's revision, asking for it inside this attempt if it is
// not known. An elder one is exact only once a session was opened. ok false: the
// attempt ends with the verdict.
//
// It is a property of the server and found once (basic/versioning, "Backward
// Compatibility"). What a refusal, a server error or a broken connection says
// about it is nothing: the next call asks again.
func (c *Client) era(cl *call, a attempt) (r wire.Revision, v guard.Verdict, ok bool) {
	if r := c.revision.Load(); r != nil {
		return *r, guard.Accepted, true
	}
	if c.o.transport() == TransportSSE {
		return elder, guard.Accepted, true // it has no other
	}
	leave := c.gate.pass(cl.ctx, cl.alone(a))
	if leave == nil {
		leave = func() {}
	}
	defer leave()
	if r := c.revision.Load(); r != nil {
		return *r, guard.Accepted, true
	}
	m := c.discover(cl.nested(wire.MethodDiscover))
	m.nested = true
	x := c.conn.send(cl.ctx, m, a)
	found, err, v := cl.classify(m, x)
	switch {
	case v != guard.Accepted:
		return "", v, false
	case err != nil:
		return "", cl.fail(err), false
	}
	cl.release()
	c.revision.Store(&found)
	return found, guard.Accepted, true
}

// discover makes the request that both finds the revision and describes a server
// of 2026-07-28.
func (c *Client) discover(info CallInfo) *message {
	return &message{info: info, method: http.MethodPost, header: c.modern, protocolMethod: [1]string{wire.MethodDiscover},
		body: wire.DiscoverRequest(ownID(&c.nextID), c.meta)}
}

// classify reads the answer to the probe. The verdict is Accepted when it
// decides something, or when err says why it cannot.
func (cl *call) classify(m *message, x exchange) (wire.Revision, *Error, guard.Verdict) {
	legacy := x.status/100 == 4 && undecided[x.status] == 0
	if !legacy {
		if v := cl.after(m, x); v != guard.Accepted {
			return "", nil, v
		}
		doc, err := cl.readNested(m, x.resp)
		if err != nil {
			return "", err, guard.Accepted
		}
		return cl.c.offered(m, doc)
	}
	doc := readRefusal(x.resp)
	if a, ok := rpcErrorIn(x.resp.Header, doc); ok && modernCode(a.ErrorCode) {
		return cl.c.offered(m, doc)
	}
	return elder, nil, guard.Accepted
}

// modernCode tells the errors that only servers of 2026-07-28 and later know.
func modernCode(code int) bool {
	return code == wire.HeaderMismatch || code == wire.MissingCapability || code == wire.UnsupportedVersion
}

// offered chooses among the revisions that a DiscoverResult or an
// UnsupportedProtocolVersionError names.
func (c *Client) offered(m *message, doc []byte) (wire.Revision, *Error, guard.Verdict) {
	bad := func(detail string) (wire.Revision, *Error, guard.Verdict) {
		return "", &Error{Kind: KindProtocolError, Backend: c.o.Name, Method: m.info.Method, Detail: detail}, guard.Accepted
	}
	a, err := wire.ScanAnswer(doc)
	if err != nil {
		return bad("the answer is not a JSON-RPC response")
	}
	var names struct {
		SupportedVersions []string `json:"supportedVersions"`
		Supported         []string `json:"supported"`
	}
	switch {
	case a.Error.Present() && !modernCode(a.ErrorCode):
		return elder, nil, guard.Accepted
	case a.Error.Present() && a.ErrorCode != wire.UnsupportedVersion:
		return wire.Rev20260728, nil, guard.Accepted
	case a.Error.Present():
		err = json.Unmarshal(a.Data.Of(doc), &names)
	default:
		err = json.Unmarshal(a.Result.Of(doc), &names)
	}
	all := slices.Concat(names.SupportedVersions, names.Supported)
	if err != nil || len(all) == 0 {
		return elder, nil, guard.Accepted // it answers anything
	}
	newest, ok := wire.Newest(all)
	switch {
	case !ok:
		return bad("the backend speaks no protocol version that is spoken here")
	case newest.Stateless():
		return newest, nil, guard.Accepted
	}
	return elder, nil, guard.Accepted
}

// doubt forgets the revision when an answer does not fit it: the server was
// replaced by one of the other era. The next call asks again.
func (c *Client) doubt(r wire.Revision, status, code int) {
	var fits bool
	switch {
	case status/100 != 4 || undecided[status] != 0:
		fits = true
	case !r.Stateless():
		fits = !modernCode(code)
	case code == wire.UnsupportedVersion:
		fits = false
	default:
		fits = modernCode(code) || code == wire.MethodNotFound || code == wire.InvalidParams || code == wire.ParseError
	}
	if !fits {
		c.revision.Store(nil)
	}
}

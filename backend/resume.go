package backend

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/wire"
)

const (
	resumeWait  = time.Second // where the server names no wait
	resumeMost  = time.Minute // of what it may name
	resumeTries = 3           // in a row that bring nothing
	maxEventID  = 1 << 10
)

// resumption follows a stream of events as it passes, so that it can be taken up
// again where it ended: a server of an elder revision may close the connection
// of a call that takes long and have the client ask for the rest (basic/
// transports, "Resumability and Redelivery", 2025-11-25). The rest is asked for
// with a GET; the call itself is never sent again.
type resumption struct {
	id    string        // of the last event that is complete
	retry time.Duration // the wait that the server asked for
	tries int

	line    []byte // the start of the line that is passing
	event   string // id of the event that is passing
	hasID   bool
	between bool // no event is half through
}

// note follows the bytes of the stream. Only short lines matter.
func (r *resumption) note(p []byte) {
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		part := p
		if end >= 0 {
			part = p[:end]
		}
		if room := maxEventID - len(r.line); room > 0 {
			r.line = append(r.line, part[:min(len(part), room)]...)
		}
		if end < 0 {
			r.between = false
			return
		}
		r.take(bytes.TrimSuffix(r.line, []byte("\r")))
		r.line, p = r.line[:0], p[end+1:]
	}
}

// take reads one line.
func (r *resumption) take(line []byte) {
	if r.between = len(line) == 0; r.between {
		if r.hasID {
			r.id, r.hasID = r.event, false
		}
		return
	}
	field, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(field) {
	case "id":
		if len(line) < maxEventID && !bytes.ContainsAny(value, "\x00\r") {
			r.event, r.hasID = string(value), true
		}
	case "retry":
		if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
			r.retry = min(time.Duration(ms)*time.Millisecond, resumeMost) //nolint:gosec // 31 bits
		}
	}
}

// resume asks for the rest of a stream that ended between two events. It reports
// whether m goes on.
func (m *meter) resume() bool {
	r, cl := &m.again, m.cl
	for m.resumable() {
		r.tries++
		wait := r.retry
		if wait == 0 {
			wait = resumeWait
		}
		if !pause(cl.ctx, wait) {
			return false
		}
		get := &message{info: cl.nested(http.MethodGet), method: http.MethodGet, nested: true, header: cl.session.header.Clone()}
		get.info.Class = guard.Stream
		get.header.Set("Accept", typeSSE)
		get.header.Del("Content-Type")
		get.header.Set(wire.HeaderLastEventID, r.id)
		q := &errand{conn: cl.c.conn, ctx: cl.ctx, msg: get}
		cl.c.conn.guard.Do(cl.ctx, guard.Stream, q)
		resp := q.x.resp
		switch {
		case resp != nil && resp.StatusCode == http.StatusOK && isType(resp.Header, typeSSE):
			_ = m.body.Close()
			cl.x.resp, m.body = resp, resp.Body
			return true
		case resp != nil && resp.StatusCode/100 == 4:
			discard(resp)
			return false // it does not keep streams, or not this one
		}
		discard(resp)
	}
	return false
}

func (m *meter) resumable() bool {
	return m.done != nil && !m.done() && m.cl.session != nil && m.again.between && m.again.id != "" && m.again.tries < resumeTries
}

// errand is a request of our own that the guard sends.
type errand struct {
	conn *conn
	ctx  context.Context
	msg  *message
	x    exchange
}

// Send implements guard.Sender.
func (e *errand) Send(_ context.Context, a attempt) guard.Verdict {
	discard(e.x.resp)
	e.x = e.conn.send(e.ctx, e.msg, a)
	return e.x.verdict
}

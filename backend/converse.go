package backend

import (
	"bytes"
	"io"
	"strconv"

	"github.com/recloser-mcp/recloser/wire"
)

// holdBytes bounds a document that is read whole because it may have to be kept
// back. A larger one is no interim result.
const holdBytes = 4 << 20

// watches reports whether the messages of an answer's stream have to be looked
// at. Between two sides of 2026-07-28 they pass unseen.
func (cl *call) watches() bool {
	return cl.holds() || cl.req.Tasks || cl.req.Messages != nil || cl.token != nil || cl.req.ClientRevision.Stateless() && !cl.revision.Stateless()
}

// each decides about one message of an answer's stream.
func (cl *call) each(e *wire.Envelope, raw []byte) (wire.Action, []byte) {
	switch e.Kind {
	case wire.Response:
		return cl.final(raw)
	case wire.Request:
		return cl.asked(e, raw)
	}
	if e.Method == wire.NoteProgress && cl.session != nil && cl.s.common() {
		if cl.token == nil || !bytes.Equal(e.ProgressToken.Of(raw), cl.told) {
			return wire.Drop, nil // of another client's call, or of none
		}
		token := cl.token
		if m, ok := cl.req.Messages.(interface{ ProgressToken() []byte }); ok {
			token = m.ProgressToken()
		}
		if token == nil {
			return wire.Drop, nil
		}
		return wire.Replace, wire.Splice(nil, raw, wire.Edit{Span: e.ProgressToken, New: token})
	}
	if cl.req.Messages == nil {
		return wire.Pass, nil
	}
	return cl.req.Messages.Message(e, raw)
}

// final decides about the response.
func (cl *call) final(raw []byte) (wire.Action, []byte) {
	cl.noteTask(raw)
	if !cl.holds() {
		return wire.Pass, nil
	}
	a, err := wire.ScanAnswer(raw)
	if err != nil {
		return wire.Pass, nil
	}
	if cl.hold(raw, a) {
		return wire.Drop, nil
	}
	return wire.Pass, nil
}

// holds reports whether the response may have to be kept back.
func (cl *call) holds() bool {
	return cl.req.Hold && cl.req.ClientRevision.Stateless() != cl.revision.Stateless()
}

// lowers reports whether an elder server answers a client of 2026-07-28.
func (cl *call) lowers() bool { return cl.req.ClientRevision.Stateless() && !cl.revision.Stateless() }

// asked decides about a request of the server. A server of 2026-07-28 has none
// to make.
func (cl *call) asked(e *wire.Envelope, raw []byte) (wire.Action, []byte) {
	switch {
	case cl.session == nil:
		return wire.Drop, nil
	case cl.s == cl.c.own, cl.lowers() && e.Method == wire.MethodPing:
		cl.c.decline(cl.session, e, raw)
		return wire.Drop, nil
	case cl.req.Messages != nil:
		return cl.req.Messages.Message(e, raw)
	case cl.lowers():
		cl.c.decline(cl.session, e, raw)
		return wire.Drop, nil
	}
	return wire.Pass, nil
}

// hold keeps a response back that the client's revision has no word for, and every
// one that an elder server gives to a client of 2026-07-28.
func (cl *call) hold(doc []byte, a wire.Answer) bool {
	switch {
	case !cl.holds():
		return false
	case cl.lowers():
		if a.Error.Present() {
			cl.rpc = cl.rpcError(doc, a)
			cl.held = bytes.Clone(cl.modernError(doc))
			return true
		}
		held, err := wire.RewriteAnswer(make([]byte, 0, len(doc)+96), doc, cl.rewrite(cl.req.ID))
		cl.held = held
		return err == nil
	}
	if _, interim := wire.ReadInputRequired(a.Result.Of(doc)); !interim {
		return false
	}
	cl.held = bytes.Clone(doc)
	return true
}

// noteTask looks for the task in a response: 2025-11-25 has it as result.task,
// the extension of 2026-07-28 in the result itself.
func (cl *call) noteTask(doc []byte) {
	if !cl.req.Tasks || !bytes.Contains(doc, []byte(`"taskId"`)) {
		return
	}
	a, err := wire.ScanAnswer(doc)
	if err != nil {
		return
	}
	members, _ := wire.Members(a.Result.Of(doc))
	for _, m := range members {
		if m.Key == "task" {
			inner, _ := wire.Members(m.Value)
			members = append(members, inner...)
		}
	}
	for _, m := range members {
		if m.Key == "taskId" {
			cl.task, _ = wire.Unquote(m.Value)
			return
		}
	}
}

// holdable reads a document that may have to be kept back, and lets one pass that
// is too large for that.
func (cl *call) holdable(m *meter) (*Response, *Error) {
	doc, err := io.ReadAll(io.LimitReader(m, holdBytes))
	switch {
	case err != nil:
		return nil, cl.stopped(err)
	case len(doc) == holdBytes:
		return cl.passing(io.MultiReader(bytes.NewReader(doc), m), -1), nil
	}
	return cl.whole(doc)
}

// modernError gives an error answer of an elder server the code that 2026-07-28
// has for it (basic/index, "Error Codes").
func (cl *call) modernError(doc []byte) []byte {
	rpc, ok := cl.rpc.(*RPCError) //nolint:errorlint // the call made it
	if !ok || !cl.lowers() || rpc.Code != wire.ResourceNotFound {
		return doc
	}
	id := cl.req.ID
	if len(id) == 0 {
		id = cl.id
	}
	return wire.ErrorBody(id, wire.InvalidParams, rpc.Message, rpc.Data)
}

// tokenEdit replaces the client's progress token where clients that do not know of
// each other share a session and could have chosen the same.
func (cl *call) tokenEdit(body []byte, e *wire.Envelope) (edit wire.Edit, ok bool) {
	if cl.session == nil || !cl.s.common() || !e.ProgressToken.Present() {
		return edit, false
	}
	cl.token = bytes.Clone(e.ProgressToken.Of(body))
	cl.told = append(strconv.AppendInt([]byte(`"recloser-`), cl.c.nextID.Add(1), 10), '"')
	return wire.Edit{Span: e.ProgressToken, New: cl.told}, true
}

package gateway

import (
	"bytes"
	"slices"
	"sync"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/wire"
)

// asks returns the methods that a server may ask of a client with the capabilities.
func asks(capabilities []byte) (methods []string) {
	members, _ := wire.Members(capabilities)
	for _, m := range members {
		switch m.Key {
		case "elicitation":
			methods = append(methods, wire.MethodElicit)
		case "sampling":
			methods = append(methods, wire.MethodSample)
		case "roots":
			methods = append(methods, wire.MethodRoots)
		}
	}
	return methods
}

// Message implements backend.Messages: what a server says on the stream of its call.
func (p *interviewed) Message(e *wire.Envelope, raw []byte) (wire.Action, []byte) {
	switch {
	case e.Kind == wire.Request:
		p.ask(e, raw)
		return wire.Hold, nil
	case e.Method == wire.NoteCancelled:
		p.withdraw(e.RequestID.Of(raw))
		return wire.Drop, nil
	case e.Method == wire.NoteMessage && !p.wantsLogs():
		return wire.Drop, nil
	}
	return wire.Pass, nil
}

// ask notes a question for the client, or declines one that it does not serve.
func (p *interviewed) ask(e *wire.Envelope, raw []byte) {
	own := bytes.Clone(e.ID.Of(raw))
	if !slices.Contains(asks(p.capabilities), e.Method) {
		p.up.Decline(own, wire.MethodNotFound, "the client did not declare that it serves "+shorten(e.Method))
		return
	}
	p.mu.Lock()
	p.questions = append(p.questions, asking{own, e.Method, bytes.Clone(e.Params.Of(raw))})
	p.mu.Unlock()
	p.poke()
}

// withdraw forgets a question that the server has taken back.
func (p *interviewed) withdraw(own []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.questions = slices.DeleteFunc(p.questions, func(a asking) bool { return bytes.Equal(a.own, own) })
}

// askedAside serves what a server says on the standing stream of a session that
// several calls have in common. A question there says not which call it is about:
// it is that of the only one, and of none where there are several.
func (g *Gateway) askedAside(up *backend.Session, e *wire.Envelope, raw []byte) {
	p := g.talks.only(up)
	switch {
	case e.Kind != wire.Request:
		if p != nil && e.Method == wire.NoteCancelled {
			p.withdraw(e.RequestID.Of(raw))
		}
	case e.Method == wire.MethodPing:
		up.Answer(bytes.Clone(e.ID.Of(raw)))
	case p == nil:
		up.Decline(bytes.Clone(e.ID.Of(raw)), wire.InternalError,
			"nobody can tell which of the calls under way this is about: ask on the stream of the call")
	default:
		p.ask(e, raw)
	}
}

// talks are the calls under way in each common session. Its zero value is ready.
type talks struct {
	mu  sync.Mutex
	all map[*backend.Session][]*interviewed
}

func (t *talks) add(up *backend.Session, p *interviewed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = map[*backend.Session][]*interviewed{}
	}
	t.all[up] = append(t.all[up], p)
}

func (t *talks) remove(up *backend.Session, p *interviewed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all[up] = slices.DeleteFunc(t.all[up], func(one *interviewed) bool { return one == p }); len(t.all[up]) == 0 {
		delete(t.all, up)
	}
}

func (t *talks) only(up *backend.Session) *interviewed {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.all[up]) != 1 {
		return nil
	}
	return t.all[up][0]
}

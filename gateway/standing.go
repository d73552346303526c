package gateway

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recloser-mcp/recloser/catalog"
	"github.com/recloser-mcp/recloser/session"
	"github.com/recloser-mcp/recloser/wire"
)

// writeLimit bounds a write to a standing stream: a client that does not read
// loses it.
const writeLimit = 30 * time.Second

// notices are the notifications that clients get about lists.
var notices = []struct {
	bit    catalog.Kinds
	method string
	body   []byte // for sessions
}{
	{catalog.Tools, wire.NoteToolsChanged, wire.NotificationBody(wire.NoteToolsChanged, nil)},
	{catalog.Prompts, wire.NotePromptsChanged, wire.NotificationBody(wire.NotePromptsChanged, nil)},
	{catalog.Resources, wire.NoteResourcesChanged, wire.NotificationBody(wire.NoteResourcesChanged, nil)},
}

// subscribers are the subscriptions/listen streams that are open.
type subscribers struct {
	mu   sync.Mutex
	open map[*subscriber]struct{}
}

// subscriber is one such stream. What it has to be told is a set, so however
// much changes while it is slow, it stays small.
type subscriber struct {
	scope  string
	wanted catalog.Kinds
	due    atomic.Uint32 // catalog.Kinds
	wake   chan struct{}

	mu      sync.Mutex
	updated map[string][]byte // by URI, the latest notification that is due
	order   []string
}

// update notes that a resource was updated. Until it is told, a later update of the
// same resource says the same.
func (s *subscriber) update(uri string, raw []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.updated[uri] == nil {
		s.order = append(s.order, uri)
	}
	if s.updated == nil {
		s.updated = make(map[string][]byte)
	}
	s.updated[uri] = bytes.Clone(raw)
	s.poke()
}

// next takes the update that is due longest, nil when there is none.
func (s *subscriber) next() (raw []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.order) == 0 {
		return nil
	}
	uri := s.order[0]
	s.order = s.order[1:]
	raw = s.updated[uri]
	delete(s.updated, uri)
	return raw
}

func (s *subscriber) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *subscribers) add(sub *subscriber, most int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= most {
		return false
	}
	if s.open == nil {
		s.open = make(map[*subscriber]struct{})
	}
	s.open[sub] = struct{}{}
	return true
}

func (s *subscribers) remove(sub *subscriber) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, sub)
}

// changed tells every client that listens about changed lists.
func (g *Gateway) changed(c catalog.Change) {
	at := func(scope string) catalog.Kinds {
		if scope == "" {
			return c.All
		}
		return c.Own[scope]
	}
	g.o.Sessions.Each(func(s *session.Session) {
		if s.Info().Revision.Stateless() {
			return // of clients without sessions, which listen below
		}
		kinds := at(s.Info().Scope)
		for _, n := range notices {
			if kinds&n.bit != 0 {
				s.Push(session.Message{Key: n.method, Data: n.body})
			}
		}
	})
	g.standing.mu.Lock()
	defer g.standing.mu.Unlock()
	for sub := range g.standing.open {
		if kinds := at(sub.scope) & sub.wanted; kinds != 0 {
			sub.due.Or(uint32(kinds))
			sub.poke()
		}
	}
}

// standingStream writes to a stream that stays open.
type standingStream struct {
	w   http.ResponseWriter
	out *http.ResponseController
	buf []byte
}

func (q *request) open() *standingStream {
	s := &standingStream{w: q.w, out: http.NewResponseController(q.w)}
	eventHead(q.w.Header())
	q.w.WriteHeader(http.StatusOK)
	return s
}

// event sends one message; false means that the client is gone.
func (s *standingStream) event(data []byte) bool {
	s.buf = wire.AppendEvent(s.buf[:0], wire.Event{Type: "message", Data: data})
	return s.write(s.buf)
}

func (s *standingStream) write(p []byte) bool {
	// Without a deadline, where the server has none, a stalled client costs a
	// goroutine until its connection dies.
	_ = s.out.SetWriteDeadline(time.Now().Add(writeLimit))
	_, err := s.w.Write(p)
	return err == nil && s.out.Flush() == nil
}

// resume goes on with a stream of the session behind the last event that the
// client got. It returns false, and has written nothing, when that is too long ago.
func (q *request) resume(t *session.Tape, from int) bool {
	events, next, changed, over, ok := t.After(from)
	if !ok {
		return false
	}
	if t.Standing() {
		t.Reopen()
		q.stand(q.sess, t, from)
		return true
	}
	reader := t.Take()
	defer t.Leave(reader)
	s := q.open()
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		for _, e := range events {
			if !s.write(e) {
				return true
			}
		}
		if over || !t.Current(reader) || s.out.Flush() != nil {
			return true
		}
		select {
		case <-changed:
		case <-tick.C:
			if !s.write(comment) {
				return true
			}
		case <-q.sess.Done():
			return true
		case <-q.ctx.Done():
			return true
		}
		if events, next, changed, over, ok = t.After(next); !ok {
			return true // what came meanwhile was too much to be kept
		}
	}
}

// stand serves the standing stream of a session until the client leaves, the
// session ends or the gateway shuts down. It begins with what is on the tape from a
// number on.
func (q *request) stand(sess *session.Session, t *session.Tape, from int) {
	reader := t.Take()
	defer func() {
		if t.Current(reader) {
			t.End()
		}
	}()
	s := q.open()
	if q.sess.Info().Revision == wire.Rev20251125 && from == 0 {
		_ = s.write(t.Prime()) // the next write meets the error too
	}
	events, _, _, _, _ := t.After(from)
	if from > 0 {
		for _, e := range events {
			if !s.write(e) {
				return
			}
		}
	}
	if s.out.Flush() != nil {
		return
	}
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		if !t.Current(reader) {
			return // the client has come back on another connection
		}
		if m, ok := sess.Pop(); ok {
			framed := t.Frame(wire.AppendEvent(nil, wire.Event{Type: "message", Data: m.Data}))
			if !s.write(framed) {
				sess.Push(m) // for the next stream
				return
			}
			t.Keep(framed)
			continue
		}
		select {
		case <-sess.Wake():
		case <-tick.C:
			if !s.write(comment) {
				return
			}
		case <-sess.Done():
			return
		case <-q.g.done:
			return
		case <-q.ctx.Done():
			return
		}
	}
}

// listen serves subscriptions/listen (basic/patterns/subscriptions, 2026-07-28).
func (q *request) listen() {
	wanted, uris, ok := filter(q.env.Params.Of(q.body))
	if !ok {
		q.invalid(http.StatusBadRequest, "params.notifications is not a filter of notifications")
		return
	}
	sub := &subscriber{scope: q.scope, wanted: wanted, wake: make(chan struct{}, 1)}
	if !q.g.standing.add(sub, q.g.o.Limits.Streams) {
		data := []byte(`{"reason":"no_capacity","hint":"close streams that are not used any more"}`)
		q.fail(http.StatusServiceUnavailable, CodeBackend, "too many streams are open", data)
		return
	}
	defer q.g.standing.remove(sub)
	honoured, cancel := q.watchAll(sub, uris)
	defer cancel()
	s, id := q.open(), q.id()
	meta := `"_meta":{"` + wire.MetaSubscriptionID + `":` + string(id) + `}`
	if !s.event(wire.NotificationBody(wire.NoteAcknowledged, []byte(`{`+meta+`,"notifications":`+acknowledged(wanted, honoured)+`}`))) {
		return
	}
	params := []byte(`{` + meta + `}`)
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		due := catalog.Kinds(sub.due.Swap(0))
		for _, n := range notices {
			if due&n.bit != 0 && !s.event(wire.NotificationBody(n.method, params)) {
				return
			}
		}
		for raw := sub.next(); raw != nil; raw = sub.next() {
			if !s.event(labelled(raw, id)) {
				return
			}
		}
		select {
		case <-sub.wake:
		case <-tick.C:
			if !s.write(comment) {
				return
			}
		case <-q.g.done:
			s.event(wire.ResultBody(id, []byte(`{"resultType":"complete",`+meta+`}`)))
			return
		case <-q.ctx.Done():
			return
		}
	}
}

// maxWatched bounds the resources that one stream can be about.
const maxWatched = 1024

// watchAll subscribes to those of the resources whose backends offer that, and
// returns which they are. The others are left out of the acknowledgment.
func (q *request) watchAll(sub *subscriber, uris []string) (honoured []string, cancel func()) {
	var cancels []func()
	for _, uri := range uris {
		b := q.backendOf(uri)
		if b == nil || slices.Contains(honoured, uri) || !q.g.o.Catalog.Facts(b.Name).Subscribe {
			continue
		}
		cancels = append(cancels, b.Client.Watch(uri, func(raw []byte) { sub.update(uri, raw) }))
		honoured = append(honoured, uri)
	}
	return honoured, func() {
		for _, c := range cancels {
			c()
		}
	}
}

// filter reads which notifications a client wants.
func filter(params []byte) (wanted catalog.Kinds, uris []string, ok bool) {
	var p struct {
		Notifications *struct {
			Tools     bool     `json:"toolsListChanged"`
			Prompts   bool     `json:"promptsListChanged"`
			Resources bool     `json:"resourcesListChanged"`
			Updated   []string `json:"resourceSubscriptions"`
		} `json:"notifications"`
	}
	if json.Unmarshal(params, &p) != nil || p.Notifications == nil || len(p.Notifications.Updated) > maxWatched {
		return 0, nil, false
	}
	if p.Notifications.Tools {
		wanted |= catalog.Tools
	}
	if p.Notifications.Prompts {
		wanted |= catalog.Prompts
	}
	if p.Notifications.Resources {
		wanted |= catalog.Resources
	}
	return wanted, p.Notifications.Updated, true
}

// acknowledged is the part of a filter that is honoured.
func acknowledged(wanted catalog.Kinds, uris []string) string {
	b := []byte{'{'}
	for _, n := range []struct {
		bit  catalog.Kinds
		name string
	}{{catalog.Tools, "toolsListChanged"}, {catalog.Prompts, "promptsListChanged"}, {catalog.Resources, "resourcesListChanged"}} {
		if wanted&n.bit == 0 {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(wire.Quote(b, n.name), ':'), "true"...)
	}
	for i, uri := range uris {
		switch {
		case i > 0:
			b = append(b, ',')
		case len(b) > 1:
			b = append(b, `,"resourceSubscriptions":[`...)
		default:
			b = append(b, `"resourceSubscriptions":[`...)
		}
		b = wire.Quote(b, uri)
	}
	if len(uris) > 0 {
		b = append(b, ']')
	}
	return string(append(b, '}'))
}

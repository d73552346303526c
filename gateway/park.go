package gateway

import (
	"net/http"
	"sync"
	"time"

	"github.com/recloser-mcp/recloser/wire"
)

const (
	// parkTime is how long a call waits for a client to come back with answers.
	parkTime = 5 * time.Minute
	// maxParked bounds the calls that wait so.
	maxParked = 256
)

// park leaves the call until the client comes back with answers. events is nil while
// nothing has been written.
func (p *interviewed) park(q *request, events *eventWriter) {
	if !p.leave() {
		p.end()
		return
	}
	p.wants(nil, false)
	st, text := q.g.seal.issue(q.owner, waiting+q.about(), parkTime)
	result := []byte(`{"resultType":"input_required","inputRequests":{`)
	p.mu.Lock()
	for i, a := range p.questions {
		if i > 0 {
			result = append(result, ',')
		}
		result = append(wire.Quote(result, key(a.own)), `:{"method":`...)
		result = wire.Quote(result, a.method)
		params := a.params
		if params == nil { // a client of the official Go SDK fails where they are left out
			params = []byte("{}")
		}
		result = append(append(append(result, `,"params":`...), params...), '}')
	}
	p.mu.Unlock()
	result = append(wire.Quote(append(result, `},"requestState":`...), text), '}')
	doc := wire.ResultBody(q.id(), result)
	if !q.g.parked.put(st.nonce, p) {
		doc = wire.ErrorBody(q.id(), CodeBackend, "too many calls wait for answers of clients", []byte(`{"reason":"`+reasonSessions+`"}`))
		p.end()
	}
	if events == nil {
		send(q.w, http.StatusOK, doc)
		return
	}
	events.message(doc)
}

// key names a question in inputRequests by the server's own id. 1 and "1" are two.
func key(own []byte) string {
	if own[0] == '"' {
		return "s" + string(own[1:len(own)-1])
	}
	return "q" + string(own)
}

// goOn attends the call again, with the client's answers.
func (p *interviewed) goOn(q *request, answers []byte) {
	p.attend(q)
	members, _ := wire.Members(answers)
	p.mu.Lock()
	var open, answered []asking
	results := map[string][]byte{}
	for _, a := range p.questions {
		for _, m := range members {
			if m.Key == key(a.own) && m.Value != nil {
				results[string(a.own)] = m.Value
			}
		}
		if results[string(a.own)] == nil {
			open = append(open, a)
		} else {
			answered = append(answered, a)
		}
	}
	p.questions = open
	p.mu.Unlock()
	for _, a := range answered {
		if err := q.pass(p.up, wire.ResultBody(a.own, results[string(a.own)])); err != nil {
			q.unavailable(err) // the backend waits for what cannot come
			p.end()
			return
		}
	}
	if len(open) > 0 {
		p.park(q, nil)
		return
	}
	p.run(q)
}

// lot is where calls are parked. Its zero value is ready.
type lot struct {
	mu     sync.Mutex
	calls  map[[nonceSize]byte]*place
	spent  map[[nonceSize]byte]time.Time // states of visits that were used once, until they expire
	closed bool
}

type place struct {
	call  *interviewed
	timer *time.Timer
}

func (l *lot) put(nonce [nonceSize]byte, p *interviewed) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.calls) >= maxParked {
		return false
	}
	if l.calls == nil {
		l.calls = map[[nonceSize]byte]*place{}
	}
	l.calls[nonce] = &place{call: p, timer: time.AfterFunc(parkTime, func() {
		if p := l.take(nonce); p != nil {
			p.end()
		}
	})}
	return true
}

// take returns the call and its place is free.
func (l *lot) take(nonce [nonceSize]byte) *interviewed {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.calls[nonce]
	if at == nil {
		return nil
	}
	delete(l.calls, nonce)
	at.timer.Stop()
	return at.call
}

// once reports whether a state is used for the first time.
func (l *lot) once(st state) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, used := l.spent[st.nonce]; used || l.closed {
		return false
	}
	if l.spent == nil {
		l.spent = map[[nonceSize]byte]time.Time{}
	}
	now := time.Now()
	for n, t := range l.spent {
		if now.After(t) || len(l.spent) >= 4*maxParked {
			delete(l.spent, n)
		}
	}
	l.spent[st.nonce] = st.expires
	return true
}

// close ends what is parked.
func (l *lot) close() {
	l.mu.Lock()
	l.closed = true
	all := l.calls
	l.calls = nil
	l.mu.Unlock()
	for _, at := range all {
		at.timer.Stop()
		at.call.end()
	}
}

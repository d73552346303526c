package gateway

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/recloser-mcp/recloser/session"
	"github.com/recloser-mcp/recloser/wire"
)

// eventWriter writes a stream of events and flushes with each write. While
// nothing is written it sends the head of the answer after a second and a
// comment from time to time.
//
// With a tape the stream outlives its connection: what is written while the client
// is gone waits for it to come back.
type eventWriter struct {
	mu    sync.Mutex
	w     http.ResponseWriter
	out   *http.ResponseController
	timer *time.Timer
	over  bool
	begun bool
	tail  [2]byte // what was written last

	tape   *session.Tape // nil: the stream ends with its connection
	reader int
	gone   bool // the connection is
}

func newEventWriter(w http.ResponseWriter) *eventWriter {
	eventHead(w.Header())
	e := &eventWriter{w: w, out: http.NewResponseController(w), tail: [2]byte{'\n', '\n'}}
	e.mu.Lock() // tick must see the timer
	defer e.mu.Unlock()
	e.timer = time.AfterFunc(headAfter, e.tick)
	return e
}

// events returns the writer of the request's stream. Clients of 2025-11-25 can
// resume it; elder ones do not know what to make of an event without data, and
// later ones have no resumption.
func (q *request) events() *eventWriter {
	e := newEventWriter(q.w)
	if q.abandon == nil || q.revision != wire.Rev20251125 {
		return e
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tape = q.sess.Record(q.abandon)
	e.reader = e.tape.Take()
	q.live.Store(e)
	return e
}

// Write implements io.Writer.
func (e *eventWriter) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tape == nil {
		e.begun = true
		if err := e.send(p); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	e.begin()
	framed := e.tape.Write(p)
	if e.reads() && e.send(framed) != nil {
		e.lose()
	}
	return len(p), nil
}

// begin sends the event that a client can resume from before any other.
func (e *eventWriter) begin() {
	if e.begun {
		return
	}
	e.begun = true
	if e.send(e.tape.Prime()) != nil {
		e.lose()
	}
}

// reads reports whether the client still reads this connection.
func (e *eventWriter) reads() bool { return !e.gone && e.tape.Current(e.reader) }

// lose notes that the connection is gone. It returns false when nothing has been
// sent that the client could resume from.
func (e *eventWriter) lose() bool {
	if !e.begun {
		return false
	}
	e.gone = true
	e.tape.Leave(e.reader)
	return true
}

// left is lose for whoever does not write.
func (e *eventWriter) left() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.over || e.lose()
}

// abandoned reports whether nobody will read what is written.
func (e *eventWriter) abandoned(ctx context.Context) bool { return e.tape == nil && ctx.Err() != nil }

func (e *eventWriter) send(p []byte) error {
	n, err := e.w.Write(p)
	switch {
	case n == 1:
		e.tail = [2]byte{e.tail[1], p[0]}
	case n > 1:
		e.tail = [2]byte(p[n-2 : n])
	}
	if err != nil {
		return err
	}
	return e.out.Flush()
}

// message writes one message as an event.
func (e *eventWriter) message(doc []byte) {
	_, _ = e.Write(wire.AppendEvent(nil, wire.Event{Type: "message", Data: doc})) // a client that left is told by its context
}

// response writes the response: with its status while nothing else was written.
func (e *eventWriter) response(status int, doc []byte) {
	e.mu.Lock()
	begun := e.begun
	e.over = e.over || !begun && status != http.StatusOK
	e.mu.Unlock()
	if begun || status == http.StatusOK {
		e.message(doc)
		return
	}
	delete(e.w.Header(), "X-Accel-Buffering")
	send(e.w, status, doc)
}

func (e *eventWriter) tick() {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.over || e.gone:
		return
	case !e.begun && e.tape != nil:
		e.begin()
	case !e.begun:
		e.begun = true
		e.w.WriteHeader(http.StatusOK)
	case e.tail == [2]byte{'\n', '\n'}: // between two events
		_, _ = e.w.Write(comment) // the next event meets the error too
	}
	_ = e.out.Flush()
	e.timer.Reset(keepAlive)
}

// close ends the use of the ResponseWriter.
func (e *eventWriter) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.over = true
	e.timer.Stop()
	if e.tape != nil {
		e.tape.End()
	}
}

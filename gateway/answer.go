package gateway

import (
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/wire"
)

const (
	// headAfter is how long the head of a stream waits for the first event, so
	// that both leave together.
	headAfter = time.Second
	// keepAlive is the time between comments on a stream that is silent, which
	// keep what stands between from closing it.
	keepAlive = 25 * time.Second
)

var (
	noTransform = []string{"no-cache, no-transform"}
	unbuffered  = []string{"no"}
	comment     = []byte(": keep-alive\n\n")
)

// answer passes the backend's answer to the client as it arrives.
func (q *request) answer(resp *backend.Response) {
	defer resp.Body.Close()
	if resp.Stream {
		q.stream(resp.Body)
		return
	}
	h := q.w.Header()
	h["Content-Type"] = typeJSON
	if resp.Length >= 0 {
		setLength(h, int(resp.Length))
	}
	if resp.Status != 0 && q.modern() && resp.Revision.Stateless() {
		q.w.WriteHeader(resp.Status) // which the revision asks for beside the code
	}
	n, err := copyTo(q.w, resp.Body)
	if err == nil {
		return
	}
	if q.failure = reasonOf(err); q.ctx.Err() != nil {
		q.failure = backend.KindCanceled.Reason()
	}
	if n > 0 || q.ctx.Err() != nil {
		// Half a document cannot be mended; the client must not take it for a
		// whole one.
		panic(http.ErrAbortHandler)
	}
	delete(h, "Content-Length")
	q.unavailable(err)
}

// stream passes a stream of events. When the backend breaks off, its place is
// taken by an error for the request, as an event of its own.
func (q *request) stream(body io.Reader) {
	events := newEventWriter(q.w)
	defer events.close()
	if _, err := copyTo(events, body); err != nil {
		q.brokeOff(events, err)
	}
}

// brokeOff ends a stream in place of a backend that gives no response any more.
func (q *request) brokeOff(events *eventWriter, err error) {
	if q.ctx.Err() != nil {
		q.failure = backend.KindCanceled.Reason()
		return
	}
	q.failure = reasonOf(err)
	events.message(backendError(q.id(), err))
}

// message writes one message as an event.
func (e *eventWriter) message(doc []byte) {
	_, _ = e.Write(wire.AppendEvent(nil, wire.Event{Type: "message", Data: doc})) // a client that left is told by its context
}

func copyTo(w io.Writer, body io.Reader) (int64, error) {
	if from, ok := body.(io.WriterTo); ok {
		return from.WriteTo(w)
	}
	return io.Copy(w, body)
}

func eventHead(h http.Header) {
	h["Content-Type"] = typeSSE
	h["Cache-Control"] = noTransform
	h["X-Accel-Buffering"] = unbuffered
}

// eventWriter writes a stream of events and flushes with each write. While
// nothing is written it sends the head of the answer after a second and a
// comment from time to time.
type eventWriter struct {
	mu    sync.Mutex
	w     http.ResponseWriter
	out   *http.ResponseController
	timer *time.Timer
	over  bool
	begun bool
	tail  [2]byte // what was written last
}

func newEventWriter(w http.ResponseWriter) *eventWriter {
	eventHead(w.Header())
	e := &eventWriter{w: w, out: http.NewResponseController(w), tail: [2]byte{'\n', '\n'}}
	e.mu.Lock() // tick must see the timer
	defer e.mu.Unlock()
	e.timer = time.AfterFunc(headAfter, e.tick)
	return e
}

// Write implements io.Writer.
func (e *eventWriter) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.begun = true
	n, err := e.w.Write(p)
	switch {
	case n == 1:
		e.tail = [2]byte{e.tail[1], p[0]}
	case n > 1:
		e.tail = [2]byte(p[n-2 : n])
	}
	if err != nil {
		return n, err
	}
	return n, e.out.Flush()
}

func (e *eventWriter) tick() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		return
	}
	switch {
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
}

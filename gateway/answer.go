package gateway

import (
	"io"
	"net/http"
	"time"

	"github.com/recloser-mcp/recloser/backend"
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
	events := q.events()
	defer events.close()
	if _, err := copyTo(events, body); err != nil {
		q.brokeOff(events, err)
	}
}

// brokeOff ends a stream in place of a backend that gives no response any more.
func (q *request) brokeOff(events *eventWriter, err error) {
	if events.abandoned(q.ctx) {
		q.failure = backend.KindCanceled.Reason()
		return
	}
	err = q.cause(err)
	q.failure = reasonOf(err)
	events.message(backendError(q.id(), err))
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

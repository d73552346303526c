package backendtest

import (
	"context"
	"io"
	"net/http"
	"sync"
)

type progressKey struct{}

type progressFunc func(ctx context.Context, done, total float64, text string) error

// Progress reports a running tool's progress to the client that called it, if
// that client asked for it with a progress token. It makes the answer an event
// stream, and returns when the event was written. Ctx is the context that the
// tool was given.
func Progress(ctx context.Context, done, total float64, text string) error {
	if send, ok := ctx.Value(progressKey{}).(progressFunc); ok {
		return send(ctx, done, total, text)
	}
	return nil
}

// eventWriter tells when something was written. Mcp-go hands notifications to
// another goroutine and drops those that the response overtakes; waiting for
// the write keeps them in their order. Where the session has a standing stream,
// either of the two streams may be the one that a notification is written to.
type eventWriter struct {
	http.ResponseWriter
	own, standing *tally
}

// Write implements http.ResponseWriter.
func (e *eventWriter) Write(p []byte) (int, error) {
	n, err := e.ResponseWriter.Write(p)
	e.own.add()
	return n, err
}

// Flush implements http.Flusher.
func (e *eventWriter) Flush() { _ = http.NewResponseController(e.ResponseWriter).Flush() }

// after runs send and waits for a write that follows it. Nil, as there is over
// legacy SSE, leaves the order to the SDK.
func (e *eventWriter) after(ctx context.Context, send func() error) error {
	if e == nil {
		return send()
	}
	own, _ := e.own.count()
	standing, _ := e.standing.count()
	if err := send(); err != nil {
		return err
	}
	for {
		n, changed := e.own.count()
		m, aside := e.standing.count()
		if n > own || m > standing {
			return nil
		}
		select {
		case <-changed:
		case <-aside:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tally counts writes.
type tally struct {
	mu      sync.Mutex
	writes  int
	changed chan struct{}
}

func newTally() *tally { return &tally{changed: make(chan struct{})} }

func (t *tally) add() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writes++
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *tally) count() (int, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.writes, t.changed
}

// lineWriter counts what is written to a connection over stdio.
type lineWriter struct {
	io.WriteCloser
	tally *tally
}

func (l *lineWriter) Write(p []byte) (int, error) {
	n, err := l.WriteCloser.Write(p)
	l.tally.add()
	return n, err
}

package backendtest

import (
	"context"
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
// the write keeps them in their order.
type eventWriter struct {
	http.ResponseWriter
	mu      sync.Mutex
	writes  int
	changed chan struct{}
}

func newEventWriter(w http.ResponseWriter) *eventWriter {
	return &eventWriter{ResponseWriter: w, changed: make(chan struct{})}
}

func (e *eventWriter) Write(p []byte) (int, error) {
	n, err := e.ResponseWriter.Write(p)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.writes++
	close(e.changed)
	e.changed = make(chan struct{})
	return n, err
}

// Flush implements http.Flusher.
func (e *eventWriter) Flush() { _ = http.NewResponseController(e.ResponseWriter).Flush() }

func (e *eventWriter) count() (int, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.writes, e.changed
}

// after runs send and waits for a write that follows it.
func (e *eventWriter) after(ctx context.Context, send func() error) error {
	before, _ := e.count()
	if err := send(); err != nil {
		return err
	}
	for {
		now, changed := e.count()
		if now > before {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

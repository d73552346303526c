package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/recloser-mcp/recloser/status"
	"github.com/recloser-mcp/recloser/wire"
)

const (
	maxEvent    = 1 << 20
	silence     = 45 * time.Second // three keep-alives: the connection is dead
	firstRetry  = 250 * time.Millisecond
	longestWait = 5 * time.Second
)

// Watcher says what is wanted of a stream of events. A func that is nil is not
// called; they are called one at a time.
type Watcher struct {
	// Backend leaves the events of others out. Empty: all events.
	Backend string
	// After is the id of the last event that is known already. 0: everything
	// that the gateway still has.
	After uint64
	// Event gets each event, in order. Its error ends the stream.
	Event func(status.Event) error
	// Changed is called when the status has changed in a way that is no event,
	// and after a connection was made again: what happened meanwhile may be lost.
	Changed func() error
	// Lost is called when the connection broke and is being made again.
	Lost func(err error)
}

// Recent asks for the events that the gateway still has, the oldest first.
func (c *Client) Recent(ctx context.Context, backend string) ([]status.Event, error) {
	events, err := get[[]status.Event](ctx, c, eventsPath(backend))
	if err != nil {
		return nil, err
	}
	return *events, nil
}

// Events follows the events of the gateway until ctx ends, which is no error, or
// one of the funcs returns an error, or the gateway refuses. The first connection
// has to be made; after that a broken one is made again, for as long as it takes,
// and goes on after the last event.
func (c *Client) Events(ctx context.Context, w Watcher) error {
	connected := false
	for wait := firstRetry; ; wait = min(2*wait, longestWait) {
		began, err := c.follow(ctx, &w, connected)
		connected = connected || began
		var e *Error
		switch {
		case ctx.Err() != nil:
			return nil
		case !errors.As(err, &e), !connected, e.Kind != Unreachable && e.Status < 500:
			return err
		}
		if began {
			wait = firstRetry
			if w.Lost != nil {
				w.Lost(err)
			}
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
	}
}

func eventsPath(backend string) string {
	if backend == "" {
		return "/api/v1/events"
	}
	return "/api/v1/events?backend=" + url.QueryEscape(backend)
}

// follow reads one connection. It reports whether that was made.
func (c *Client) follow(ctx context.Context, w *Watcher, again bool) (began bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	header := http.Header{}
	if w.After > 0 {
		header.Set("Last-Event-ID", strconv.FormatUint(w.After, 10))
	}
	resp, err := c.send(ctx, http.MethodGet, eventsPath(w.Backend), nil, "text/event-stream", header)
	if err != nil {
		return false, err
	}
	defer func() { _ = resp.Body.Close() }()
	if again && w.Changed != nil {
		if err := w.Changed(); err != nil {
			return true, err
		}
	}
	dog := time.AfterFunc(silence, cancel)
	defer dog.Stop()
	in := wire.NewEventReader(fed{resp, dog}, maxEvent)
	for {
		e, err := in.Next()
		if err != nil {
			return true, c.fault(Unreachable, 0, err, "the stream of events broke off: %v", err)
		}
		if err := w.take(e); err != nil {
			return true, err
		}
	}
}

// take hands one event on.
func (w *Watcher) take(e wire.Event) error {
	switch e.Type {
	case "event":
		var event status.Event
		if json.Unmarshal(e.Data, &event) != nil {
			return nil // of a version to come
		}
		w.After = event.ID
		if w.Event != nil {
			return w.Event(event)
		}
	case "status":
		if w.Changed != nil {
			return w.Changed()
		}
	}
	return nil
}

// fed reads a body and keeps the watchdog quiet while bytes arrive.
type fed struct {
	resp *http.Response
	dog  *time.Timer
}

func (f fed) Read(p []byte) (int, error) {
	n, err := f.resp.Body.Read(p)
	if n > 0 {
		f.dog.Reset(silence)
	}
	return n, err
}

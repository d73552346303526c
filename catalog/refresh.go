package catalog

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/wire"
)

const (
	// every is the time between refreshes that nothing asked for.
	every = 5 * time.Minute
	// refreshLimit bounds one refresh.
	refreshLimit = 30 * time.Second
	// apart is the least time from the start of a refresh to that of the next
	// one that a backend's own notification asks for.
	apart = time.Second
	burst = 3 // refreshes that may come sooner, until there was a pause again
	// reopened is the least time between two refreshes because the standing
	// stream was established anew: some servers end it every few seconds.
	reopened = 30 * time.Second

	// Without a catalogue a backend is asked again and again: quickly while it
	// cannot be reached, as asking costs nothing then, and slowly while it
	// answers and does not want us. Its tools are to be there within a second of
	// its coming up, and an attempt in vain takes a quarter of that, as a request
	// that never left is sent three times.
	soonest = 100 * time.Millisecond
	soon    = 500 * time.Millisecond
	later   = 10 * time.Second
)

// loop keeps one backend's part of the catalogue fresh. One refresh runs at a
// time; what asks for another meanwhile gets it afterwards.
//
// The catalogue's lock guards the first group.
type loop struct {
	index   int // in the order of the configuration
	caps    *backend.Capabilities
	history history
	facts   Facts
	stop    func() // nil before it runs

	c       *Catalog
	b       Backend
	kicks   chan struct{} // the backend answers again
	changes chan struct{} // the backend says that a list changed
	said    atomic.Uint32 // which, as Kinds, since the last refresh

	loaded   bool
	missed   bool // a change was announced and could not be fetched
	paced    time.Time
	spare    int // refreshes that may come sooner than apart
	failures int // in a row, while not loaded
}

func newLoop(c *Catalog, i int, b Backend) *loop {
	return &loop{c: c, index: i, b: b, kicks: make(chan struct{}, 1), changes: make(chan struct{}, 1)}
}

func (l *loop) poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func (l *loop) run(ctx context.Context) {
	var listener sync.WaitGroup
	defer listener.Wait()
	var silent chan struct{} // closed when the listener has ended; nil before the first
	for {
		started := time.Now()
		err := l.refresh(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil && (silent == nil || closed(silent)) {
			silent = make(chan struct{})
			listener.Go(func() { l.listen(ctx, silent) })
		}
		if !l.pause(ctx, started, err) {
			return
		}
	}
}

func (l *loop) refresh(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, refreshLimit)
	defer cancel()
	said := l.said.Swap(0)
	caps, err := l.b.Client.ListCapabilities(limited)
	if err != nil {
		if ctx.Err() == nil { // else we are stopping: this says nothing about the backend
			l.c.failed(l, err)
		}
		l.said.Or(said)
		return err
	}
	l.loaded, l.missed, l.failures = true, false, 0
	l.c.update(l, caps, Kinds(said))
	return nil
}

// pause waits until the next refresh is due; false means that ctx ended.
func (l *loop) pause(ctx context.Context, started time.Time, err error) bool {
	timer := time.NewTimer(l.delay(err))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.kicks:
	case <-l.changes:
		l.missed = true
		select {
		case <-time.After(time.Until(started.Add(l.pace()))):
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// pace returns the least time between the starts of two refreshes that the backend
// asks for. A few may come close together, as when somebody changes a tool and then
// a prompt.
func (l *loop) pace() time.Duration {
	now := time.Now()
	if now.Sub(l.paced) > 5*apart {
		l.spare = burst
	}
	if l.paced = now; l.spare == 0 {
		return apart
	}
	l.spare--
	return apart / 10
}

// delay is how long to wait when nothing asks for a refresh.
func (l *loop) delay(err error) time.Duration {
	switch {
	case err == nil:
		return every - rand.N(every/10) // so that backends do not all come at once
	case l.loaded && !l.missed:
		return every
	case answered(err):
		return max(later, retryAfter(err))
	}
	// Unreachable, and there is something to fetch: its tools, or what it announced
	// or may have announced while its stream was interrupted.
	d := soonest << min(l.failures, 10)
	l.failures++
	return min(d, soon)
}

// announced tells which list a notification is about.
var announced = map[string]Kinds{
	wire.NoteToolsChanged: Tools, wire.NotePromptsChanged: Prompts, wire.NoteResourcesChanged: Resources,
}

// listen follows the backend's standing stream. It ends with ctx, or when the
// backend offers no stream; the next refresh tries it again then.
func (l *loop) listen(ctx context.Context, silent chan struct{}) {
	defer close(silent)
	var at time.Time // of the latest refresh for a new stream; it may be yet to come
	due := time.AfterFunc(every, func() { l.poke(l.changes) })
	due.Stop()
	defer due.Stop()
	err := l.b.Client.Listen(ctx, func(method string) {
		switch method {
		case "":
			// What changed while there was no stream, nobody told.
			if now := time.Now(); !now.Before(at) {
				if at = at.Add(reopened); at.Before(now) {
					at = now
				}
				due.Reset(at.Sub(now))
			}
		case backend.Restarted:
			at = time.Now()
			due.Stop()
			l.poke(l.changes)
		case wire.NoteToolsChanged, wire.NotePromptsChanged, wire.NoteResourcesChanged:
			l.said.Or(uint32(announced[method]))
			l.poke(l.changes)
		}
	})
	if err != nil && ctx.Err() == nil {
		l.c.log.LogAttrs(ctx, slog.LevelDebug, "no standing stream",
			slog.String("backend", l.b.Name), slog.Any("error", err))
	}
}

func closed(ch chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// answered reports whether somebody answered the refresh that failed with err:
// asking again at once would only annoy.
func answered(err error) bool {
	if _, ok := errors.AsType[*backend.RPCError](err); ok {
		return true
	}
	e, ok := errors.AsType[*backend.Error](err)
	if !ok {
		return false
	}
	switch e.Kind {
	case backend.KindUnreachable, backend.KindTimeout, backend.KindCanceled, backend.KindNoCapacity:
		return false
	case backend.KindServerError:
		return e.Status == 429
	}
	return true
}

// maxRetryAfter bounds what a backend can ask for.
const maxRetryAfter = every

func retryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*backend.Error](err); ok {
		return min(e.RetryAfter, maxRetryAfter)
	}
	return 0
}

func reasonOf(err error) string {
	if e, ok := errors.AsType[*backend.Error](err); ok {
		return e.Kind.Reason()
	}
	if _, ok := errors.AsType[*backend.RPCError](err); ok {
		return backend.KindProtocolError.Reason() // a server that cannot list
	}
	return "unknown"
}

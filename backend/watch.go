package backend

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/wire"
)

const (
	watchFirst = time.Second // before a subscription that failed is tried again; it doubles
	watchMost  = 30 * time.Second
	watchReady = 5 * time.Second // how long a new stream may take before the old one ends all the same
)

// watch is the client's own subscriptions to resources: one at the backend for
// each resource, however many want to know of it. A goroutine runs only while
// there are any.
type watch struct {
	c *Client

	mu      sync.Mutex
	wanted  map[string]map[*watcher]struct{} // by URI
	running bool
	wake    chan struct{}
}

type watcher struct{ on func(raw []byte) }

// Watch has on called with each notifications/resources/updated that the backend
// sends about a resource, until cancel. It returns at once: the subscription is
// made in the background, again and again while the backend is in trouble. After
// an interruption on is called once, because what happened meanwhile is not known.
// on must not block; raw is valid during the call only.
func (c *Client) Watch(uri string, on func(raw []byte)) (cancel func()) {
	w := &c.watch
	me := &watcher{on}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wanted == nil {
		w.wanted, w.wake = map[string]map[*watcher]struct{}{}, make(chan struct{}, 1)
	}
	if w.wanted[uri] == nil {
		w.wanted[uri] = map[*watcher]struct{}{}
		w.poke()
	}
	w.wanted[uri][me] = struct{}{}
	if !w.running {
		w.running = c.background(0, w.run)
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.wanted[uri], me)
		if len(w.wanted[uri]) == 0 {
			delete(w.wanted, uri)
			w.poke()
		}
	}
}

func (w *watch) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// want returns the resources that somebody wants to know of.
func (w *watch) want() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.wanted))
}

// rest ends the goroutine if there is nothing left to do.
func (w *watch) rest() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running = len(w.wanted) > 0
	return !w.running
}

// updated passes a notification on.
func (w *watch) updated(e *wire.Envelope, raw []byte) {
	if uri, ok := wire.Unquote(e.URI.Of(raw)); ok {
		w.tell(uri, raw)
	}
}

func (w *watch) tell(uri string, raw []byte) {
	w.mu.Lock()
	all := slices.Collect(maps.Keys(w.wanted[uri]))
	w.mu.Unlock()
	for _, one := range all {
		one.on(raw)
	}
}

// interrupted tells everybody that something may have happened unseen.
func (w *watch) interrupted(uris []string) {
	for _, uri := range uris {
		w.tell(uri, updatedBody(uri))
	}
}

// updatedBody is the notification that a resource was updated.
func updatedBody(uri string) []byte {
	return wire.NotificationBody(wire.NoteResourceUpdated, append(wire.Quote([]byte(`{"uri":`), uri), '}'))
}

// run keeps what is subscribed at the backend equal to what is wanted.
func (w *watch) run(ctx context.Context) {
	var s subscriptions
	defer s.end()
	wait := watchFirst
	for ctx.Err() == nil {
		want := w.want()
		err := s.reach(ctx, w.c, want)
		if len(want) == 0 && w.rest() {
			return
		}
		var again <-chan time.Time
		if err != nil {
			again, wait = time.After(wait), min(2*wait, watchMost)
		} else {
			wait = watchFirst
		}
		select {
		case <-w.wake:
		case <-again:
		case <-s.broken():
			s.lost = true
			pause(ctx, watchFirst)
		case <-ctx.Done():
		}
	}
}

// subscriptions is what is subscribed at the backend.
type subscriptions struct {
	made   map[string]bool // in the own session of an elder backend
	stream *watchStream    // of 2026-07-28; nil while there is none
	lost   bool            // the stream broke off and is not back yet
}

// watchStream is one subscriptions/listen.
type watchStream struct {
	uris   []string
	ready  chan struct{} // closed when it is acknowledged
	done   chan struct{} // closed when it has ended
	cancel context.CancelFunc
}

func (s *subscriptions) broken() <-chan struct{} {
	if s.stream == nil {
		return nil
	}
	return s.stream.done
}

func (s *subscriptions) end() {
	if s.stream != nil {
		s.stream.cancel()
		<-s.stream.done
		s.stream = nil
	}
}

// reach makes the subscriptions that are wanted, and ends the others.
func (s *subscriptions) reach(ctx context.Context, c *Client, want []string) error {
	if c.revision.Load() == nil && len(want) > 0 {
		if err := c.Ping(ctx); err != nil {
			return err
		}
	}
	if r := c.revision.Load(); r != nil && !r.Stateless() {
		s.end()
		return s.reachElder(ctx, c, want)
	}
	s.made = nil
	return s.reachStream(ctx, c, want)
}

func (s *subscriptions) reachElder(ctx context.Context, c *Client, want []string) error {
	if s.made == nil {
		s.made = map[string]bool{}
	}
	for uri := range s.made {
		if !slices.Contains(want, uri) {
			delete(s.made, uri)
			c.own.Subscribed(uri, false)
			_, _ = c.ask(ctx, wire.MethodUnsubscribe, uri, append(wire.Quote([]byte(`{"uri":`), uri), '}'))
		}
	}
	for _, uri := range want {
		if s.made[uri] {
			continue
		}
		_, err := c.ask(ctx, wire.MethodSubscribe, uri, append(wire.Quote([]byte(`{"uri":`), uri), '}'))
		if _, answered := errors.AsType[*RPCError](err); err != nil && !answered {
			return err
		}
		s.made[uri] = true // refused for good where the backend said so
		if err == nil {
			c.own.Subscribed(uri, true)
		}
	}
	return nil
}

// reachStream opens a stream for all that is wanted before it ends the one before,
// so that nothing is missed between the two.
func (s *subscriptions) reachStream(ctx context.Context, c *Client, want []string) error {
	over := false
	if s.stream != nil {
		select {
		case <-s.stream.done:
			over = true
		default:
		}
	}
	if len(want) == 0 {
		s.end()
		return nil
	}
	if s.stream != nil && !over && slices.Equal(s.stream.uris, want) {
		return nil
	}
	next := c.openWatch(ctx, want)
	t := time.NewTimer(watchReady)
	defer t.Stop()
	select {
	case <-next.ready:
	case <-next.done:
		if s.stream == nil || over {
			s.stream = nil
		}
		return errNotOffered
	case <-t.C:
	case <-ctx.Done():
	}
	s.end()
	s.stream = next
	if s.lost {
		s.lost = false
		c.watch.interrupted(want)
	}
	return nil
}

func (c *Client) openWatch(ctx context.Context, uris []string) *watchStream {
	s := &watchStream{uris: uris, ready: make(chan struct{}), done: make(chan struct{})}
	ctx, s.cancel = context.WithCancel(ctx)
	var once sync.Once
	go func() { // it ends with the context, and run waits for it
		defer close(s.done)
		defer s.cancel()
		cl := c.newCall(ctx, &Request{Method: wire.MethodListen}, guard.Stream)
		cl.standing = func(cl *call) {
			cl.msg.body = wire.ListenRequest(cl.id, wire.Filter{Updated: uris}, c.meta)
		}
		_, _ = cl.listen(ctx, func(e *wire.Envelope, raw []byte) {
			switch {
			case e == nil:
				once.Do(func() { close(s.ready) })
			case e.Method == wire.NoteResourceUpdated:
				c.watch.updated(e, raw)
			}
		})
	}()
	return s
}
